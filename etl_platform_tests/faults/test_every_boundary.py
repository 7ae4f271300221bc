"""A delivery that is stopped at any boundary, in any way, is finished by one `etl-platform run` or one tick."""

from __future__ import annotations

import datetime as dt
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from etl_platform_tests.support.apart import Apart, Child, Point, eventually, new_postgres
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresServer

LEDGER = ("etl_platform.ledger.ledger", "Ledger")
LAKE = ("etl_platform.io_managers.lake", "LakeStore", "replace")
POINTS = {
    "claimed": Point(*LEDGER, "start_attempts"),
    "copied": Point("etl_platform.resources.bronze", "BronzeStore", "copy"),
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
    "half written": Point("etl_platform.io_managers.duckdb", "", "_joined"),
    "warehouse written": Point("etl_platform.io_managers.duckdb", "DuckDBStore", "replace", "silver/prices"),
}
POSTGRES = {
    "half written": Point("etl_platform.io_managers.postgres.load", "", "_append", before=True),
    "warehouse written": Point("etl_platform.io_managers.postgres.store", "PostgresStore", "replace", "silver/prices"),
}
ENDINGS = ("SIGKILL", "SIGINT", "SIGTERM", "cancelled", "reported as cancelled")
DAYS = [DATE + dt.timedelta(days=n) for n in range(1, 1 + len(ENDINGS))]


def end_all(place: Apart, point: Point) -> None:
    """One run for each ending, each at a date of its own, all at the point."""
    children: list[tuple[str, Child]] = []
    for ending, day in zip(ENDINGS, DAYS, strict=True):
        sent = {"cancelled": "halt", "reported as cancelled": "SIGKILL"}.get(ending, ending)
        mark = str(place.folder / f"mark-{day}")
        children.append((ending, place.materialize(day, point=replace(point, ending=sent, mark=mark))))
    for (ending, child), day in zip(children, DAYS, strict=True):
        mark = place.folder / f"mark-{day}"
        if ending == "cancelled":
            eventually(mark.exists)
            # What Dagster's termination does: the status, then an interrupt.
            with place.instance() as instance:
                (run,) = (r for r in instance.get_runs() if r.tags.get("dagster/partition") == f"{day}|first")
                instance.report_run_canceling(run)
                child.kill(signal.SIGINT)
                mark.with_suffix(".go").touch()
        child.wait()
        assert mark.exists(), f"{ending}: never came to the point\n{child.said}"
        if ending == "reported as cancelled":
            with place.instance() as instance:
                (run,) = (r for r in instance.get_runs() if r.tags.get("dagster/partition") == f"{day}|first")
                instance.report_run_canceled(run)


def prepared(folder: Path, server: PostgresServer | None) -> Apart:
    place = Apart(folder).prepare()
    return new_postgres(place, server.new_database()) if server else place


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Apart:
    """The same deliveries, undisturbed."""
    place = prepared(tmp_path_factory.mktemp("twin"), None)
    place.deliver(DATE, *DAYS)
    place.run()
    assert place.left() == []
    return place


def is_as_undisturbed(place: Apart, twin: Apart, *, overview: bool = True) -> None:
    assert place.left() == []
    assert place.holds(DATE, *DAYS, overview=overview) == twin.holds(DATE, *DAYS, overview=overview)


@pytest.mark.parametrize("name", [*POINTS, *DUCKDB])
def test_with_duckdb_one_run_finishes_it(name: str, tmp_path: Path, twin: Apart) -> None:
    place = prepared(tmp_path, None)
    place.deliver(DATE, *DAYS)
    place.run("--date", str(DATE))

    end_all(place, {**POINTS, **DUCKDB}[name])
    place.run()

    is_as_undisturbed(place, twin)
    assert "nothing to run" in place.run()


@pytest.mark.parametrize("name", [*POINTS, *POSTGRES])
def test_with_postgres_one_tick_finishes_it(
    name: str, tmp_path: Path, twin: Apart, postgres_server: PostgresServer
) -> None:
    place = prepared(tmp_path, postgres_server)
    place.deliver(DATE, *DAYS)
    place.run("--date", str(DATE))

    end_all(place, {**POINTS, **POSTGRES}[name])
    place.tick()

    is_as_undisturbed(place, twin, overview=False)
