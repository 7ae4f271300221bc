"""How a ledger that does not answer is asked: its transactions' beginnings again and again, their bodies never."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_platform.delivery import Delivery
from etl_platform.errors import StorageUnavailableError
from etl_platform.ledger import database
from etl_platform.ledger.database import LedgerDatabase
from etl_platform.ledger.ledger import Ledger
from etl_platform.pipeline.attempt import reported
from etl_platform_tests.support.gate import Gate, run_gate
from etl_platform_tests.support.landing_objects import NOW, landing_object
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.quick import QUICK

FIRST = landing_object("first.csv")


@pytest.fixture
def gate(postgres_database: PostgresDatabase) -> Iterator[Gate]:
    with run_gate(postgres_database.server.host, postgres_database.server.port) as gate:
        yield gate


@pytest.fixture
def url(gate: Gate, postgres_database: PostgresDatabase) -> str:
    server = postgres_database.server
    return postgres_database.url.replace(f":{server.port}/", f":{gate.port}/") + "?gssencmode=disable"


def test_the_last_answer_names_the_ledger_the_tries_and_the_time(gate: Gate, url: str) -> None:
    ledger = Ledger(url, retries=QUICK)
    gate.shut()
    with pytest.raises(StorageUnavailableError, match=r"gave up after 5 tries in \S+ s; last answer: ") as caught:
        ledger.check()
    assert (caught.value.service, caught.value.tries) == ("ledger", 5)


def test_whoever_says_that_it_was_away_does_not_wait_for_it_again(
    gate: Gate, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger(url, retries=QUICK)
    gate.shut()
    partition = Delivery("prices", dt.date(2025, 1, 15), "first")
    with caplog.at_level("WARNING", "etl_platform.retries"):
        with pytest.raises(StorageUnavailableError), reported(ledger, "run", [partition]):
            ledger.latest_attempt(partition)
        waits = len(caplog.records)
    assert waits == QUICK.attempts - 1, "one ring of tries: the step's own"
    gate.open()
    assert ledger.record_seen([FIRST], now=NOW) == 1
    ledger.close()


def test_one_that_comes_back_in_time_was_never_missed(gate: Gate, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(url, retries=QUICK)
    ledger.check()
    gate.shut()
    monkeypatch.setattr("time.sleep", lambda _: gate.open())
    assert ledger.record_seen([FIRST], now=NOW) == 1
    ledger.close()


def test_what_a_transaction_does_is_never_repeated(gate: Gate, url: str) -> None:
    opened = LedgerDatabase(url, retries=QUICK)
    bodies = 0

    def lose(*, is_writing: bool) -> None:
        nonlocal bodies
        with opened.write() if is_writing else opened.read() as connection:
            bodies += 1
            gate.shut()
            connection.exec_driver_sql("SELECT 1")

    for is_writing in (True, False):
        with pytest.raises(StorageUnavailableError) as caught:
            lose(is_writing=is_writing)
        assert caught.value.service == "ledger"
        gate.open()
    with pytest.raises(StorageUnavailableError), opened.together():
        lose(is_writing=False)
    assert bodies == 3
    opened.close()


def wait_in_vain(opened: LedgerDatabase) -> None:
    with opened.write():
        raise AssertionError("nobody can write now")


def test_a_busy_sqlite_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    url = f"sqlite:///{tmp_path}/ledger.db"
    holder, other = LedgerDatabase(url), LedgerDatabase(url, retries=QUICK)
    holder.upgrade()
    begun = time.monotonic()
    with holder.write(), pytest.raises(StorageUnavailableError, match=r"gave up after 1 try .*locked") as caught:
        wait_in_vain(other)
    assert caught.value.service == "ledger" and 0.9 < time.monotonic() - begun < 4
    with other.read() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1, "readers do not wait"
    holder.close()
    other.close()


def test_a_lock_that_postgres_does_not_grant_is_waited_for_once(
    postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    holder = LedgerDatabase(postgres_database.url)
    other = LedgerDatabase(postgres_database.url, retries=QUICK)
    begun = time.monotonic()
    with holder.write(), pytest.raises(StorageUnavailableError, match="gave up after 1 try "), other.write():
        raise AssertionError("nobody can write now")
    assert 0.9 < time.monotonic() - begun < 4
    holder.close()
    other.close()
