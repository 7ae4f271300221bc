"""A small graph of date x institution that a daemon can load: what the research on backfills runs.

Belongs here: definitions that a code location must find by name. Not here: definitions of one test (they stand in it).
"""

from collections.abc import Iterator

import dagster as dg

START_TAG, END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
LEFT_OUT_TAG, FAILS_TAG = "research/left_out", "research/fails"
BOTH = dg.MultiPartitionsDefinition(
    {
        "date": dg.DailyPartitionsDefinition("2025-01-01", end_date="2026-07-01"),
        "institution": dg.StaticPartitionsDefinition(["a", "b"]),
    }
)
FOUR = dg.BackfillPolicy.multi_run(max_partitions_per_run=4)


@dg.asset(partitions_def=BOTH, backfill_policy=FOUR)
def silver() -> None: ...


@dg.asset_check(asset=silver, partitions_def=BOTH)
def is_valid() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@dg.asset(partitions_def=BOTH, backfill_policy=FOUR, deps=[silver])
def gold() -> None: ...


@dg.asset(partitions_def=BOTH, backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=200))
def wide() -> None: ...


@dg.asset(partitions_def=BOTH, backfill_policy=dg.BackfillPolicy.single_run())
def in_one_run() -> None: ...


@dg.asset(partitions_def=BOTH)
def run_by_run() -> None: ...


@dg.multi_asset(specs=[dg.AssetSpec("selective", partitions_def=BOTH, skippable=True)], backfill_policy=FOUR)
def leaves_out(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    """All partitions but the one that the run's tag names. A function that returned None would materialize all."""
    left_out = context.run.tags.get(LEFT_OUT_TAG)
    for key in context.partition_keys:
        if key != left_out:
            context.log_event(dg.AssetMaterialization("selective", partition=key))
    if FAILS_TAG in context.run.tags:
        raise dg.Failure(f"left out: {left_out}")
    yield from ()


@dg.sensor(target=[silver, gold], default_status=dg.DefaultSensorStatus.RUNNING)
def asks_for_a_range() -> dg.RunRequest:
    tags = {START_TAG: "2025-02-01|a", END_TAG: "2025-02-06|a", "institution": "a"}
    return dg.RunRequest(run_key="first", asset_selection=[silver.key], tags=tags)


defs = dg.Definitions(
    assets=[silver, gold, wide, in_one_run, run_by_run, leaves_out],
    asset_checks=[is_valid],
    sensors=[asks_for_a_range],
    executor=dg.in_process_executor,
)
