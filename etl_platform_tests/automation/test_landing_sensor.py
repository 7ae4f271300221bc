"""`new_landing_objects` through its real definition: every object found once, every touched partition run once."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from etl_platform.defs import due
from etl_platform.landing.scan import scan_landing
from etl_platform.landing.zone import LandingZone
from etl_platform.ledger.records import Outcome, State
from etl_platform.limits import DEATHS_LIMIT
from etl_platform.pipeline import attempt as attempts
from etl_platform.resources.processes import PROCESS_TAG, Processes
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, plain_senders
from etl_platform_tests.support.s3 import S3Bucket

SENSOR = "new_landing_objects"


class Daemon:
    """What Dagster's daemon does with a sensor: keeps its cursor, and starts a run key once."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.cursor: str | None = None
        self.known_keys: set[str] = set()

    def tick(self, *, cursor_is_lost: bool = False) -> list[dg.RunRequest]:
        """One tick; returns the requests that start a run."""
        data = self.evaluate()
        if not cursor_is_lost:
            self.cursor = data.cursor
        requests = list(data.run_requests or [])
        started = [r for r in requests if r.run_key not in self.known_keys]
        self.known_keys |= {str(r.run_key) for r in requests}
        return started

    def evaluate(self) -> dg.SensorExecutionData:
        definitions = self.platform.definitions
        sensor = definitions.resolve_sensor_def(SENSOR)
        with dg.build_sensor_context(
            instance=self.platform.instance,
            cursor=self.cursor,
            repository_def=definitions.get_repository_def(),
            resources={key: self.platform.resources[key] for key in sensor.required_resource_keys},
        ) as context:
            return sensor.evaluate_tick(context)

    def run(self, request: dg.RunRequest, **tags: str) -> dg.ExecuteInProcessResult:
        """Execute a request as the daemon's launcher would. tags: of the run."""
        job = self.platform.definitions.resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            run_config=request.run_config,
            instance=self.platform.instance,
            raise_on_error=False,
            tags=tags,
        )


def settle(daemon: Daemon) -> None:
    """Tick and run until nothing is started any more."""
    while requests := daemon.tick():
        for request in requests:
            assert daemon.run(request).success


def keys(requests: list[dg.RunRequest]) -> list[str]:
    """The partitions of all runs, also of one over many dates."""
    found = [str(r.partition_key) for r in requests if r.partition_key]
    for config in (r.run_config["ops"]["load_partitions"]["config"] for r in requests if r.run_config):
        found += [f"{date}|{config['institution']}" for date in config["dates"]]
    return sorted(found)


@pytest.fixture
def daemon(plain: Platform) -> Daemon:
    return Daemon(plain)


def small_ticks(tmp_path: Path, instance: dg.DagsterInstance, **settings: object) -> Platform:
    folder = plain_senders(tmp_path / "institutions", "first", "second")
    return Platform(Settings(home=tmp_path / "home", institutions_path=folder, **settings), instance)


def test_one_run_per_touched_partition(daemon: Daemon) -> None:
    for name in ("a", "b", "c"):
        daemon.platform.put(f"first/prices/2025-01-15/{name}.csv", HEADER + bar("AAA"))
    daemon.platform.put("first/prices/2025-01-16/a.csv", HEADER + bar("AAA", date=dt.date(2025, 1, 16)))
    daemon.platform.put("second/prices/2025-01-15/a.csv", HEADER + bar("AAA"))

    requests = daemon.tick()

    assert keys(requests) == ["2025-01-15|first", "2025-01-15|second", "2025-01-16|first"]
    assert {r.job_name for r in requests} == {"ingest"}


def test_several_datasets_of_a_partition_are_one_run(platform: Platform) -> None:
    platform.generate(rows=5)
    daemon = Daemon(platform)

    requests = daemon.tick()

    assert keys(requests) == [f"{DATE}|{code}" for code in ("institution_a", "institution_b", "institution_c")]
    for request in requests:
        silver = {key.path[1] for key in request.asset_selection or () if key.path[0] == "silver"}
        assert silver >= {"prices", "transactions"}


