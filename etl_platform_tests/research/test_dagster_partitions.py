"""What Dagster 1.13.27 does with range runs, checks by partition and backfills.

The note is docs/research/dagster-1.13-partitions.md.

Belongs here: facts about Dagster on which the platform rests. A failure means that a new version does otherwise: read
the note, then change the note and what rests on it. Not here: what the platform makes of them.
"""

import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import dagster as dg
import pytest

from etl_platform_tests.research import range_runs
from etl_platform_tests.research.one_daemon import Daemon, daemon
from etl_platform_tests.research.range_runs import BOTH, END_TAG, FAILS_TAG, LEFT_OUT_TAG, START_TAG

ROWS = dg.AssetKey("rows")
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FIRST, SECOND, THIRD = (f"2025-01-0{day}|a" for day in (1, 2, 3))
RANGE = {START_TAG: FIRST, END_TAG: THIRD}
Facts = dict[str, object]


class Ran:
    """A run in this process and what it left on record."""

    def __init__(self, definitions: Sequence[dg.AssetsDefinition], **options: Any) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.result = dg.materialize(
            definitions,
            instance=self.instance,
            run_config=QUIET,
            raise_on_error=False,
            resources={"io_manager": dg.mem_io_manager},
            **options,
        )

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.result.dagster_run.tags)

    def materialized(self, asset: str = "rows") -> list[tuple[str | None, Facts]]:
        """Partition and metadata of every materialization, oldest first."""
        found = reversed(self.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records)
        made = [(record.partition_key, record.asset_materialization) for record in found]
        return [(key, {name: value.value for name, value in m.metadata.items()}) for key, m in made if m is not None]

    def check(self, name: str) -> dict[str | None, str]:
        """Partition -> state of its latest row. Public reading of planned rows there is none but the storage's."""
        storage = self.instance.event_log_storage
        found = storage.get_asset_check_execution_history(dg.AssetCheckKey(ROWS, name), limit=100)
        assert len(found) == len({record.partition for record in found})
        return {record.partition: record.status.value for record in found}

    def steps(self, kind: str) -> set[str | None]:
        return {event.step_key for event in self.result.all_events if event.event_type_value == kind}


def keyed(found: Iterable[tuple[str | None, Facts]]) -> dict[str | None, Facts]:
    """By partition; each must be there once."""
    listed = list(found)
    assert len(listed) == len(dict(listed)), listed
    return dict(listed)


# Range runs


def seen_by(tags: dict[str, str]) -> tuple[list[Facts], Ran]:
    """What the context of an asset holds in a run with these tags."""
    seen: list[Facts] = []

    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        seen.append(
            {
                "keys": list(context.partition_keys),
                "range": (context.partition_key_range.start, context.partition_key_range.end),
                "tags": dict(context.run.tags),
                "one": context.has_partition_key,
                "many": context.has_partition_key_range,
            }
        )

    return seen, Ran([rows], tags=tags)


def test_a_range_run_knows_its_keys_and_carries_two_tags_and_no_partition_tag() -> None:
    (seen,), ran = seen_by(RANGE)
    assert ran.result.success
    assert seen == {
        "keys": [FIRST, SECOND, THIRD], "range": (FIRST, THIRD), "tags": RANGE, "one": False, "many": True
    }  # fmt: skip
    assert not [tag for tag in ran.tags if tag.startswith("dagster/partition")]


def test_a_run_of_one_partition_carries_its_key_and_both_dimensions_as_tags() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows() -> None: ...

    tags = Ran([rows], partition_key=FIRST).tags
    assert tags.pop("dagster/partition_set")
    assert tags == {
        "dagster/partition": FIRST, "dagster/partition/date": "2025-01-01", "dagster/partition/institution": "a"
    }  # fmt: skip


def test_a_range_of_one_key_has_no_partition_tag_but_its_key_can_be_read() -> None:
    keys: list[str] = []

    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        assert not context.has_partition_key
        keys.append(context.partition_key)

    ran = Ran([rows], tags={START_TAG: FIRST, END_TAG: FIRST})
    assert ran.result.success and keys == [FIRST]
    assert "dagster/partition" not in ran.tags


def test_the_one_key_of_a_range_of_many_cannot_be_read() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        with pytest.raises(dg.DagsterInvariantViolationError, match="range of partitions"):
            _ = context.partition_key

    assert Ran([rows], tags=RANGE).result.success


