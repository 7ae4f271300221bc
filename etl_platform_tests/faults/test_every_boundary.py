"""A delivery that is stopped at any boundary, in any way, is finished by one `etl-platform run` or one tick."""

from __future__ import annotations

import datetime as dt
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import dagster as dg
import pytest
from _pytest.mark import ParameterSet

from etl_platform_tests.support.apart import Apart, Child, Point, eventually, new_postgres
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresServer

LEDGER = ("etl_platform.ledger.ledger", "Ledger")
LAKE = ("etl_platform.stores.lake.store", "LakeStore", "replace")
POINTS = {
    "claimed": Point(*LEDGER, "start_attempts"),
    "copied": Point("etl_platform.landing.copies", "BronzeStore", "copy"),
    "before silver": Point(*LAKE, "silver/prices", before=True),
    "in silver": Point(*LAKE, "silver/prices"),
    "decided": Point(*LEDGER, "mark_refused"),
    "checked": Point(*LEDGER, "end_checks"),
    "gold written": Point(*LAKE, "gold/daily_bars"),
    "before the publication is noted": Point(*LEDGER, "publish", "warehouse/prices", before=True),
    "publication noted": Point(*LEDGER, "publish", "warehouse/prices"),
    "at the end": Point(*LEDGER, "publish", "warehouse/daily_bars"),
}
DUCKDB = {
    "half written": Point("etl_platform.stores.duckdb.store", "", "_joined"),
    "warehouse written": Point("etl_platform.stores.duckdb.store", "DuckDBStore", "replace", "silver/prices"),
}
POSTGRES = {
    "half written": Point("etl_platform.stores.postgres.load", "", "_append", before=True),
    "warehouse written": Point("etl_platform.stores.postgres.store", "PostgresStore", "replace", "silver/prices"),
}
ENDINGS = ("SIGKILL", "SIGINT", "SIGTERM", "cancelled", "reported as cancelled")
DAYS = [DATE + dt.timedelta(days=n) for n in range(len(ENDINGS))]
MANY_DAYS = [DATE + dt.timedelta(days=n) for n in range(15)]
"""Of which the twin has all."""


def marked(*names: str, quick: str) -> list[ParameterSet]:
    """All but one take their time."""
    return [pytest.param(name, marks=[pytest.mark.long] if name != quick else []) for name in names]


class Launch(Protocol):
    """A launcher of one partition."""

    def __call__(self, date: dt.date, *, point: Point | None = None) -> Child: ...


def end_all(place: Apart, point: Point, launch: Launch) -> None:
    """One run for each ending, each at a date of its own, all at the point."""
    children: dict[str, tuple[dt.date, Child]] = {}
    for ending, day in zip(ENDINGS, DAYS, strict=True):
        sent = {"cancelled": "halt", "reported as cancelled": "SIGKILL"}.get(ending, ending)
        children[ending] = day, launch(day, point=replace(point, ending=sent, mark=str(mark(place, day))))
    # First: at some points it has what the others wait for.
    day, child = children["cancelled"]
    eventually(lambda: mark(place, day).exists() or not child.process.is_alive())
    with place.instance() as instance:
        # What Dagster's termination does: the status, then an interrupt.
        instance.report_run_canceling(run_of(instance, day))
        child.kill(signal.SIGINT)
        mark(place, day).with_suffix(".go").touch()
    for ending, (day, child) in children.items():
        child.wait()
        assert mark(place, day).exists(), f"{ending}: never came to the point\n{child.end}"
    with place.instance() as instance:
        instance.report_run_canceled(run_of(instance, children["reported as cancelled"][0]))


def mark(place: Apart, day: dt.date) -> Path:
    return place.folder / f"mark-{day}"


def run_of(instance: dg.DagsterInstance, day: dt.date) -> dg.DagsterRun:
    (run,) = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": f"{day}|first"}))
    return run


def prepared(folder: Path, server: PostgresServer | None) -> Apart:
    place = Apart(folder).prepare()
    return new_postgres(place, server.new_database()) if server else place


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    """The same deliveries, undisturbed."""
    place = prepared(tmp_path_factory.mktemp("twin"), None)
    place.deliver(*MANY_DAYS)
    place.run()
    assert place.left() == []
    return place


def is_as_undisturbed(
    place: Apart, twin: Apart, days: Sequence[dt.date] = tuple(DAYS), *, overview: bool = True
) -> None:
    assert place.left() == []
    assert place.holds(*days, overview=overview) == twin.holds(*days, overview=overview)


@pytest.mark.parametrize("name", marked(*POINTS, *DUCKDB, quick="checked"))
def test_with_duckdb_one_run_finishes_it(name: str, tmp_path: Path, twin: Apart) -> None:
    place = prepared(tmp_path, None)
    place.deliver(*DAYS)

    end_all(place, {**POINTS, **DUCKDB}[name], place.materialize)
    place.run()

    is_as_undisturbed(place, twin)


@pytest.mark.parametrize("name", marked(*POINTS, *POSTGRES, quick="half written"))
def test_with_postgres_one_tick_finishes_it(
    name: str, tmp_path: Path, twin: Apart, postgres_server: PostgresServer
) -> None:
    place = prepared(tmp_path, postgres_server)
    place.deliver(*DAYS)

    end_all(place, {**POINTS, **POSTGRES}[name], place.materialize)
    place.tick()

    is_as_undisturbed(place, twin, overview=False)