def test_a_request_runs_the_assets_of_its_dataset_with_their_checks(daemon: Daemon) -> None:
    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    (request,) = daemon.tick()

    result = daemon.run(request)

    assert result.success
    names = {e.check_name for e in result.get_asset_check_evaluations()}
    graph = daemon.platform.definitions.get_repository_def().asset_graph
    checked = (["silver", "prices"], ["gold", "daily_bars"])
    assert names == {k.name for k in graph.asset_check_keys if k.asset_key.path in checked}
    materialized = {e.asset_key.path[-1] for e in result.all_events if e.is_step_materialization and e.asset_key}
    assert materialized == {"prices", "daily_bars"}
    assert daemon.platform.attempt("prices", "first").outcome is Outcome.SUCCEEDED


def test_an_empty_tick_starts_nothing_and_says_so(daemon: Daemon) -> None:
    data = daemon.evaluate()
    assert not data.run_requests and "0 objects listed" in str(data.skip_message)

    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    settle(daemon)
    data = daemon.evaluate()

    assert not data.run_requests and "1 objects listed, none to load" in str(data.skip_message)


def test_more_keys_than_a_tick_takes_are_found_over_several_ticks(
    tmp_path: Path, dagster_instance: dg.DagsterInstance
) -> None:
    platform = small_ticks(tmp_path, dagster_instance, sensor_max_objects=600)
    daemon = Daemon(platform)
    days = [dt.date(2025, 2, 1) + dt.timedelta(days=n % 25) for n in range(1_300)]
    for number, day in enumerate(days):
        platform.put(f"first/prices/{day}/{number}.csv", HEADER)
    seen = []

    requests: list[dg.RunRequest] = []
    for _ in range(4):
        requests += daemon.tick()
        seen.append(len(platform.ledger.objects()))

    assert seen == [600, 1_200, 1_300, 1_300]
    assert set(keys(requests)) == {f"{day}|first" for day in days}
    assert daemon.tick() == []


def test_a_tick_that_runs_out_of_time_goes_on_where_it_stopped(
    tmp_path: Path, dagster_instance: dg.DagsterInstance
) -> None:
    platform = small_ticks(tmp_path, dagster_instance, sensor_max_seconds=1e-9)
    daemon = Daemon(platform)
    for number in range(1_010):
        platform.put(f"first/prices/{DATE}/{number:05}.csv", HEADER)

    daemon.tick()
    first, position = len(platform.ledger.objects()), json.loads(str(daemon.cursor))
    daemon.tick()

    assert first == 1_000 and list(position.values()) == [f"first/prices/{DATE}/00999.csv"]
    assert len(platform.ledger.objects()) == 1_010


def test_keys_of_the_same_second_and_older_ones_are_found(daemon: Daemon) -> None:
    def deliver(name: str, modified: int) -> None:
        path = daemon.platform.put(f"first/prices/{DATE}/{name}.csv", HEADER + bar("AAA"))
        os.utime(path, (modified, modified))

    found = []
    # The second one of the same second; one that is visible late, was modified earlier and sorts before all others.
    for name, modified in (("a", 1_700_000_000), ("b", 1_700_000_000), ("0", 1_600_000_000)):
        deliver(name, modified)
        (request,) = daemon.tick()
        assert daemon.run(request).success
        found.append(len(daemon.platform.objects("prices", "first")))

    assert found == [1, 2, 3]


def test_an_overwritten_key_runs_its_partition_again_and_a_deleted_one_does_not(daemon: Daemon) -> None:
    path = daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    settle(daemon)
    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("BBB"))

    (request,) = daemon.tick()
    assert daemon.run(request).success
    path.unlink()

    assert daemon.tick() == []
    assert daemon.platform.table("warehouse", "prices", "first")["symbol"].to_list() == ["BBB"]
    assert sorted(o.state for o in daemon.platform.objects("prices", "first")) == [State.LOADED, State.SUPERSEDED]


def test_a_stop_between_launch_and_cursor_launches_nothing_twice(daemon: Daemon) -> None:
    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    launched = daemon.tick(cursor_is_lost=True)

    assert len(launched) == 1 and daemon.tick() == []
    daemon.cursor = "from another version {"
    assert daemon.tick() == []
    assert daemon.run(launched[0]).success
    assert daemon.tick() == []


