"""What a run over many partitions tells Dagster: every materialization and check result for its own partition.

Not here: the steps (`pipeline/load.py`), facts in Dagster's words (`telling.py`).

They need no planned events: Dagster then puts a check's result on record as a row of its own, with the partition that
it names. A result counts as that of the latest materialization only if it says which one it looked at. Events that are
stored together are built here and not by the step; the types for both are not public in Dagster 1.13,
`test_history.py` holds them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.events import StepMaterializationData  # noqa: TID251 - what events hold, which Dagster does not export
from dagster._core.execution.plan.handle import StepHandle  # noqa: TID251 - likewise

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.evaluations import Target, evaluated
from etl_platform.defs.telling import check_results, stored_metadata
from etl_platform.event_log import PooledSqliteEventLogStorage
from etl_platform.partitions import format_key
from etl_platform.pipeline.facts import Stored
from etl_platform.pipeline.verdict import Verdict

_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION
_CHECKED = dg.DagsterEventType.ASSET_CHECK_EVALUATION

Blocking = Mapping[dg.AssetCheckKey, bool]
"""Every check of the graph, and whether a failure of it blocks."""


@dataclass(frozen=True)
class DagsterTeller:
    """Puts events of one step on record, those of a kind together: one by one, a run over 50 dates spends more time on
    its 1,700 events than on its rows. blocking: whether a failure of a check blocks."""

    instance: dg.DagsterInstance
    run_id: str
    job: str
    step: StepHandle
    blocking: Blocking

    @classmethod
    def of(cls, context: dg.OpExecutionContext, blocking: Blocking) -> DagsterTeller:
        """Tells of the step that Dagster is executing."""
        return cls(context.instance, context.run_id, context.job_name, StepHandle(context.op_handle), blocking)

    def stored(self, found: Sequence[Stored]) -> None:
        """A materialization of each."""
        by_asset: dict[dg.AssetKey, list[dg.EventLogEntry]] = {}
        for stored in found:
            (partition,) = stored.partitions
            # Without the column schema: the asset's definition has it, and it is most of the bytes of such an event.
            shown = {name: value for name, value in stored_metadata(stored).items() if name != "dagster/column_schema"}
            key = dg.AssetKey(stored.name)
            made = dg.AssetMaterialization(key, metadata=shown, partition=format_key(partition))
            by_asset.setdefault(key, []).append(self._entry(_MATERIALIZED, StepMaterializationData(made)))
        storage = self.instance.event_log_storage
        for entries in by_asset.values():  # Dagster's Postgres storage takes one asset at a time
            storage.store_event_batch(entries)

    def judged(self, table: tuple[str, str], found: Mapping[PartitionKey, Mapping[str, Verdict]]) -> None:
        """The results of each, as of the materialization that this run has made."""
        entries = [self._entry(_CHECKED, evaluation) for evaluation in self._evaluations(dg.AssetKey(table), found)]
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
        self, asset: dg.AssetKey, found: Mapping[PartitionKey, Mapping[str, Verdict]]
    ) -> Iterator[dg.AssetCheckEvaluation]:
        made = self.instance.get_asset_event_summary_records(
            event_type=dg.DagsterEventType.ASSET_MATERIALIZATION, asset_key=asset, run_id=self.run_id
        )
        targets = {
            record.partition: Target(storage_id=record.storage_id, run_id=self.run_id, timestamp=record.timestamp)
            for record in made
        }
        for partition, verdicts in found.items():
            key = format_key(partition)
            for result in check_results(asset, verdicts):
                assert result.check_name is not None
                is_blocking = self.blocking[dg.AssetCheckKey(asset, result.check_name)]
                yield evaluated(asset, result, key, targets[key], blocking=is_blocking)
