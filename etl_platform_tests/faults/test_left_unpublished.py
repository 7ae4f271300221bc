"""What is checked and not published: by selection, by the next tick, without the files."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from etl_platform.ledger.records import Outcome
from etl_platform_tests.faults.test_every_boundary import prepared
from etl_platform_tests.support.apart import BELOW, Apart, Point, eventually
from etl_platform_tests.support.platform import DATE

WRITTEN = Point("etl_platform.stores.duckdb.store", "DuckDBStore", "replace", "silver/prices", ending="halt")


@pytest.fixture
def place(tmp_path: Path) -> Apart:
    found = prepared(tmp_path, None)
    found.deliver(DATE)
    return found


@pytest.mark.parametrize("healing", ["tick", pytest.param("run", marks=pytest.mark.long)])
@pytest.mark.parametrize("left_out", ["gold and warehouse", pytest.param("warehouse", marks=pytest.mark.long)])
def test_a_selection_that_leaves_tables_out_is_published_without_the_files(
    place: Apart, healing: str, left_out: str
) -> None:
    child = place.materialize(DATE, assets=[*BELOW, *(["gold/daily_bars"] if left_out == "warehouse" else [])])
    assert child.wait() == 0, child.end
    (attempt,) = place.attempts(DATE)
    assert attempt.outcome is Outcome.CHECKED
    shutil.rmtree(place.settings.landing_root)
    Path(place.settings.landing_root).mkdir()
    before = {run.run_id for run in place.runs()}

    getattr(place, healing)()

    assert place.left() == [] and len(place.holds(DATE)[f"warehouse/prices {DATE} first"]) == 5
    new = [run for run in place.runs() if run.run_id not in before and run.asset_selection]
    touched = {key.path[0] for run in new for key in run.asset_selection or ()}
    assert touched <= {"gold", "warehouse"}, touched
    assert [a.run_id for a in place.attempts(DATE)] == [attempt.run_id]


def test_gold_or_warehouse_alone_begin_no_attempt(place: Apart) -> None:
    place.run()
    (attempt,) = place.attempts(DATE)

    for assets in (["gold/daily_bars"], ["warehouse/prices"]):
        child = place.materialize(DATE, assets=assets)
        assert child.wait() == 0, child.end

    assert place.attempts(DATE) == [attempt] and attempt.outcome is Outcome.SUCCEEDED
    assert place.left() == []


def test_what_a_publication_is_writing_counts_only_when_it_has_ended(place: Apart) -> None:
    """It writes what an older attempt stored, and a newer one comes in between: nothing tells which wrote last."""
    place.run()
    slow = place.materialize(DATE, assets=["warehouse/prices"], point=replace(WRITTEN, mark=str(place.folder / "mark")))
    try:
        eventually((place.folder / "mark").exists)
        with place.ledger() as ledger:
            ledger.request_replay(business_date=DATE, now=dt.datetime.now(dt.UTC))
        newer = place.materialize(DATE)
        assert newer.wait() == 0, newer.end
        assert place.attempts(DATE)[0].outcome is Outcome.CHECKED
    finally:
        slow.kill()
    place.run()

    assert [attempt.outcome for attempt in place.attempts(DATE)] == [Outcome.SUCCEEDED] * 2 and place.left() == []
    with place.ledger() as ledger:
        assert ledger.writes() == []
