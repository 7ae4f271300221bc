"""One run over many small partitions: each is on record, checked and published as if it had a run of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.defs.jobs import LOAD_MANY, OVERVIEW_MANY
from etl_platform.ledger.records import Outcome, State
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import DATE, HEADER, QUIET, Platform, Run, bar, open_instance, plain_senders
from etl_platform_tests.support.postgres import postgres_server  # noqa: F401

DAYS = [DATE + dt.timedelta(days=n) for n in range(8)]
UNREADABLE, ALL_BAD = DAYS[2], DAYS[5]
GOOD = [day for day in DAYS if day not in (UNREADABLE, ALL_BAD)]
SILVER = dg.AssetKey(["silver", "prices"])


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Eight dates of one bar, two of them bad, after one run over all of them. Only read, but for the last test."""
    folder = tmp_path_factory.mktemp("many")
    institutions = plain_senders(folder / "institutions", "first", "second")
    database = request.getfixturevalue("postgres_server").new_database() if request.param == "postgres" else None
    instance = open_instance(folder / "dagster", database)
    platform = Platform(Settings(home=folder / "home", institutions_path=institutions), instance)
    for day in DAYS:
        platform.put(f"first/prices/{day}/a.csv", HEADER + bar("AAA", date=day))
    platform.put(f"first/prices/{UNREADABLE}/b.csv", b"PAR1 this is no CSV \x00\xff")
    platform.put(f"first/prices/{ALL_BAD}/a.csv", HEADER + bar("AAA", date=ALL_BAD, close="cheap"))
    assert load_many(platform, "first", "prices", DAYS).succeeded
    return platform


def load_many(platform: Platform, institution: str, dataset: str, days: list[dt.date]) -> Run:
    config = {"institution": institution, "dataset": dataset, "dates": [day.isoformat() for day in days]}
    return run_op(platform, LOAD_MANY, "load_partitions", config)


def run_op(platform: Platform, job: str, op: str, config: Mapping[str, object]) -> Run:
    return Run(
        platform.definitions.resolve_job_def(job).execute_in_process(
            instance=platform.instance, raise_on_error=False, run_config={"ops": {op: {"config": config}}, **QUIET}
        )
    )


def on_record(instance: dg.DagsterInstance, run: Run) -> list[dg.DagsterEvent]:
    return [e.dagster_event for e in instance.all_logs(run.result.run_id) if e.dagster_event]


def test_each_good_partition_is_materialized_and_no_other(many: Platform) -> None:
    wanted = {f"{day}|first" for day in GOOD}
    for key in ("bronze/prices", "silver/prices", "quarantine/prices", "reconciliation/prices", "gold/daily_bars"):
        assert many.instance.get_materialized_partitions(dg.AssetKey(key.split("/"))) == wanted, key
    for name in ("prices", "daily_bars"):
        assert many.instance.get_materialized_partitions(dg.AssetKey(["warehouse", name])) == wanted


def test_each_check_has_passed_for_each_good_partition_as_it_is_now(many: Platform) -> None:
    keys = [key for key in many.definitions.resolve_asset_graph().asset_check_keys if key.asset_key == SILVER]
    assert len(keys) > 20
    infos = many.instance.event_log_storage.get_asset_check_partition_info(keys)
    assert {(i.check_key, i.partition_key) for i in infos} == {(k, f"{day}|first") for k in keys for day in GOOD}
    for info in infos:
        assert info.latest_execution_status.name == "SUCCEEDED"
        assert info.latest_target_materialization_storage_id == info.latest_materialization_storage_id


def test_every_attempt_has_its_end_on_record(many: Platform) -> None:
    for day in GOOD:
        attempt = many.attempt("prices", "first", day)
        assert attempt.outcome is Outcome.SUCCEEDED and attempt.totals
        assert (attempt.totals.rows_read, attempt.totals.rows_silver) == (1, 1)
        assert [found.state for found in many.objects("prices", "first", day)] == [State.LOADED]
    assert "every_file_is_readable" in (many.attempt("prices", "first", UNREADABLE).error or "")
    assert "expected at most 10.0%" in (many.attempt("prices", "first", ALL_BAD).error or "")


def test_nothing_of_a_bad_partition_is_published(many: Platform) -> None:
    for day in DAYS:
        published = [many.table("warehouse", name, "first", day).height for name in ("prices", "daily_bars")]
        assert published == ([1, 1] if day in GOOD else [0, 0])
        assert many.table("gold", "daily_bars", "first", day).height == (1 if day in GOOD else 0)


def test_the_tables_across_institutions_follow_for_all_dates(many: Platform) -> None:
    run = run_op(many, OVERVIEW_MANY, "overview_dates", {"dates": [day.isoformat() for day in GOOD]})
    assert run.succeeded
    wanted = {str(day) for day in GOOD}
    for layer in ("gold", "warehouse"):
        assert many.instance.get_materialized_partitions(dg.AssetKey([layer, "market_overview"])) == wanted
    assert many.table("warehouse", "market_overview", None, GOOD[0])["institutions"].to_list() == [1]


def test_a_second_run_over_all_changes_no_row_and_a_corrected_date_is_taken(many: Platform) -> None:
    before = {day: many.table("warehouse", "prices", "first", day).drop("_processed_at") for day in GOOD}
    many.put(f"first/prices/{ALL_BAD}/a.csv", HEADER + bar("AAA", date=ALL_BAD))

    assert load_many(many, "first", "prices", DAYS).succeeded

    for day, rows in before.items():
        assert many.table("warehouse", "prices", "first", day).drop("_processed_at").equals(rows)
    assert many.table("warehouse", "prices", "first", ALL_BAD).height == 1
    assert not many.ingest("first", UNREADABLE).succeeded  # the run of its own says what is wrong
    assert many.instance.get_materialized_partitions(SILVER) == {f"{day}|first" for day in DAYS}


def test_both_kinds_of_run_tell_the_same_of_every_dataset(platform: Platform, tmp_path: Path) -> None:
    with open_instance(tmp_path / "dagster") as instance:
        platform = Platform(platform.settings, instance)
        platform.generate(days=2, rows=40, defect_share=0)
        first, second = DATE, DATE + dt.timedelta(days=1)
        alone = platform.ingest("institution_a", first)
        assert alone.succeeded
        told: dict[str, set[str]] = {"assets": set(), "checks": set(), "blocking": set()}
        for dataset in sorted(platform.graph.institutions["institution_a"].datasets):
            run = load_many(platform, "institution_a", dataset, [second])
            assert run.succeeded and platform.attempt(dataset, "institution_a", second).outcome is Outcome.SUCCEEDED
            for event in on_record(instance, run):
                if event.is_step_materialization and event.asset_key:
                    told["assets"].add(event.asset_key.to_user_string())
                elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                    check = event.asset_check_evaluation_data
                    name = f"{check.asset_key.path[-1]}.{check.check_name}"
                    told["checks"].add(name)
                    told["blocking"] |= {name} if check.blocking else set()
        assert told["assets"] == alone.materialized
        assert told["checks"] == alone.checks.keys()
        assert told["blocking"] == {name for name, check in alone.checks.items() if check.blocking}
