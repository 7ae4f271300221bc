"""The gate before gold and warehouse: they rest only on silver whose blocking checks passed, and whoever writes the
last of them publishes the attempt that stored it.

Inside one run Dagster holds them back itself. A run of gold alone would not be: it asks the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import NothingFailed, now
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Attempt, Outcome, Write

_passed: dict[tuple[str, str], Attempt] = {}
"""(run, table) -> the attempt whose rows that table is being written from, between a step's body and its end."""


def require_checked(ledger: Ledger, dataset: str, partition: PartitionKey, run_id: str, table: str) -> None:
    """Stop when the latest attempt at the silver partition is not checked. Raises dg.Failure, not retried.

    run_id, table: of the step that passes here, for `publication_reported`.
    """
    attempt = ledger.latest_attempt(Delivery.of(dataset, partition))
    if attempt is None or _passes(ledger, attempt, run_id, table):
        return
    raise dg.Failure(
        description=(
            f"silver/{dataset} of {partition}: found its latest attempt {attempt.outcome} "
            f"({attempt.error or 'not finished'}), expected one whose blocking checks passed; "
            f"next step: materialize silver/{dataset} of this partition with its checks first"
        ),
        allow_retries=False,
    ) from NothingFailed()


def note_checked(ledger: Ledger, dataset: str, partition: PartitionKey, run_id: str, table: str) -> None:
    """The same for a table that rests on gold: gold itself was stopped, what is there is right."""
    attempt = ledger.latest_attempt(Delivery.of(dataset, partition))
    if attempt is not None:
        _passes(ledger, attempt, run_id, table)


def _passes(ledger: Ledger, attempt: Attempt, run_id: str, table: str) -> bool:
    is_checked = attempt.outcome in (Outcome.CHECKED, Outcome.SUCCEEDED)
    if is_checked:
        _passed[run_id, table] = attempt
    if is_checked and attempt.run_id != run_id:
        # Nothing holds back a newer attempt: it must not count as published until this write has ended.
        ledger.begin_write(Write(run_id, attempt.partition, table, attempt.run_id))
    return is_checked


def publication_reported(table: str, wanted: Mapping[str, str | None]) -> dg.HookDefinition:
    """Puts on record that `table` holds what the attempt stored that the step passed the gate with. With all of
    `wanted` the attempt has succeeded."""

    @dg.success_hook(name=f"publish_{table.replace('/', '_')}", required_resource_keys={"ledger"})
    def publish(context: dg.HookContext) -> None:
        attempt = _passed.pop((context.run_id, table), None)
        if attempt is not None:
            ledger: Ledger = context.resources.ledger
            ledger.publish(attempt.run_id, attempt.partition, [table], wanted=wanted, writer=context.run_id, now=now())

    return publish
