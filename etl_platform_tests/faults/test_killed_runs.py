"""`etl-platform run` killed with kill -9 at every step: the next one ends where an undisturbed one ends."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from etl_platform.cli import execute
from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import LedgerObject, Outcome, State
from etl_platform_tests.cli.test_commands import Shell, deliver, etl, home
from etl_platform_tests.support.platform import DATE, HEADER, REPOSITORY, bar

__all__ = ["etl", "home"]

# Runs `etl-platform run` and ends, or halts, behind the nth call of one method.
CHILD = """
import importlib, os, signal, sys, time
module, owner, name, number, ending, *arguments = sys.argv[1:]
owner = getattr(importlib.import_module(module), owner)
original, calls = getattr(owner, name), []
def last(*args, **kwargs):
    result = original(*args, **kwargs)
    calls.append(name)
    if len(calls) == int(number):
        time.sleep(600) if ending == "halt" else os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(owner, name, last)
sys.argv = ["etl-platform", "run", *arguments]
from etl_platform.cli.main import main
main()
"""
LEDGER = ("etl_platform.ledger.ledger", "Ledger")
BRONZE = ("etl_platform.landing.copies", "BronzeStore")
LAKE = ("etl_platform.stores.lake.store", "LakeStore")
WAREHOUSE = ("etl_platform.stores.duckdb.store", "DuckDBStore")


def start(*point: str, ending: str = "kill") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, *point, ending, "--workers", "1"]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(*point: str) -> None:
    assert start(*point).wait(120) == -signal.SIGKILL


def published(home: Path) -> list[tuple[object, ...]]:
    """Institutions of each date in the table across them, and what each table of a sender holds."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.sql("select 'all', business_date, institutions from shared.market_overview").fetchall()
        for code in ("first", "second"):
            for table in ("prices", "daily_bars"):
                rows = f"select '{code} {table}', business_date, count(*) from {code}.{table} group by all"
                found += connection.sql(rows).fetchall()
    return sorted(found)


def wanted(*days: dt.date) -> list[tuple[object, ...]]:
    tables = [f"{code} {table}" for code in ("first", "second") for table in ("prices", "daily_bars")]
    return sorted([("all", day, 2) for day in days] + [(table, day, 1) for table in tables for day in days])


def runs(home: Path) -> list[dg.DagsterRunStatus]:
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        return [run.status for run in instance.get_runs()]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param((*LEDGER, "start_attempts", "1"), id="while claiming", marks=pytest.mark.long),
        pytest.param((*BRONZE, "copy", "1"), id="claimed"),
        pytest.param((*LAKE, "replace", "3"), id="before silver", marks=pytest.mark.long),
        pytest.param((*LEDGER, "mark_loaded", "1"), id="in silver", marks=pytest.mark.long),
        pytest.param((*LEDGER, "end_checks", "1"), id="checked"),
        pytest.param((*WAREHOUSE, "replace", "1"), id="half published", marks=pytest.mark.long),
        pytest.param((*WAREHOUSE, "replace", "4"), id="before the overview"),
        pytest.param((*WAREHOUSE, "replace", "5"), id="at the end of the overview", marks=pytest.mark.long),
    ],
)
def test_the_next_run_converges(point: tuple[str, ...], home: Path, etl: Shell) -> None:
    for code in ("first", "second"):
        deliver(home, code, DATE)
    killed(*point)

    done = etl("run", "--workers", "1")

    assert done.status == 0, done.out + done.err
    assert "picked up" in done.out
    everything_is_loaded(home)
    assert published(home) == wanted(DATE)
    assert set(runs(home)) == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}
    assert "nothing to run" in etl("run").out


def everything_is_loaded(home: Path) -> None:
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    assert ledger.open_attempts() == []
    states = {str(found.state) for found in ledger.objects()}
    ledger.close()
    assert states == {State.LOADED}


def test_a_date_that_is_run_again_and_killed_is_finished_by_the_next_run(home: Path, etl: Shell) -> None:
    for code in ("first", "second"):
        deliver(home, code, DATE)
    assert etl("run", "--workers", "1").status == 0
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *LEDGER, "end_checks", "1", "kill", "--workers", "1", "--date", str(DATE)],
        cwd=REPOSITORY, capture_output=True, check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL

    done = etl("run", "--workers", "1")

    assert done.status == 0 and f"first prices {DATE} not finished" in done.out and "1 in all" in done.out
    assert published(home) == wanted(DATE)