def test_a_range_over_two_institutions_is_the_rectangle_between_its_ends() -> None:
    (seen,), _ = seen_by({START_TAG: FIRST, END_TAG: "2025-01-02|b"})
    assert sorted(map(str, seen["keys"])) == [FIRST, "2025-01-01|b", SECOND, "2025-01-02|b"]  # type: ignore[call-overload]
    (seen,), _ = seen_by({START_TAG: SECOND, END_TAG: "2025-01-02|b"})
    assert sorted(map(str, seen["keys"])) == [SECOND, "2025-01-02|b"]  # type: ignore[call-overload]


def test_a_range_with_its_ends_exchanged_is_empty_and_succeeds_with_a_materialization_of_no_partition() -> None:
    (seen,), ran = seen_by({START_TAG: "2025-01-02|b", END_TAG: FIRST})
    assert seen["keys"] == [] and ran.result.success
    assert ran.materialized() == [(None, {})]


def test_a_range_beyond_the_dates_is_refused_before_a_step() -> None:
    with pytest.raises(Exception, match="after the partitions definition end time"):
        seen_by({START_TAG: FIRST, END_TAG: "2027-01-01|a"})


# Materializations


def test_an_output_materializes_every_partition_of_the_range_whatever_was_done() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata={"of": "all"})

    found = keyed(Ran([rows], tags=RANGE).materialized())
    assert found == {key: {"of": "all"} for key in (FIRST, SECOND, THIRD)}


def test_metadata_by_partition_is_on_the_one_materialization_of_its_partition() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        for key in context.partition_keys[:2]:
            context.add_asset_metadata({"own": key}, partition_key=key)

    found = keyed(Ran([rows], tags=RANGE).materialized())
    assert found == {FIRST: {"own": FIRST}, SECOND: {"own": SECOND}, THIRD: {}}


def test_metadata_for_a_partition_outside_the_range_fails_the_step() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        context.add_asset_metadata({"own": 1}, partition_key="2025-01-04|a")

    ran = Ran([rows], tags=RANGE)
    assert not ran.result.success and not ran.materialized()


def test_a_logged_materialization_is_followed_by_the_one_of_the_output_which_is_then_the_latest() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        for key in context.partition_keys[:2]:
            context.log_event(dg.AssetMaterialization("rows", partition=key, metadata={"own": key}))

    found = Ran([rows], tags=RANGE).materialized()
    assert found[:2] == [(FIRST, {"own": FIRST}), (SECOND, {"own": SECOND})]
    assert keyed(found[2:]) == {FIRST: {}, SECOND: {}, THIRD: {}}


def test_a_logged_materialization_stays_when_the_step_fails() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetMaterialization("rows", partition=FIRST))
        raise dg.Failure("the others are left")

    ran = Ran([rows], tags=RANGE)
    assert not ran.result.success
    assert ran.instance.get_materialized_partitions(ROWS) == {FIRST}


def test_nobody_checks_the_partition_of_a_logged_materialization() -> None:
    @dg.asset(partitions_def=BOTH)
    def rows(context: dg.AssetExecutionContext) -> None:
        context.log_event(dg.AssetMaterialization("rows", partition="no such partition"))

    ran = Ran([rows], tags=RANGE)
    assert ran.result.success
    assert "no such partition" in ran.instance.get_materialized_partitions(ROWS)


