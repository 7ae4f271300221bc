"""A run on another host, whose lock files nobody sees here: alive by its heartbeats, dead by their silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from etl_platform.ledger.records import Outcome
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


@pytest.mark.parametrize("is_here", [True, False], ids=["here", "there"])
def test_a_run_that_no_other_dagster_instance_knows_is_told_from_a_dead_one(
    tmp_path: Path, postgres_server: PostgresServer, *, is_here: bool
) -> None:
    """`dagster asset materialize` without DAGSTER_HOME: nobody else sees its run and the tags of it."""
    ledger = postgres_server.new_database().url.replace("postgresql:", "postgresql+psycopg:", 1)
    here = Apart(tmp_path, {"ETL_LEDGER_URL": ledger}).prepare()
    alone = here.other(
        ETL_HOME=str(here.home if is_here else tmp_path / "there"),
        ETL_LANDING=here.settings.landing_root,
        ETL_LAKE=here.settings.lake_root,
        ETL_DUCKDB_PATH=str(here.settings.duckdb_file),
    )
    assert alone.is_prepared and alone.settings.dagster_home
    del alone.variables["DAGSTER_HOME"]
    here.deliver(DATE)
    mark = tmp_path / "mark"
    alive = alone.materialize(DATE, point=replace(POINTS["copied"], ending="halt", mark=str(mark)))
    try:
        eventually(mark.exists)

        with here.ledger() as open_ledger:
            (attempt,) = open_ledger.open_attempts()

            said = here.run()

            assert "left alone" in said and open_ledger.open_attempts() == [attempt]
    finally:
        alive.kill()
        alive.wait()

    here.run()

    with here.ledger() as ended_ledger:
        (dead,) = ended_ledger.attempts_of(attempt.run_id)
    assert dead.outcome is Outcome.CRASHED and here.attempts(DATE)[0].outcome is Outcome.SUCCEEDED
    assert here.left() == [] and len(here.holds(DATE)[f"warehouse/prices {DATE} first"]) == 5
