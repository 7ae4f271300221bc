"""What a run over many partitions tells Dagster: every materialization and check result for its own partition.

Belongs here: rows and facts of one partition until they are told. Not here: the steps (`many.py`).

They need no planned events: Dagster then puts a check's result on record as a row of its own, with the partition that
it names. A result counts as that of the latest materialization only if it says which one it looked at. Events that are
stored together are built here and not by the step; the types for both are not public in Dagster 1.13,
`test_history.py` holds them.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.events import StepMaterializationData  # noqa: TID251 - what events hold, which Dagster does not export
from dagster._core.execution.plan.handle import StepHandle  # noqa: TID251 - likewise

from etl_platform.contracts.table import Table
from etl_platform.defs.evaluations import Target, evaluated
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.step import Step
from etl_platform.defs.table_metadata import output_metadata
from etl_platform.event_log import PooledSqliteEventLogStorage
from etl_platform.partitions import format_key
from etl_platform.stores.frames import to_batches
from etl_platform.stores.query_tag import query_run

_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION
_CHECKED = dg.DagsterEventType.ASSET_CHECK_EVALUATION

Blocking = Mapping[dg.AssetCheckKey, bool]
"""Every check of the graph, and whether a failure of it blocks."""


@dataclass
class Stored:
    """One partition: what the warehouse is to take by table name, and the facts of everything written."""

    step: Step
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    facts: dict[dg.AssetKey, Mapping[str, Any]] = field(default_factory=dict)

    def write(self, lake: TableIOManager, table: Table, output: dg.Output[Any]) -> None:
        """Store the output of a step in the lake, as the IO manager does for an asset."""
        key = dg.AssetKey([table.layer, table.name])
        batches = to_batches(output.value, table, f"asset {key.to_user_string()}")
        facts = lake.write(table, [self.step.partition], batches, self.step.run_id)
        self.facts[key] = _told({**facts, **output.metadata})

    def materializations(self) -> Iterator[dg.AssetMaterialization]:
        """One for every table that was written."""
        partition = format_key(self.step.partition)
        for key, facts in self.facts.items():
            yield dg.AssetMaterialization(key, metadata=facts, partition=partition)


def publish(table: Table, partitions: Sequence[Stored], warehouse: TableIOManager) -> None:
    """Replace all partitions of a warehouse table in one transaction."""
    if not partitions:
        return
    keys = [stored.step.partition for stored in partitions]
    rows = pl.concat([stored.frames[table.name] for stored in partitions])
    start = time.monotonic()
    with query_run(partitions[0].step.run_id):
        written = warehouse.store.replace(table, keys, to_batches(rows, table, f"warehouse/{table.name}"))
    seconds = (time.monotonic() - start) / len(partitions)
    for stored in partitions:
        mine = dataclasses.replace(written, rows=stored.frames[table.name].height, bytes=None)
        facts = output_metadata(table, [stored.step.partition], mine, seconds, layer="warehouse")
        stored.facts[dg.AssetKey(["warehouse", table.name])] = _told(facts)


def _told(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without the column schema: the asset's definition has it, and it is most of the bytes of such an event."""
    return {name: value for name, value in facts.items() if name != "dagster/column_schema"}


@dataclass(frozen=True)
class Teller:
    """Puts events of one step on record, those of a kind together: one by one, a run over 50 dates spends more time on
    its 1,700 events than on its rows."""

    instance: dg.DagsterInstance
    run_id: str
    job: str
    step: StepHandle

    @classmethod
    def of(cls, context: dg.OpExecutionContext) -> Teller:
        """Tells of the step that Dagster is executing."""
        return cls(context.instance, context.run_id, context.job_name, StepHandle(context.op_handle))

    def materialized(self, stored: Sequence[Stored]) -> None:
        """Every table of every partition that was written."""
        by_asset: dict[dg.AssetKey, list[dg.EventLogEntry]] = {}
        for found in stored:
            for made in found.materializations():
                by_asset.setdefault(made.asset_key, []).append(
                    self._entry(_MATERIALIZED, StepMaterializationData(made))
                )
        storage = self.instance.event_log_storage
        for entries in by_asset.values():  # Dagster's Postgres storage takes one asset at a time
            storage.store_event_batch(entries)

    def checked(
        self, asset: dg.AssetKey, results: Mapping[str, Sequence[dg.AssetCheckResult]], blocking: Blocking
    ) -> None:
        """Every check result of `asset`, given by partition, as one of the materialization that this run has made."""
        entries = [self._entry(_CHECKED, found) for found in self._evaluations(asset, results, blocking)]
        storage = self.instance.event_log_storage
        if isinstance(storage, PooledSqliteEventLogStorage):
            storage.store_event_batch(entries)
        else:  # Dagster's own take no batch of these
            for entry in entries:
                storage.store_event(entry)

    def _entry(
        self, kind: dg.DagsterEventType, data: StepMaterializationData | dg.AssetCheckEvaluation
    ) -> dg.EventLogEntry:
        event = dg.DagsterEvent(
            event_type_value=kind.value, job_name=self.job, step_handle=self.step, event_specific_data=data
        )
        return dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level=logging.INFO,
            user_message="",
            run_id=self.run_id,
            timestamp=time.time(),
            step_key=self.step.to_key(),
            job_name=self.job,
            dagster_event=event,
        )

    def _evaluations(
        self, asset: dg.AssetKey, results: Mapping[str, Sequence[dg.AssetCheckResult]], blocking: Blocking
    ) -> Iterator[dg.AssetCheckEvaluation]:
        made = self.instance.get_asset_event_summary_records(
            event_type=dg.DagsterEventType.ASSET_MATERIALIZATION, asset_key=asset, run_id=self.run_id
        )
        targets = {
            record.partition: Target(storage_id=record.storage_id, run_id=self.run_id, timestamp=record.timestamp)
            for record in made
        }
        for partition, of_partition in results.items():
            for result in of_partition:
                assert result.check_name is not None
                is_blocking = blocking[dg.AssetCheckKey(asset, result.check_name)]
                yield evaluated(asset, result, partition, targets[partition], blocking=is_blocking)
