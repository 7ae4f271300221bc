"""The daemon, the code server and all runs are killed together, or the code server with its runs alone: what they were
at is loaded after the restart."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from etl_platform_tests.faults.test_every_boundary import POINTS, prepared
from etl_platform_tests.support.apart import CODES, Apart, Point, eventually
from etl_platform_tests.support.daemon import kill_group, services
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresServer

pytestmark = pytest.mark.long
DAYS = [DATE + dt.timedelta(days=n) for n in range(3)]
PARTITIONS = [(day, code) for day in DAYS for code in CODES]
"""More than the queue lets in at once: four, three of them of one institution."""
STARTED = dg.DagsterRunStatus.STARTED
RESTART_SECONDS = 60.0


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Apart:
    if request.param == "sqlite":
        return prepared(tmp_path, None)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.new_database().url.replace("postgresql:", "postgresql+psycopg2:", 1)
    return Apart(tmp_path, {"DAGSTER_POSTGRES_URL": url}).prepare(dagster="deploy/dagster-postgres.yaml")


@pytest.fixture(autouse=True)
def postgres_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests open the instance, too."""
    for name, value in request.getfixturevalue("place").environment.items():
        monkeypatch.setenv(name, value)


def halting_points(place: Apart) -> list[Point]:
    """Each run stops for ever behind its copies."""
    copied, found = POINTS["copied"], []
    for day, code in PARTITIONS:
        match = f"datetime.date({day.year}, {day.month}, {day.day})&'{code}'"
        found.append(replace(copied, match=match, ending="halt", mark=str(place.folder / f"mark-{day}-{code}")))
    return found


def started(place: Apart) -> list[str]:
    return [run.run_id for run in place.runs() if run.status is STARTED]


def cut(place: Apart) -> list[str]:
    """The queue is full of runs that have begun; then everything is killed. Returns these runs."""
    place.deliver(*DAYS, codes=CODES)
    with services(place, *halting_points(place)) as before:
        before.start()
        runs = full_queue(place)
        before.power_cut()
    assert started(place) == runs and len(place.left()) >= len(PARTITIONS)
    return runs


def full_queue(place: Apart) -> list[str]:
    """The runs that fill it, once all of them halt."""
    eventually(lambda: len(list(place.folder.glob("mark-*"))) == 4)
    runs = started(place)
    assert len(runs) == 4
    return runs


def everything_is_loaded(place: Apart, runs: list[str]) -> None:
    assert place.left() == []
    held = place.holds(*DAYS, codes=CODES, overview=False)
    assert {len(rows) for name, rows in held.items() if "prices" in name} == {5}
    assert {len(rows) for name, rows in held.items() if "prices" not in name} == {1}
    with place.instance() as instance:
        ended = {instance.get_run_by_id(run_id).status for run_id in runs}  # type: ignore[union-attr]
    assert ended == {dg.DagsterRunStatus.FAILURE}


def test_after_the_restart_dead_runs_are_ended_and_all_is_loaded(place: Apart) -> None:
    runs = cut(place)
    with services(place) as after:
        begun = time.monotonic()
        after.start()
        eventually(lambda: not set(started(place)) & set(runs), RESTART_SECONDS)
        print("ended after", time.monotonic() - begun)
        eventually(lambda: not place.left())
        print("loaded after", time.monotonic() - begun)
    everything_is_loaded(place, runs)


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_a_code_server_that_is_restarted_loses_its_runs_and_nothing_else(place: Apart) -> None:
    """As the code container of the compose stack is: runs are its processes, and the daemon lives on."""
    place.deliver(*DAYS, codes=CODES)
    with services(place, *halting_points(place)) as both:
        server = both.start_code_server()
        both.start_daemon()
        runs = full_queue(place)
        kill_group(server)
        server.wait()
        both.points = ()
        both.start_code_server()
        eventually(lambda: not set(started(place)) & set(runs), RESTART_SECONDS)
        eventually(lambda: not place.left())
    everything_is_loaded(place, runs)


def test_run_loads_it_instead(place: Apart) -> None:
    runs = cut(place)

    said = place.run()

    assert "picked up" in said
    everything_is_loaded(place, runs)
