"""What is checked and not published: by selection, by the next tick, without the files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl_platform.ledger.records import Outcome
from etl_platform_tests.faults.test_every_boundary import prepared
from etl_platform_tests.support.apart import BELOW, Apart
from etl_platform_tests.support.platform import DATE


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