def test_a_file_that_arrives_while_its_run_starts_is_part_of_it(daemon: Daemon) -> None:
    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    (request,) = daemon.tick()
    daemon.platform.put(f"first/prices/{DATE}/b.csv", HEADER + bar("BBB"))

    assert daemon.tick() == []
    assert daemon.run(request).success

    assert daemon.platform.table("warehouse", "prices", "first").height == 2
    assert daemon.tick() == [] and daemon.platform.ledger.pending_partitions(10) == []


def test_a_replay_launches_again_under_a_new_run_key(daemon: Daemon) -> None:
    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    (before,) = daemon.tick()
    assert daemon.run(before).success
    daemon.platform.ledger.request_replay(business_date=DATE, now=dt.datetime.now(dt.UTC))

    (after,) = daemon.tick()

    assert after.partition_key == before.partition_key and after.run_key != before.run_key


def test_objects_of_nobody_are_recorded_with_the_reason_and_named_once(daemon: Daemon) -> None:
    today = dt.datetime.now(dt.UTC).date()
    reasons = {
        f"first/unknown/{DATE}/a.csv": "fits no institution's key pattern",
        f"stranger/prices/{DATE}/a.csv": "fits no institution's key pattern",
        "first/prices/15.01.2025/a.csv": "fits no institution's key pattern",
        "first/prices/2024-12-31/a.csv": "outside 2025-01-01",
        f"first/prices/{today + dt.timedelta(days=2)}/a.csv": "outside 2025-01-01",
    }
    for key in reasons:
        daemon.platform.put(key, HEADER)
    daemon.platform.put(f"first/prices/{today}/a.csv", HEADER + bar("AAA", date=today))

    data = daemon.evaluate()

    assert [r.partition_key for r in data.run_requests or []] == [f"{today}|first"]
    found = {o.key: o.reason or "" for o in daemon.platform.ledger.unrouted(100)}
    assert set(found) == set(reasons)
    for key, part in reasons.items():
        assert part in found[key], found[key]
    again = daemon.evaluate()
    assert "unrouted" not in str(again.skip_message or "")


def test_an_object_of_tomorrow_is_routed_once_its_day_has_come(plain: Platform) -> None:
    daemon = Daemon(plain)
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    plain.put(f"first/prices/{tomorrow}/a.csv", HEADER)
    assert daemon.tick() == []

    zone = plain.landing
    moved = LandingZone(
        zone.roots,
        plain.graph.institutions,
        plain.settings.first_date,
        lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=1),
    )
    scan = scan_landing(moved, plain.ledger, None, max_new=10, max_seconds=60)

    assert (scan.new, scan.unrouted) == (1, 0)
    assert plain.ledger.unrouted(1) == []
    assert [p.partition.business_date for p in plain.ledger.pending_partitions(10)] == [tomorrow]
    # Dagster has no such partition yet: the tick must not fail for everybody else.
    plain.put(f"second/prices/{DATE}/a.csv", HEADER)
    assert keys(daemon.tick()) == [f"{DATE}|second"]


def test_an_object_deleted_before_its_run_is_on_record_as_withdrawn(daemon: Daemon) -> None:
    daemon.platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    gone = daemon.platform.put(f"first/prices/{DATE}/b.csv", HEADER + bar("BBB"))
    (request,) = daemon.tick()
    gone.unlink()

    assert daemon.run(request).success

    states = {o.key.rsplit("/", 1)[-1]: (o.state, o.reason) for o in daemon.platform.objects("prices", "first")}
    assert states["a.csv"] == (State.LOADED, None)
    assert states["b.csv"] == (State.WITHDRAWN, "deleted from landing")
    assert daemon.tick() == [] and daemon.platform.ledger.pending_partitions(10) == []


def test_the_attempt_of_a_killed_run_is_closed_and_its_objects_wait_again(daemon: Daemon) -> None:
    platform = daemon.platform
    platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    (before,) = daemon.tick()
    partition = next(iter(platform.ledger.pending_partitions(1))).partition
    platform.ledger.start_attempts("a run that no instance knows", [partition], now=dt.datetime.now(dt.UTC))

    (after,) = daemon.tick()

    assert after.run_key != before.run_key
    attempt = platform.attempt("prices", "first")
    assert attempt.outcome is Outcome.CRASHED and attempt.ended_at is not None
    assert "unknown to Dagster" in str(attempt.error)


