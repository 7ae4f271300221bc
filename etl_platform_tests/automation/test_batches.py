"""Many small dates of one institution and dataset go through one run, whoever starts it."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from etl_platform.defs import batches as batching
from etl_platform.defs.batches import DateBatch
from etl_platform.defs.due import starting_runs
from etl_platform.defs.launching import INSTITUTION_TAG
from etl_platform.defs.pick_up import deliveries_of, pick_up
from etl_platform.delivery import Delivery
from etl_platform.landing.copies import BronzeStore
from etl_platform.ledger.records import Outcome, State
from etl_platform.limits import BATCH_FEWEST_DATES
from etl_platform.resources.processes import PROCESS_TAG, Processes
from etl_platform_tests.automation.test_landing_sensor import Daemon, daemon
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, open_instance

__all__ = ["daemon"]

DAYS = [DATE + dt.timedelta(days=n) for n in range(BATCH_FEWEST_DATES)]
PRICES = dg.AssetKey(["warehouse", "prices"])


@pytest.fixture(scope="module")
def dagster_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Of its own: a run of one of the dates that another test has left would make them too few to go together."""
    with open_instance(tmp_path_factory.mktemp("batches")) as instance:
        yield instance


def deliver(platform: Platform, code: str, *days: dt.date, rows: str = "") -> None:
    for day in days:
        platform.put(f"{code}/prices/{day}/a.csv", HEADER + (rows or bar("AAA", date=day)))


def loaded(platform: Platform, code: str) -> set[str]:
    keys = platform.instance.get_materialized_partitions(PRICES)
    return {key for key in keys if key.endswith(f"|{code}")}


def outcomes(platform: Platform, code: str) -> set[Outcome]:
    return {platform.attempt("prices", code, day).outcome for day in DAYS}


def test_a_history_dropped_into_landing_is_one_run(daemon: Daemon) -> None:
    deliver(daemon.platform, "first", *DAYS)
    deliver(daemon.platform, "second", DATE)

    many, single = daemon.tick()

    assert many.job_name == "load_many" and (single.job_name, single.partition_key) == ("ingest", f"{DATE}|second")
    assert many.tags[INSTITUTION_TAG] == "first" and single.tags[INSTITUTION_TAG] == "second"
    assert daemon.tick() == []
    assert daemon.run(many, **many.tags).success
    assert outcomes(daemon.platform, "first") == {Outcome.SUCCEEDED}
    assert {f"{day}|first" for day in DAYS} <= loaded(daemon.platform, "first")
    assert daemon.tick() == []


