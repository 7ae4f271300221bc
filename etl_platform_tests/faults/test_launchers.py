"""Whoever launched a run: what it leaves when it is ended is finished by one command, or by the daemon itself."""

from __future__ import annotations

import datetime as dt
import signal
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.ledger.records import Outcome
from etl_platform.resources.processes import PROCESS_TAG
from etl_platform_tests.faults.test_every_boundary import DAYS, POINTS, end_all, is_as_undisturbed, prepared, twin
from etl_platform_tests.support.apart import PRICES, Apart, Point, eventually, held
from etl_platform_tests.support.daemon import services
from etl_platform_tests.support.platform import DATE

__all__ = ["twin"]

WAITING = Point("etl_platform.io_managers.duckdb", "DuckDBStore", "replace", "silver/prices", before=True)
BOUNDARIES = ("copied", "checked", "before the publication is noted")


@pytest.mark.parametrize("ending", ["SIGINT", pytest.param("SIGKILL", marks=pytest.mark.long)])
def test_a_job_ended_while_the_warehouse_waits_is_published(ending: str, tmp_path: Path) -> None:
    """The reproduction of the report: the run has failed, silver has the rows, nothing was pending."""
    place = prepared(tmp_path, None)
    place.deliver(DATE)
    mark = tmp_path / "mark"
    child = place.execute(DATE, point=replace(WAITING, ending="halt", mark=str(mark)))
    eventually(mark.exists)
    with held(place.settings.duckdb_file):
        mark.with_suffix(".go").touch()
        eventually(lambda: Path(f"{place.settings.duckdb_file}.holder").exists())
        time.sleep(0.5)
        child.kill(signal.Signals[ending])
        child.wait()
    (attempt,) = place.attempts(DATE)
    assert attempt.outcome is Outcome.CHECKED and place.runs()[0].status is not dg.DagsterRunStatus.SUCCESS

    said = place.run()

    assert "nothing to run" not in said and place.left() == []
    rows = place.holds(DATE)
    assert len(rows[f"warehouse/prices {DATE} first"]) == 5 and len(rows[f"warehouse/daily_bars {DATE} first"]) == 1
    assert "nothing to run" in place.run()


@pytest.mark.long
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("launcher", ["execute", "command"])
def test_of_every_command_one_tick_finishes_it(launcher: str, boundary: str, tmp_path: Path, twin: Apart) -> None:
    place = prepared(tmp_path, None)
    place.deliver(*DAYS)

    end_all(place, POINTS[boundary], getattr(place, launcher))
    place.tick()

    is_as_undisturbed(place, twin, overview=False)
    assert all_said_who_they_are(place)


@pytest.mark.long
def test_runs_of_the_sensor_and_of_a_backfill_are_finished_by_the_daemon(tmp_path: Path, twin: Apart) -> None:
    place = prepared(tmp_path, None)
    days = DAYS
    armed = tmp_path / "armed"
    points: list[Point] = []
    for launcher in ("sensor", "backfill"):
        for number, day in enumerate(days):
            point = POINTS[BOUNDARIES[number // 2]]
            named = f"datetime.date({day.year}, {day.month}, {day.day})"
            match = "&".join(filter(None, (point.match, named)))
            ending = ("SIGKILL", "halt")[number % 2]
            mark = str(tmp_path / f"{launcher}-{ending}-{day}")
            is_armed = "" if launcher == "sensor" else str(armed)
            points.append(replace(point, match=match, ending=ending, mark=mark, armed=is_armed))
    place.deliver(*days)
    with services(place, *points) as found:
        found.start()
        cancel_the_halted(place, tmp_path, "sensor", days)
        eventually(lambda: not place.left())
        armed.touch()
        found.backfill([f"{day}|first" for day in days], PRICES)
        cancel_the_halted(place, tmp_path, "backfill", days)
        eventually(lambda: not place.left() and not running(place))
    is_as_undisturbed(place, twin, overview=False)
    assert all_said_who_they_are(place)


def cancel_the_halted(place: Apart, folder: Path, launcher: str, days: list[dt.date]) -> None:
    """Dagster's own termination, of each run that has halted; the others are killed."""
    cancelled: set[Path] = set()

    def all_have_ended() -> bool:
        for mark in set(folder.glob(f"{launcher}-halt-*[0-9]")) - cancelled:
            day = mark.name.removeprefix(f"{launcher}-halt-")
            with place.instance() as instance:
                filters = dg.RunsFilter(
                    tags={"dagster/partition": f"{day}|first"}, statuses=[dg.DagsterRunStatus.STARTED]
                )
                (run,) = instance.get_runs(filters)
                instance.run_launcher.terminate(run.run_id)
            mark.with_suffix(".go").touch()
            cancelled.add(mark)
        return len(list(folder.glob(f"{launcher}-*[0-9]"))) == len(days)

    eventually(all_have_ended)


def all_said_who_they_are(place: Apart) -> bool:
    """By the process whose lock each run held, whatever launched it."""
    return all(PROCESS_TAG in run.tags for run in place.runs())


def running(place: Apart) -> list[dg.DagsterRun]:
    return [run for run in place.runs() if not run.is_finished]


@pytest.mark.long
def test_a_run_killed_before_it_said_who_it_is_is_picked_up(tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    place.deliver(DATE)
    point = Point("etl_platform.defs.presence", "", "announced", before=True, mark=str(tmp_path / "mark"))
    place.materialize(DATE, point=point).wait()
    assert [run.status for run in place.runs()] == [dg.DagsterRunStatus.STARTED]

    place.run()

    assert place.left() == [] and len(place.holds(DATE)[f"warehouse/prices {DATE} first"]) == 5
