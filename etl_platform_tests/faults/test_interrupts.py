"""`etl-platform run` that executes its runs itself stops at one Ctrl-C or SIGTERM, and the next one loads all."""

from __future__ import annotations

import datetime as dt
import signal
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.defs.pick_up import pick_up
from etl_platform.gold.graph import gold_graph
from etl_platform.resources.processes import Processes
from etl_platform_tests.faults.test_every_boundary import POINTS, prepared
from etl_platform_tests.support.apart import Apart, Point, eventually
from etl_platform_tests.support.platform import DATE

DAYS = [DATE + dt.timedelta(days=n) for n in range(3)]
MANY = [DATE + dt.timedelta(days=n) for n in range(21)]
BEHIND_THE_LAST_STEP = Point("dagster", "DagsterInstance", "handle_new_event", "PIPELINE_SUCCESS", before=True)
OVERVIEW = Point("etl_platform.stores.lake.store", "LakeStore", "replace", "gold/market_overview")


def stops(place: Apart, point: Point) -> None:
    """The command, interrupted at the point: it starts nothing more and says so, and keeps nothing to itself."""
    child = place.start("etl-platform", "run", "--workers", "1", point=replace(point, mark=str(place.folder / "mark")))
    assert child.wait() == 130, child.end
    assert "interrupted; what is not finished is loaded by the next `etl-platform run`" in child.said
    assert not any(text in child.said for text in ("not clean", "waiting for", "Traceback")), child.end
    with place.ledger() as ledger:
        assert ledger.leases() == []


@pytest.mark.parametrize(
    ("ending", "point"),
    [
        ("SIGINT", POINTS["checked"]),
        ("SIGTERM", POINTS["copied"]),
        pytest.param("SIGTERM", BEHIND_THE_LAST_STEP, id="SIGTERM behind the last step"),
    ],
)
def test_between_dates(ending: str, point: Point, tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    place.deliver(*DAYS)

    stops(place, replace(point, ending=ending))
    assert len(place.runs()) == 1

    said = place.run()
    assert place.left() == [] and "waiting for" not in said
    assert all(len(rows) > 0 for rows in place.holds(*DAYS).values())


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.long), 2])
def test_with_several_workers(times: int, tmp_path: Path) -> None:
    """The command alone is told to stop, as by a supervisor; the second time it waits for nothing more."""
    place = prepared(tmp_path, None)
    place.deliver(DATE)
    place.run()
    place.deliver(*(DATE + dt.timedelta(days=n) for n in range(1, 6)))
    child = place.start("etl-platform", "run", "--workers", "2")
    eventually(lambda: len(place.runs()) > 2)

    for _ in range(times):
        child.kill(signal.SIGTERM)
        child.process.join(0.2)

    assert child.wait() == 130, child.end
    assert "interrupted; what is not finished is loaded by the next `etl-platform run`" in child.said
    place.run()
    assert place.left() == []


@pytest.mark.parametrize("ending", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.long)])
def test_no_service_is_named_for_an_interrupt(ending: str, tmp_path: Path) -> None:
    """The run has failed and said nothing: nobody was away."""
    place = prepared(tmp_path, None)
    place.deliver(DATE)
    point = replace(POINTS["copied"], ending=ending, mark=str(tmp_path / "mark"))
    place.execute(DATE, point=point).wait()
    assert [run.status for run in place.runs()] == [dg.DagsterRunStatus.FAILURE]

    with place.instance() as instance, place.ledger() as ledger:
        found = pick_up(instance, ledger, Processes(place.settings.processes), gold_graph())
        (trouble,) = ledger.troubles()

    assert len(found.cut_off) == 1 and (trouble.service, trouble.deaths) == (None, 1)
    place.tick()
    assert place.left() == []


@pytest.mark.long
@pytest.mark.parametrize("point", [POINTS["copied"], OVERVIEW])
@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM"])
def test_in_a_run_over_many_dates(ending: str, point: Point, tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    place.deliver(*MANY)

    stops(place, replace(point, ending=ending))
    place.run()

    assert place.left() == []
    assert all(len(rows) > 0 for rows in place.holds(*MANY).values())
