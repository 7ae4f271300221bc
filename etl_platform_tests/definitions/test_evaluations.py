"""Check results as this platform yields them, against what Dagster makes of the same results itself."""

from collections.abc import Iterator

import dagster as dg
import pytest

from etl_platform.defs.evaluations import latest_target, yielded

DAY = dg.StaticPartitionsDefinition(["2025-01-15", "2025-01-16"])
ASSET = dg.AssetKey(["silver", "rows"])
NAMES = ("keys_are_unique", "rows_are_conserved", "volume_is_usual")


@dg.asset(key=ASSET, partitions_def=DAY)
def rows() -> None:
    """Something to check."""


def results(failing: str | None) -> Iterator[dg.AssetCheckResult]:
    for name in NAMES:
        warns = name == "volume_is_usual"
        severity = dg.AssetCheckSeverity.WARN if warns else dg.AssetCheckSeverity.ERROR
        passed = name != failing
        yield dg.AssetCheckResult(
            asset_key=ASSET, check_name=name, passed=passed, severity=severity, metadata={"rows": 1}, description="told"
        )


def checks(failing: str | None, *, are_ours: bool) -> dg.AssetChecksDefinition:
    specs = [dg.AssetCheckSpec(n, asset=ASSET, blocking=n != NAMES[-1], partitions_def=DAY) for n in NAMES]

    @dg.multi_asset_check(name="rows_checks", specs=specs, can_subset=True)
    def rows_checks(context: dg.AssetCheckExecutionContext):  # type: ignore[no-untyped-def]
        if are_ours:
            target = latest_target(context.instance, ASSET, context.partition_key)
            outputs = rows_checks.check_specs_by_output_name
            yield from yielded(outputs, results(failing), context.partition_key, target)
        else:
            yield from results(failing)

    return rows_checks


def facts(one: dg.AssetCheckEvaluation) -> tuple[object, ...]:
    check = (one.asset_key, one.check_name, one.partition, one.passed, one.blocking)
    return (*check, one.severity, one.description, one.metadata)


def told(failing: str | None, *, are_ours: bool) -> tuple[bool, list[str], list[tuple[object, ...]]]:
    """Whether a run succeeded, the kinds of its events, and its check results without ids and times."""

    @dg.asset(deps=[ASSET], partitions_def=DAY)
    def after() -> None:
        """What failed blocking checks hold back."""

    with dg.DagsterInstance.ephemeral() as instance:
        defs = dg.Definitions([rows, after], asset_checks=[checks(failing, are_ours=are_ours)])
        job = defs.resolve_implicit_global_asset_job_def()
        run = job.execute_in_process(instance=instance, partition_key="2025-01-15", raise_on_error=False)
        made = instance.get_latest_materialization_event(ASSET)
        found = run.get_asset_check_evaluations()
        targets = [one.target_materialization_data for one in found]
        assert made is not None and all(t is not None and t.run_id == made.run_id for t in targets)
        assert all(t is not None and t.timestamp == made.timestamp for t in targets)
        kinds = [event.event_type_value for event in run.all_events]
        return run.success, kinds, [facts(one) for one in found]


@pytest.mark.parametrize("failing", [None, "keys_are_unique", "volume_is_usual"])
def test_results_are_on_record_as_dagster_would_put_them(failing: str | None) -> None:
    ours, dagsters = told(failing, are_ours=True), told(failing, are_ours=False)
    assert ours == dagsters
    assert ours[0] == (failing != "keys_are_unique")
    assert len(ours[2]) == len(NAMES)


def test_a_partition_without_materialization_has_no_target() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert latest_target(instance, ASSET, "2025-01-16") is None