@pytest.mark.long
@pytest.mark.parametrize(
    "point", [(*LAKE, "replace", "30"), (*LEDGER, "mark_loaded", "8"), (*WAREHOUSE, "replace", "1")]
)
def test_a_run_over_many_dates_is_picked_up(point: tuple[str, ...], home: Path, etl: Shell) -> None:
    days = [DATE + dt.timedelta(days=n) for n in range(21)]
    for code in ("first", "second"):
        deliver(home, code, *days)
    killed(*point)
    nothing_has_failed_by_a_death_before_it_began(home)

    done = etl("run", "--workers", "1")

    assert done.status == 0, done.out + done.err
    assert "more partitions not finished" in done.out, done.out
    everything_is_loaded(home)
    assert published(home) == wanted(*days)


def nothing_has_failed_by_a_death_before_it_began(home: Path) -> None:
    """Dates are claimed and decided one by one: those that the dead run had not come to wait as they did."""
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    begun = {attempt.partition for attempt in ledger.open_attempts()}
    others = {found.key: found for found in ledger.objects() if place_of(found) not in begun}
    assert others and ledger.troubles() == []
    assert {(found.state, found.claimed_by) for found in others.values()} == {(State.SEEN, None)}
    ledger.close()


def place_of(found: LedgerObject) -> Delivery:
    assert found.dataset and found.business_date and found.institution
    return Delivery(found.dataset, found.business_date, found.institution)


def test_what_a_living_run_is_loading_is_left_to_it(home: Path, etl: Shell) -> None:
    for code in ("first", "second"):
        deliver(home, code, DATE)
    alive = start(*BRONZE, "copy", "1", ending="halt")
    try:
        partition = Delivery("prices", DATE, "first")
        ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
        until = time.monotonic() + 120
        while not ledger.latest_attempt(partition):
            assert time.monotonic() < until
            time.sleep(0.1)

        done = etl("run", "--workers", "1")

        assert done.status == 0 and f"left alone first prices {DATE}, second prices {DATE}" in done.out
        assert "nothing to run" in done.out, "the living one has taken both, and will come to the second"
        attempt = ledger.latest_attempt(partition)
        assert attempt is not None and attempt.outcome is Outcome.RUNNING
        (held,) = ledger.objects(partition=partition)
        assert held.claimed_by == attempt.run_id and attempt.run_id in done.out
    finally:
        alive.kill()
        alive.wait()

    done = etl("run", "--workers", "1")

    assert done.status == 0 and f"first prices {DATE} not finished" in done.out
    everything_is_loaded(home)
    assert published(home) == wanted(DATE)


def test_workers_do_not_outlive_their_parent(home: Path) -> None:
    code = (
        "import os, signal, time\n"
        "from etl_platform.cli.execute import _pool\n"
        "if __name__ == '__main__':\n"
        "    pool = _pool(2)\n"
        "    futures = [pool.submit(os.getpid) for _ in range(2)]\n"
        "    print(*{f.result() for f in futures}, flush=True)\n"
        "    [pool.submit(time.sleep, 600) for _ in range(9)]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = home.parent / "parent.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, str(script)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    workers = [int(pid) for pid in done.stdout.split()]
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert workers


def _die_or_run(number: int) -> list[execute.Result]:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_a_worker_that_is_killed_takes_only_its_own_task_with_it() -> None:
    lost: list[int] = []

    def note(number: int) -> list[execute.Result]:
        lost.append(number)
        return []

    with execute.Workers(2) as workers:
        done = [number for number, _ in workers.run(range(8), _die_or_run, note)]
        after = [number for number, _ in workers.run(range(8, 12), _die_or_run, note)]

    assert sorted(done) == list(range(8)) and lost == [3]
    assert sorted(after) == list(range(8, 12))


def test_a_lost_task_says_what_to_do(home: Path, etl: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = execute.lost_task(execute.Task(PartitionKey(DATE, "first"), ("prices",)))
    assert not result.succeeded and "memory" in str(result.error) and "next step" in str(result.error)


def test_an_unreadable_line_of_a_killed_run_is_counted_once(home: Path, etl: Shell) -> None:
    body = HEADER + "".join(bar("AAA", minute) for minute in range(20)) + bar("AAA", 30, close="cheap")
    path = home / "landing" / f"first/prices/{DATE}/a.csv"
    path.parent.mkdir(parents=True)
    path.write_text(body)
    killed(*LEDGER, "mark_loaded", "1")
    assert etl("run", "--workers", "1").status == 0
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    (found,) = ledger.objects()
    assert (found.rows_read, found.rows_silver, found.rows_quarantined) == (21, 20, 1)
