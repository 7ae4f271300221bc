"""Two of the same at the same moment: no broken home, no false failure, everything loaded once."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

from etl_platform_tests.faults.test_every_boundary import prepared
from etl_platform_tests.support.apart import CODES, Apart, eventually
from etl_platform_tests.support.daemon import services
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresServer

DAYS = [DATE + dt.timedelta(days=n) for n in range(3)]
FALSE_FAILURES = ("failed", "running", "Traceback", "error")


def both_succeed(place: Apart, *arguments: str) -> list[str]:
    """Two commands at once. Returns what they said."""
    children = [place.start("etl-platform", "run", "--workers", "1", *arguments) for _ in range(2)]
    for child in children:
        assert child.wait() == 0, child.end
    for child in children:
        rest = child.said.replace("checks failed", "").replace("being loaded by run", "")
        assert not [word for word in FALSE_FAILURES if word in rest], child.end
    return [child.said for child in children]


def was_loaded_once(place: Apart) -> None:
    assert place.left() == []
    attempts = Counter((a.partition.business_date, a.partition.institution) for a in place.attempts(*DAYS, codes=CODES))
    assert set(attempts.values()) == {1} and len(attempts) == len(DAYS) * len(CODES)
    rows = place.holds(*DAYS, codes=CODES, overview=False)
    assert {len(found) for name, found in rows.items() if "prices" in name} == {5}


@pytest.mark.parametrize("number", [1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 6))])
def test_two_first_commands_leave_a_whole_home(number: int, tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    Path(place.variables["DAGSTER_HOME"], "dagster.yaml").unlink()
    own = {name: value for name, value in place.variables.items() if name != "DAGSTER_HOME"}
    place.variables.clear()
    place.variables.update(own)

    both_succeed(place)

    databases = list((place.home / "dagster").rglob("*.db"))
    assert len(databases) >= 3
    for path in databases:
        with sqlite3.connect(path) as connection:
            assert len(connection.execute("select * from alembic_version").fetchall()) <= 1, path
    assert "nothing to run" in place.run()


def test_two_runs_at_once_load_everything_once(tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    place.deliver(*DAYS, codes=CODES)

    both_succeed(place)

    was_loaded_once(place)


@pytest.mark.long
def test_two_first_commands_with_a_postgres_storage(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_server.new_database().url.replace("postgresql:", "postgresql+psycopg2:", 1)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    ledger = postgres_server.new_database().url.replace("postgresql:", "postgresql+psycopg:", 1)
    place = Apart(tmp_path, {"ETL_LEDGER_URL": ledger}).prepare(dagster="deploy/dagster-postgres.yaml")
    place.deliver(*DAYS, codes=CODES)

    both_succeed(place)

    was_loaded_once(place)


@pytest.mark.long
def test_a_run_beside_two_daemons_loads_everything_once(tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    with services(place) as found:
        found.start()
        found.start_daemon()
        eventually(lambda: "Checking for new runs" in found.said(), 120)
        place.deliver(*DAYS, codes=CODES)
        said = place.run()
        eventually(lambda: not place.left())
        was_loaded_once(place)
    assert "failed" not in said.replace("checks failed", ""), said


def test_scratch_of_killed_runs_is_swept_and_that_of_the_living_is_not(tmp_path: Path) -> None:
    place = prepared(tmp_path, None)
    scratch = place.settings.scratch
    (scratch / "silver-left").mkdir(parents=True)
    (scratch / "spool-left").write_text("rows")
    old = time.time() - 3_600
    for path in scratch.iterdir():
        os.utime(path, (old, old))
    (scratch / "silver-young").mkdir()

    place.run()

    assert [path.name for path in scratch.iterdir()] == ["silver-young"]
