"""What is put on record when an asset's step has ended, where its body cannot: after an IO manager wrote or failed."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from etl_platform.defs.endings import own_error
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key
from etl_platform.pipeline.attempt import end, end_unpublished
from etl_platform.pipeline.publish import note_written


def failures_reported(dataset: str, *, is_first: bool = False) -> dg.HookDefinition:
    """Ends the attempt of a run in which a step of `dataset` failed where `reported` does not see it: while an IO
    manager read or wrote. Gold and warehouse fail after the checks: what another run has checked failed, too.

    is_first: of the step that begins attempts; when it fails before that, what was launched has failed, or waits.
    """

    @dg.failure_hook(name=f"end_attempt_at_{dataset}", required_resource_keys={"ledger"})
    def end_attempt(context: dg.HookContext) -> None:
        delivery = delivery_of_run(context, dataset)
        error = context.op_exception
        if delivery is None or error is None:
            return  # a run over several partitions is refused before it begins an attempt
        ledger: Ledger = context.resources.ledger
        where, found = f"{context.step_key}: ", own_error(error) or error
        if not end(ledger, context.run_id, delivery, found, where=where):
            end_unpublished(ledger, context.run_id, delivery, found, where=where, is_first=is_first)

    return end_attempt


def publication_reported(table: str, wanted: Mapping[str, str | None]) -> dg.HookDefinition:
    """Puts on record that `table` holds what the attempt stored that the step passed the gate with. With all of
    `wanted` the attempt has succeeded."""

    @dg.success_hook(name=f"publish_{table.replace('/', '_')}", required_resource_keys={"ledger"})
    def publish(context: dg.HookContext) -> None:
        note_written(context.resources.ledger, context.run_id, table, wanted)

    return publish


def publishing_hooks(dataset: str, table: str, wanted: Mapping[str, str | None]) -> set[dg.HookDefinition]:
    """Of an asset that publishes what is stored in silver/<dataset>."""
    return {failures_reported(dataset), publication_reported(table, wanted)}


def delivery_of_run(context: dg.HookContext, dataset: str) -> Delivery | None:
    """The delivery of `dataset` that the hook's run is about; None for a run over several."""
    run = context.instance.get_run_by_id(context.run_id)
    key = run.tags.get("dagster/partition") if run else None
    return None if key is None else Delivery.of(dataset, parse_key(key))