def test_few_dates_and_large_ones_have_runs_of_their_own(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(daemon.platform, "first", *DAYS[1:])
    deliver(daemon.platform, "second", *DAYS)
    monkeypatch.setattr(batching, "BATCH_PARTITION_BYTES", 10)

    assert {request.job_name for request in daemon.tick()} == {"ingest"}


def test_what_is_left_is_run_alone_and_says_what_is_wrong(daemon: Daemon) -> None:
    platform = daemon.platform
    deliver(platform, "first", *DAYS[3:])
    bad = DAYS[:3]
    deliver(platform, "first", *bad, rows="AAA,never,1,1,1,1,1\n")
    (many,) = daemon.tick()
    assert daemon.run(many, **many.tags).success

    requests = daemon.tick()

    assert [request.partition_key for request in requests] == [f"{day}|first" for day in bad]
    for request in requests:
        assert not daemon.run(request).success
    assert daemon.tick() == [] and {platform.attempt("prices", "first", day).outcome for day in bad} == {Outcome.FAILED}


def test_a_whole_batch_that_is_left_is_not_a_batch_again(daemon: Daemon) -> None:
    deliver(daemon.platform, "first", *DAYS, rows="AAA,never,1,1,1,1,1\n")
    (many,) = daemon.tick()
    assert daemon.run(many, **many.tags, **{"dagster/run_key": str(many.run_key)}).success

    assert {request.job_name for request in daemon.tick()} == {"ingest"}


def test_while_it_starts_or_runs_nobody_else_starts_its_dates(daemon: Daemon) -> None:
    platform = daemon.platform
    deliver(platform, "first", *DAYS)
    (many,) = daemon.tick()
    run = create(platform, many.run_config, status=dg.DagsterRunStatus.STARTING, tags=dict(many.tags))
    wanted = [Delivery("prices", day, "first") for day in (*DAYS, DAYS[-1] + dt.timedelta(days=1))]

    found = starting_runs(platform.instance, wanted, platform.graph.gold, queue_moves=False)
    platform.instance.report_run_canceled(run)

    assert deliveries_of(run, platform.graph.gold) == wanted[:-1]
    assert found == dict.fromkeys(wanted[:-1], run.run_id)


def create(platform: Platform, config: Mapping[str, Any], **attributes: Any) -> dg.DagsterRun:
    """A run over many that nobody executes."""
    job = platform.definitions.resolve_job_def("load_many")
    return platform.instance.create_run_for_job(job, run_config=config, **attributes)


def test_a_dead_one_leaves_every_date_to_a_run_of_its_own(daemon: Daemon) -> None:
    platform = daemon.platform
    deliver(platform, "first", *DAYS)
    (many,) = daemon.tick()
    tags = {**many.tags, "dagster/run_key": str(many.run_key), PROCESS_TAG: "gone"}
    run = create(platform, many.run_config, status=dg.DagsterRunStatus.STARTED, tags=tags)
    begun = [Delivery("prices", day, "first") for day in DAYS[:2]]
    platform.ledger.start_attempts(run.run_id, begun, now=dt.datetime.now(dt.UTC))
    processes = Processes(platform.settings.processes)
    platform.settings.processes.mkdir(parents=True, exist_ok=True)
    (platform.settings.processes / "gone.lock").touch()

    found = pick_up(platform.instance, platform.ledger, processes, platform.graph.gold)

    assert [dead.run_id for dead in found.dead] == [run.run_id]
    assert set(found.dead[0].waiting) == {Delivery("prices", day, "first") for day in DAYS}
    # Those that it had begun may be what killed it: the others are too few by now to go together.
    requests = daemon.tick()
    assert sorted(str(request.partition_key) for request in requests) == [f"{day}|first" for day in DAYS]


def test_a_run_of_one_of_its_dates_beside_it_ends_in_the_same_rows(daemon: Daemon) -> None:
    """Somebody materializes one date in the UI while the run over many is at it: one waits for the other."""
    platform = daemon.platform
    deliver(platform, "first", *DAYS)
    (many,) = daemon.tick()
    reached, go_on = threading.Event(), threading.Event()
    copy = BronzeStore.copy

    def halting(*arguments: object, **options: object) -> object:
        reached.set()
        go_on.wait(60)
        return copy(*arguments, **options)  # type: ignore[arg-type]

    results: list[dg.ExecuteInProcessResult] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BronzeStore, "copy", halting)
        thread = threading.Thread(target=lambda: results.append(daemon.run(many, **many.tags)))
        thread.start()
        assert reached.wait(60)
        beside = threading.Thread(target=lambda: results.append(platform.ingest("first", DAYS[0]).result))
        beside.start()
        go_on.set()
        thread.join()
        beside.join()

    assert [result.success for result in results] == [True, True]
    for day in DAYS:
        assert platform.table("warehouse", "prices", "first", day).height == 1
        assert platform.attempt("prices", "first", day).outcome is Outcome.SUCCEEDED
        assert [found.state for found in platform.objects("prices", "first", day)] == [State.LOADED]


def test_a_batch_is_read_back_from_its_run_and_nonsense_is_none(daemon: Daemon) -> None:
    platform, batch = daemon.platform, DateBatch("first", "prices", tuple(DAYS))
    run = create(platform, batch.run_config, status=dg.DagsterRunStatus.SUCCESS)
    assert DateBatch.of(run) == batch
    for written in ({}, {"ops": None}, {"ops": {"load_partitions": {"config": {"dates": ["x"], "institution": "a"}}}}):
        assert DateBatch.of(dg.DagsterRun(job_name="load_many", run_config=written)) is None


def test_a_tick_takes_as_many_objects_as_its_seconds_allow(daemon: Daemon) -> None:
    for number in range(1_500):
        daemon.platform.put(f"first/prices/{DATE}/{number:05}.csv", HEADER)

    daemon.tick()

    assert len(daemon.platform.ledger.objects()) == 1_500


def test_what_refers_to_another_dataset_is_asked_for_behind_it(
    plain: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = dict.fromkeys(DAYS, 10)
    monkeypatch.setattr(type(plain.ledger), "fresh_sizes", lambda *_: sizes)
    wanted = [Delivery(dataset, day, "first") for dataset in ("transactions", "prices", "accounts") for day in DAYS]

    found = batching.batches(wanted, plain.ledger)

    assert [batch.dataset for batch in found] == ["prices", "accounts", "transactions"]
