"""A run on another host, whose lock files nobody sees here: alive by its heartbeats, dead by their silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from etl_platform_tests.faults.test_every_boundary import POINTS
from etl_platform_tests.support.apart import Apart, eventually
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresServer

pytestmark = pytest.mark.long


def test_it_is_left_alone_while_it_lives_and_picked_up_when_it_is_silent(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    ledger = postgres_server.new_database().url.replace("postgresql:", "postgresql+psycopg:", 1)
    shared = {"ETL_LEDGER_URL": ledger}
    here = Apart(tmp_path, shared).prepare()
    there = here.other(
        ETL_HOME=str(tmp_path / "there"),
        ETL_LANDING=here.settings.landing_root,
        ETL_LAKE=here.settings.lake_root,
        ETL_DUCKDB_PATH=str(here.settings.duckdb_file),
    )
    here.deliver(DATE)
    mark = tmp_path / "mark"
    alive = there.materialize(DATE, point=replace(POINTS["copied"], ending="halt", mark=str(mark)))
    eventually(mark.exists)
    assert not here.settings.processes.exists() and there.settings.processes.exists()

    said = here.run()  # waits longer than the silence

    assert "left alone" in said and len(here.attempts(DATE)) == 1
    here.tick()
    assert len(here.attempts(DATE)) == 1
    alive.kill()
    alive.wait()

    said = here.run()

    assert "picked up" in said and here.left() == []
    assert len(here.holds(DATE)[f"warehouse/prices {DATE} first"]) == 5