def test_an_optional_output_that_is_not_yielded_skips_all_later_steps() -> None:
    @dg.multi_asset(outs={name: dg.AssetOut(is_required=False) for name in ("rows", "other")}, partitions_def=BOTH)
    def both(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        for key in context.partition_keys:
            context.log_event(dg.AssetMaterialization("rows", partition=key))
        yield dg.Output(None, "other")

    @dg.asset(partitions_def=BOTH, deps=["rows"])
    def next_one() -> None: ...

    @dg.asset(partitions_def=BOTH, deps=[next_one])
    def last_one() -> None: ...

    @dg.asset(partitions_def=BOTH, deps=["other"])
    def beside() -> None: ...

    ran = Ran([both, next_one, last_one, beside], tags=RANGE)
    assert ran.result.success
    assert keyed(ran.materialized()) == {FIRST: {}, SECOND: {}, THIRD: {}}
    assert ran.steps("STEP_SKIPPED") == {"next_one", "last_one"}
    assert ran.steps("STEP_SUCCESS") == {"both", "beside"}


def test_an_optional_output_is_yielded_by_a_function_that_returns_nothing() -> None:
    @dg.multi_asset(specs=[dg.AssetSpec("rows", partitions_def=BOTH, skippable=True)])
    def leaves_it_out() -> None: ...

    assert keyed(Ran([leaves_it_out], tags=RANGE).materialized()).keys() == {FIRST, SECOND, THIRD}


# Checks

Told = Literal["logged", "logged with output", "yielded result", "yielded evaluation"]


def checked(told: Told, *, blocking: bool = False, fails: str | None = None, left_out: str | None = None) -> Ran:
    """A range run of rows, two checks in one step, and an asset that rests on rows."""
    names = ("keys_are_unique", "prices_are_positive")
    specs = [dg.AssetCheckSpec(name, asset=ROWS, partitions_def=BOTH, blocking=blocking) for name in names]

    @dg.asset(partitions_def=BOTH)
    def rows() -> None: ...

    @dg.asset(partitions_def=BOTH, deps=[rows])
    def later() -> None: ...

    @dg.multi_asset_check(specs=specs, can_subset=True)
    def judge(context: dg.AssetCheckExecutionContext) -> Iterator[Any]:
        step = context.op_execution_context
        for check in context.selected_asset_check_keys:
            for key in step.partition_keys:
                evaluation = dg.AssetCheckEvaluation(
                    ROWS, check.name, passed=key != fails, metadata={}, blocking=blocking, partition=key
                )
                if key == left_out:
                    continue
                if told == "yielded evaluation":
                    yield evaluation
                elif told != "yielded result":
                    step.log_event(evaluation)  # type: ignore[arg-type]
            if told == "yielded result":
                yield dg.AssetCheckResult(asset_key=ROWS, check_name=check.name, passed=fails is None)
            elif told != "logged":
                yield dg.Output(None, f"rows_{check.name}")

    return Ran([rows, later, judge], tags=RANGE)


def states(first: str, second: str, third: str) -> dict[str | None, str]:
    return {FIRST: first, SECOND: second, THIRD: third}


def test_a_logged_evaluation_fills_the_planned_row_of_its_partition() -> None:
    ran = checked("logged", fails=SECOND)
    assert ran.result.success
    for name in ("keys_are_unique", "prices_are_positive"):
        assert ran.check(name) == states("SUCCEEDED", "FAILED", "SUCCEEDED")


def test_the_context_of_a_check_has_no_log_event_of_its_own() -> None:
    assert not hasattr(dg.AssetCheckExecutionContext, "log_event")
    assert hasattr(dg.OpExecutionContext, "log_event")


def test_a_partition_without_a_result_stays_planned_in_a_run_that_succeeds() -> None:
    ran = checked("logged", left_out=SECOND)
    assert ran.result.success
    assert ran.check("keys_are_unique") == states("SUCCEEDED", "PLANNED", "SUCCEEDED")


def test_a_yielded_result_loses_its_partition_and_leaves_every_planned_row() -> None:
    ran = checked("yielded result")
    assert ran.result.success
    assert ran.check("keys_are_unique") == {**states("PLANNED", "PLANNED", "PLANNED"), None: "SUCCEEDED"}


def test_a_yielded_evaluation_keeps_its_partition() -> None:
    ran = checked("yielded evaluation", fails=SECOND)
    assert ran.result.success
    assert ran.check("keys_are_unique") == states("SUCCEEDED", "FAILED", "SUCCEEDED")


@pytest.mark.parametrize("told", ["logged", "logged with output"])
def test_a_logged_failure_of_a_blocking_check_stops_nobody(told: Told) -> None:
    ran = checked(told, blocking=True, fails=SECOND)
    assert ran.result.success
    assert ran.check("keys_are_unique") == states("SUCCEEDED", "FAILED", "SUCCEEDED")
    assert keyed(ran.materialized("later")).keys() == {FIRST, SECOND, THIRD}


def test_dagster_warns_of_a_blocking_check_that_yields_no_output(caplog: pytest.LogCaptureFixture) -> None:
    checked("logged", blocking=True)
    assert len([text for text in caplog.messages if "emitted no result" in text]) == 2
    caplog.clear()
    checked("logged with output", blocking=True)
    assert not [text for text in caplog.messages if "emitted no result" in text]


@pytest.mark.parametrize("told", ["yielded result", "yielded evaluation"])
def test_a_yielded_failure_of_a_blocking_check_stops_all_partitions(told: Told) -> None:
    ran = checked(told, blocking=True, fails=SECOND)
    assert not ran.result.success
    assert not ran.materialized("later")


# The command line


def command(monkeypatch: pytest.MonkeyPatch, asset: str) -> None:
    """`dagster asset materialize` over a range, in this process."""
    options = ["-m", range_runs.__name__, "--select", asset, "--partition-range", f"{FIRST}...{THIRD}"]
    monkeypatch.setattr(sys, "argv", ["dagster", "asset", "materialize", *options])
    (found,) = importlib.metadata.entry_points(group="console_scripts", name="dagster")
    with pytest.raises(SystemExit) as ended:
        found.load()()
    assert ended.value.code == 0


def test_the_command_line_takes_a_range_of_single_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.instance_for_test() as instance:
        command(monkeypatch, "in_one_run")
        (run,) = instance.get_runs()
        assert run.is_success and {START_TAG: FIRST, END_TAG: THIRD}.items() <= run.tags.items()


@pytest.mark.parametrize("asset", ["silver", "run_by_run"])
def test_the_command_line_refuses_a_range_of_multi_run_and_of_no_policy(
    monkeypatch: pytest.MonkeyPatch, asset: str
) -> None:
    with dg.instance_for_test() as instance:
        with pytest.raises(Exception, match="single_run"):
            command(monkeypatch, asset)
        assert not instance.get_runs()


# Backfills


@pytest.fixture(scope="module")
def one_daemon() -> Iterator[Daemon]:
    with daemon() as found:
        yield found


def keys_of(institution: str, *days: int) -> list[str]:
    return [f"2025-01-{day:02}|{institution}" for day in days]


def cut(one_daemon: Daemon, assets: Sequence[str], keys: Sequence[str]) -> list[tuple[str, str]]:
    """Both ends of each run of a backfill of these keys, sorted."""
    backfill = one_daemon.backfill(assets, keys)
    one_daemon.tick(backfill)
    runs = one_daemon.runs(backfill)
    assert all(run.is_success for run in runs)
    return sorted((run.tags[START_TAG], run.tags[END_TAG]) for run in runs)


def test_many_dates_of_one_institution_are_cut_into_runs_of_at_most_so_many(one_daemon: Daemon) -> None:
    assert cut(one_daemon, ["silver", "gold"], keys_of("a", *range(1, 7))) == [
        ("2025-01-01|a", "2025-01-04|a"), ("2025-01-05|a", "2025-01-06|a"),
    ]  # fmt: skip


def test_a_gap_between_dates_ends_a_run(one_daemon: Daemon) -> None:
    assert cut(one_daemon, ["silver"], keys_of("a", 1, 2, 4, 5)) == [
        ("2025-01-01|a", "2025-01-02|a"), ("2025-01-04|a", "2025-01-05|a"),
    ]  # fmt: skip


def test_with_more_dates_than_institutions_no_run_holds_two_institutions(one_daemon: Daemon) -> None:
    assert cut(one_daemon, ["silver"], [*keys_of("a", *range(1, 7)), *keys_of("b", 2, 3, 4)]) == [
        ("2025-01-01|a", "2025-01-04|a"), ("2025-01-02|b", "2025-01-04|b"), ("2025-01-05|a", "2025-01-06|a"),
    ]  # fmt: skip


def test_with_no_more_dates_than_institutions_a_run_is_one_date_of_several_institutions(one_daemon: Daemon) -> None:
    keys = [*keys_of("a", 1, 2), *keys_of("b", 1, 2)]
    assert cut(one_daemon, ["silver"], keys) == [
        ("2025-01-01|a", "2025-01-01|b"), ("2025-01-02|a", "2025-01-02|b"),
    ]  # fmt: skip


def test_single_run_on_two_institutions_is_two_runs(one_daemon: Daemon) -> None:
    keys = [*keys_of("a", 1, 2, 3), *keys_of("b", 1, 2, 3)]
    assert cut(one_daemon, ["in_one_run"], keys) == [
        ("2025-01-01|a", "2025-01-03|a"), ("2025-01-01|b", "2025-01-03|b"),
    ]  # fmt: skip


@pytest.mark.long
def test_two_hundred_partitions_a_run_of_years_of_dates(one_daemon: Daemon) -> None:
    dates = [key for key in BOTH.get_partition_keys() if key.endswith("|a")][:210]
    assert cut(one_daemon, ["wide"], dates) == [(dates[0], dates[199]), (dates[200], dates[209])]


def test_runs_of_a_backfill_carry_both_ends_the_backfill_and_its_own_tags_and_no_dimension(one_daemon: Daemon) -> None:
    backfill = one_daemon.backfill(["silver", "gold"], keys_of("a", 1, 2, 3), tags={"institution": "a"})
    one_daemon.tick(backfill)
    (run,) = one_daemon.runs(backfill)
    assert run.tags == {
        START_TAG: FIRST, END_TAG: THIRD, "dagster/backfill": backfill, "dagster/code_location": "research",
        "institution": "a",
    }  # fmt: skip
    assert run.job_name == "__ASSET_JOB"
    assert run.asset_selection == {dg.AssetKey("silver"), dg.AssetKey("gold")}
    assert run.asset_check_selection == {dg.AssetCheckKey(dg.AssetKey("silver"), "is_valid")}


def test_a_multi_run_backfill_of_one_key_is_a_range_run_too(one_daemon: Daemon) -> None:
    assert cut(one_daemon, ["silver"], keys_of("a", 9)) == [("2025-01-09|a", "2025-01-09|a")]


def test_without_a_policy_each_partition_is_a_run_with_its_dimensions(one_daemon: Daemon) -> None:
    backfill = one_daemon.backfill(["run_by_run"], keys_of("a", 1, 2))
    one_daemon.tick(backfill)
    assert sorted(run.tags["dagster/partition"] for run in one_daemon.runs(backfill)) == [FIRST, SECOND]
    for run in one_daemon.runs(backfill):
        assert run.tags["dagster/partition/institution"] == "a" and START_TAG not in run.tags


def test_assets_of_two_policies_are_not_in_one_run(one_daemon: Daemon) -> None:
    backfill = one_daemon.backfill(["silver", "run_by_run"], keys_of("a", 1, 2))
    one_daemon.tick(backfill)
    found = [sorted(key.to_user_string() for key in run.asset_selection or ()) for run in one_daemon.runs(backfill)]
    assert sorted(found) == [["run_by_run"], ["run_by_run"], ["silver"]]


def test_a_backfill_is_complete_at_the_tick_after_its_last_run(one_daemon: Daemon) -> None:
    backfill = one_daemon.backfill(["selective"], keys_of("a", 1, 2, 3))
    assert [one_daemon.tick(backfill) for _ in range(2)] == ["REQUESTED", "COMPLETED_SUCCESS"]


def test_a_partition_left_out_by_a_run_that_succeeds_fails_the_backfill_one_tick_later(one_daemon: Daemon) -> None:
    backfill = one_daemon.backfill(["selective"], keys_of("a", 1, 2, 3), tags={LEFT_OUT_TAG: SECOND})
    assert [one_daemon.tick(backfill) for _ in range(3)] == ["REQUESTED", "REQUESTED", "COMPLETED_FAILED"]
    (run,) = one_daemon.runs(backfill)
    assert run.is_success


def test_a_run_that_fails_by_name_closes_the_backfill_at_the_next_tick(one_daemon: Daemon) -> None:
    tags = {LEFT_OUT_TAG: SECOND, FAILS_TAG: "yes"}
    backfill = one_daemon.backfill(["selective"], keys_of("a", 1, 2, 3), tags=tags)
    assert [one_daemon.tick(backfill) for _ in range(2)] == ["REQUESTED", "COMPLETED_FAILED"]
    (run,) = one_daemon.runs(backfill)
    assert run.is_failure
    made = one_daemon.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("selective"), asset_partitions=[FIRST]), limit=1
    )
    assert made.records[0].run_id == run.run_id


# Sensors


def test_a_sensor_may_ask_for_a_range_by_tags_and_gets_one_run_of_it_however_many_its_policy_allows(
    one_daemon: Daemon,
) -> None:
    one_daemon.tick_sensors()
    (run,) = one_daemon.instance.get_runs(dg.RunsFilter(tags={"dagster/sensor_name": "asks_for_a_range"}))
    assert run.is_success
    assert run.tags[START_TAG] == "2025-02-01|a" and run.tags[END_TAG] == "2025-02-06|a"
    assert run.tags["institution"] == "a"
    assert not [tag for tag in run.tags if tag.startswith("dagster/partition")]
    assert run.asset_selection == {dg.AssetKey("silver")}
    made = one_daemon.instance.get_materialized_partitions(dg.AssetKey("silver"))
    assert {f"2025-02-0{day}|a" for day in range(1, 7)} <= made
