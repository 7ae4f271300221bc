"""Whoever launched a run: what it leaves when it is ended is finished by one command, or by the daemon itself."""

from __future__ import annotations

import datetime as dt
import itertools
import signal
import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.ledger.records import Outcome
from etl_platform.resources.processes import PROCESS_TAG
from etl_platform_tests.faults.test_every_boundary import (
    DAYS,
    MANY_DAYS,
    POINTS,
    end_all,
    is_as_undisturbed,
    prepared,
    twin,
)
from etl_platform_tests.support.apart import PRICES, Apart, Point, eventually, held
from etl_platform_tests.support.daemon import services
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresServer

__all__ = ["twin"]

WAITING = Point("etl_platform.stores.duckdb.store", "DuckDBStore", "replace", "silver/prices", before=True)
BOUNDARIES = ("copied", "checked", "before the publication is noted")
SENT = ("halt", "SIGKILL", "SIGINT", "SIGTERM")
"""One that halts is terminated by Dagster."""


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
@pytest.mark.parametrize("warehouse", ["duckdb", "postgres"])
@pytest.mark.parametrize("launcher", ["execute", "command"])
def test_of_every_command_one_tick_finishes_it(
    launcher: str, warehouse: str, boundary: str, tmp_path: Path, twin: Apart, postgres_server: PostgresServer
) -> None:
    place = prepared(tmp_path, postgres_server if warehouse == "postgres" else None)
    place.deliver(*DAYS)

    end_all(place, POINTS[boundary], getattr(place, launcher))
    place.tick()

    is_as_undisturbed(place, twin, overview=False)
    assert that_told_nothing(place) == []
    place.run()  # The tables across institutions follow: by the daemon's automation, or by the command.
    is_as_undisturbed(place, twin)


@pytest.mark.long
def test_runs_of_the_sensor_a_backfill_and_the_ui_are_finished_by_the_daemon(tmp_path: Path, twin: Apart) -> None:
    """Each at three boundaries, ended in four ways; the tables across institutions follow."""
    place = prepared(tmp_path, None)
    ways = list(itertools.product(BOUNDARIES, SENT))
    days, launched = MANY_DAYS[: len(ways)], MANY_DAYS[len(ways) :]
    armed = {launcher: tmp_path / f"{launcher} is armed" for launcher in ("backfill", "ui")}

    def point(launcher: str, boundary: str, ending: str, day: dt.date) -> Point:
        found = POINTS[boundary]
        named = f"datetime.date({day.year}, {day.month}, {day.day})"
        match = "&".join(filter(None, (found.match, named)))
        mark = str(tmp_path / f"{launcher}-{ending}-{day}")
        is_armed = "" if launcher == "sensor" else str(armed[launcher])
        return replace(found, match=match, ending=ending, mark=mark, armed=is_armed)

    points = [
        point(launcher, *way, day) for launcher in ("sensor", "backfill") for way, day in zip(ways, days, strict=True)
    ]
    points += [
        point("ui", boundary, ending, day) for boundary, ending, day in zip(BOUNDARIES, SENT[1:], launched, strict=True)
    ]
    place.deliver(*days, *launched)
    with services(place, *points) as found:
        found.start()
        cancel_the_halted(place, tmp_path, "sensor", days)
        eventually(lambda: not place.left())
        armed["backfill"].touch()
        found.backfill([f"{day}|first" for day in days], PRICES)
        cancel_the_halted(place, tmp_path, "backfill", days)
        eventually(lambda: not place.left() and not running(place))
        armed["ui"].touch()
        for day in launched:
            found.launch(day)
        cancel_the_halted(place, tmp_path, "ui", launched)
        eventually(lambda: not place.left() and not running(place))
        wanted = twin.holds(*MANY_DAYS)
        eventually(lambda: place.holds(*MANY_DAYS) == wanted)
    assert place.left() == [] and that_told_nothing(place) == []


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


def that_told_nothing(place: Apart) -> list[dg.DagsterRun]:
    """Runs that began a step without having said who they are, by the process whose lock they hold.

    The daemon is ended at any moment: a run that it has just launched has neither.
    """
    with place.instance() as instance:
        silent = [run for run in instance.get_runs() if PROCESS_TAG not in run.tags]
        return [run for run in silent if instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)]


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