def started_run(platform: Platform, process: str) -> str:
    run = platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def("ingest"),
        status=dg.DagsterRunStatus.STARTED,
        tags={PROCESS_TAG: process, "dagster/partition": f"{DATE}|first"},
    )
    return run.run_id


def test_the_attempt_of_a_run_that_is_alive_is_left_alone(daemon: Daemon) -> None:
    platform = daemon.platform
    platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    daemon.tick()
    partition = next(iter(platform.ledger.pending_partitions(1))).partition
    processes = Processes(platform.settings.processes)
    with processes.held("a run") as name:
        run_id = started_run(platform, name)
        platform.ledger.start_attempts(run_id, [partition], now=dt.datetime.now(dt.UTC) - dt.timedelta(days=1))

        assert daemon.tick() == []
        assert platform.attempt("prices", "first").outcome is Outcome.RUNNING
    # Its process has ended without a word: its file is there, its lock is not.
    (platform.settings.processes / f"{name}.lock").touch()

    (request,) = daemon.tick()

    assert platform.attempt("prices", "first").outcome is Outcome.CRASHED
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE
    assert daemon.run(request).success and processes.dead() == []


def test_a_run_that_waits_too_long_for_a_living_one_fails_nothing_but_itself(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "WAIT_FOR_RUN_SECONDS", 0.0)
    platform = daemon.platform
    platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    daemon.tick()
    partition = next(iter(platform.ledger.pending_partitions(1))).partition
    with Processes(platform.settings.processes).held("a run") as name:
        living = started_run(platform, name)
        platform.ledger.start_attempts(living, [partition], now=dt.datetime.now(dt.UTC))
        platform.put(f"first/prices/{DATE}/b.csv", HEADER + bar("BBB"))

        run = platform.ingest("first")

        assert not run.succeeded and "next step: wait for it" in next(iter(run.failures.values()))
        assert {found.state for found in platform.objects("prices", "first")} == {State.SEEN}
        assert platform.attempt("prices", "first").outcome is Outcome.RUNNING
    ended = platform.instance.get_run_by_id(living)
    assert ended is not None
    platform.instance.report_run_failed(ended)  # the instance is shared


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE])
def test_a_run_that_ended_before_it_began_is_asked_for_again_a_few_times(
    status: dg.DagsterRunStatus, daemon: Daemon
) -> None:
    """Cancelled in the queue, or its process never came up: its run key is used, and nobody else would load it."""
    # A date of its own: run keys of the first object of any ledger are the same, and the instance is shared.
    platform, date = daemon.platform, DATE + dt.timedelta(days=3 if status is dg.DagsterRunStatus.FAILURE else 4)
    platform.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))
    requests = []
    for _ in range(10):
        for request in daemon.tick():
            (item,) = platform.objects("prices", "first", date)
            assert item.state is State.SEEN
            requests.append(request)
            ended(platform, request, status)

    assert len({request.run_key for request in requests}) == len(requests) == DEATHS_LIMIT
    (item,) = platform.objects("prices", "first", date)
    assert item.state is State.FAILED and f"ended before it began ({status.value})" in str(item.reason)


def test_what_was_cancelled_in_the_queue_is_loaded_by_the_run_after_it(daemon: Daemon) -> None:
    platform, date = daemon.platform, DATE + dt.timedelta(days=5)
    platform.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))
    (request,) = daemon.tick()
    ended(platform, request, dg.DagsterRunStatus.CANCELED)

    (again,) = [*daemon.tick(), *daemon.tick()]

    assert daemon.run(again).success and daemon.tick() == []
    assert {found.state for found in platform.objects("prices", "first", date)} == {State.LOADED}


@pytest.mark.parametrize(("status", "day"), [(dg.DagsterRunStatus.NOT_STARTED, 7), (dg.DagsterRunStatus.STARTING, 8)])
def test_while_a_run_is_starting_no_second_one_is_requested(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, status: dg.DagsterRunStatus, day: int
) -> None:
    """Nor once its lease is over: only the run itself says that it is still to come."""
    platform, date = daemon.platform, DATE + dt.timedelta(days=day)
    platform.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))
    (request,) = daemon.tick()
    monkeypatch.setattr(due, "RUN_REQUEST_LOST", dt.timedelta(0))
    ended(platform, request, status, **{"dagster/partition": str(request.partition_key)})
    platform.put(f"first/prices/{date}/b.csv", HEADER + bar("BBB", date=date))

    assert [daemon.tick(), daemon.tick()] == [[], []]


def test_a_file_that_breaks_under_a_living_daemon_holds_its_deliveries_and_nothing_more(daemon: Daemon) -> None:
    """Each run reads it anew. Nothing is started again and again, and no service is named: none was away."""
    platform, date = daemon.platform, DATE + dt.timedelta(days=6)
    platform.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))
    (file,) = platform.settings.institutions_folder.glob("first*")
    good = file.read_text()
    (request,) = daemon.tick()
    file.write_text("code: first\n")
    reloaded = Daemon(Platform(platform.settings, platform.instance))
    assert not reloaded.run(request, **{"dagster/run_key": str(request.run_key)}).success

    assert [daemon.tick() for _ in range(4)] == [[], [], [], []]
    assert platform.ledger.troubles() == []
    assert {found.state for found in platform.objects("prices", "first", date)} == {State.SEEN}
    file.write_text(good)
    (again,) = [*daemon.tick(), *daemon.tick()]

    assert again.run_key != request.run_key and daemon.run(again).success
    assert {found.state for found in platform.objects("prices", "first", date)} == {State.LOADED}


def ended(platform: Platform, request: dg.RunRequest, status: dg.DagsterRunStatus, **also: str) -> None:
    """The request's run, which is so and has begun nothing. also: further tags."""
    tags = {**dict(request.tags), "dagster/run_key": str(request.run_key), **also}
    platform.instance.create_run_for_job(platform.definitions.resolve_job_def("ingest"), status=status, tags=tags)


@pytest.fixture
def s3_platform(tmp_path: Path, dagster_instance: dg.DagsterInstance, s3_bucket: S3Bucket) -> Platform:
    folder = plain_senders(tmp_path / "institutions", "first", "second")
    server = s3_bucket.server
    return Platform(
        Settings(
            home=tmp_path / "home",
            institutions_path=folder,
            landing=f"{s3_bucket.url}/landing",
            lake=f"{s3_bucket.url}/lake",
            s3_endpoint_url=server.endpoint_url,
            s3_region=server.region,
            s3_access_key_id=server.access_key_id,
            s3_secret_access_key=SecretStr(server.secret_access_key),
            s3_allow_http=True,
            sensor_max_objects=700,
        ),
        dagster_instance,
    )


def test_on_s3_new_overwritten_and_deleted_keys_lead_to_the_same_table(
    s3_platform: Platform, s3_bucket: S3Bucket
) -> None:
    daemon = Daemon(s3_platform)
    key = f"landing/first/prices/{DATE}/a.csv"
    s3_bucket.put(key, (HEADER + bar("AAA")).encode())
    s3_bucket.put(f"landing/first/prices/{DATE}/b.csv", (HEADER + bar("BBB")).encode())
    settle(daemon)
    s3_bucket.put(key, (HEADER + bar("CCC")).encode())
    (request,) = daemon.tick()
    assert daemon.run(request).success
    s3_bucket.server.client().delete_object(Bucket=s3_bucket.name, Key=key)

    assert daemon.tick() == []
    assert sorted(s3_platform.table("silver", "prices", "first")["symbol"]) == ["BBB", "CCC"]
    assert sorted(s3_platform.table("warehouse", "prices", "first")["symbol"]) == ["BBB", "CCC"]
    lake = list(filter(lambda key: key.startswith("lake/"), s3_bucket.keys()))
    assert sum(k.startswith("lake/bronze_objects/") for k in lake) == 3
    assert not any(p.is_file() for p in (s3_platform.settings.root / "lake").rglob("*"))


def test_on_s3_more_than_a_thousand_keys_are_found_over_several_ticks(
    s3_platform: Platform, s3_bucket: S3Bucket
) -> None:
    daemon = Daemon(s3_platform)
    for number in range(1_050):
        s3_bucket.put(f"landing/second/prices/{dt.date(2025, 1, 1 + number % 20)}/{number:05}.csv", b"x")

    seen = []
    requests: list[dg.RunRequest] = []
    for _ in range(2):
        requests += daemon.tick()
        seen.append(len(s3_platform.ledger.objects()))

    assert seen == [700, 1_050]
    assert len(set(keys(requests))) == 20
    assert daemon.tick() == []
