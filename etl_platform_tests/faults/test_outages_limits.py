"""What is tried again and how often: a service that answers and fails one partition for ever, and permanent errors."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from etl_platform.defs import due, sensors
from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.ledger.records import Outcome, State
from etl_platform.pipeline import attempt
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform_tests.support.outages import QUICK, Clockwork
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, dagster_instance, open_instance, plain

__all__ = ["dagster_instance", "plain"]

LIMIT = 3


class Clock:
    """Of everything that counts failures."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = dt.datetime(2025, 6, 2, 8, tzinfo=dt.UTC)
        for module in (attempt, due, sensors):
            monkeypatch.setattr(module, "now", lambda: self.now)

    def forward(self, **step: float) -> None:
        self.now += dt.timedelta(**step)


@pytest.fixture
def limited(plain: Platform) -> Iterator[Platform]:
    chosen = {"service_failures_a_day": LIMIT, **QUICK}
    settings = plain.settings.model_copy(update=chosen)
    with open_instance(plain.settings.root.parent / "dagster of its own") as instance:
        yield Platform(settings, instance)


def refuse_first(monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[str]:
    """The warehouse answers, and fails whatever `first` sends. Returns the calls."""
    original = DuckDBStore.replace
    calls: list[str] = []

    def replace(self, table, partitions, batches):  # type: ignore[no-untyped-def]
        if partitions[0].institution == "first":
            calls.append(table.name)
            raise error
        return original(self, table, partitions, batches)

    monkeypatch.setattr(DuckDBStore, "replace", replace)
    return calls


def run_all(daemon: Clockwork) -> int:
    requests = daemon.tick()
    for request in requests:
        daemon.start(request)
    return len(requests)


def test_a_partition_that_its_service_fails_for_ever_has_failed_after_so_many_times_a_day(
    limited: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Clockwork(limited)
    error = StorageUnavailableError("Postgres", found="this one is too wide", service="warehouse").given_up(5, 32.5)
    refuse_first(monkeypatch, error)
    clock = Clock(monkeypatch)
    for code in ("first", "second"):
        limited.put(f"{code}/prices/{DATE}/a.csv", HEADER + bar("AAA"))

    runs = 0
    for _ in range(40):
        runs += run_all(daemon)
        assert limited.ledger.leases() == [], "nothing but its delay keeps it from the next try"
        clock.forward(minutes=2)

    assert limited.attempt("prices", "second").outcome is Outcome.SUCCEEDED
    assert runs == 1 + 1 + LIMIT, "second's, first's first, and one for each failure but the last"
    (item,) = limited.objects("prices", "first")
    assert item.state is State.FAILED and limited.ledger.troubles() == []
    assert limited.attempt("prices", "first").outcome is Outcome.FAILED
    for part in (
        "gave up after 5 tries in 32 s; last answer: this one is too wide",
        f"failed more than {LIMIT} times today although warehouse answers",
    ):
        assert part in str(item.reason)


def test_the_next_day_counts_anew(limited: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Clockwork(limited)
    refuse_first(monkeypatch, StorageUnavailableError("Postgres", found="busy", service="warehouse"))
    clock = Clock(monkeypatch)
    limited.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    for _ in range(3):
        for _ in range(6):
            run_all(daemon)
            clock.forward(seconds=10)
            if sum(t.failures for t in limited.ledger.troubles()) == LIMIT:
                break
            clock.forward(minutes=2)
        (trouble,) = limited.ledger.troubles()
        assert trouble.service == "warehouse" and trouble.failures == LIMIT
        clock.forward(days=1)
    monkeypatch.undo()

    for _ in range(3):
        run_all(daemon)
    assert limited.attempt("prices", "first").outcome is Outcome.SUCCEEDED and limited.ledger.troubles() == []


def test_a_permanent_error_is_tried_once(limited: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Clockwork(limited)
    calls = refuse_first(monkeypatch, StorageError("Postgres", found="42501: permission denied"))
    limited.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))

    assert run_all(daemon) == 1
    assert [run_all(daemon) for _ in range(4)] == [0, 0, 0, 0]

    assert sorted(calls) in (["daily_bars", "prices"], ["prices"])
    (item,) = limited.objects("prices", "first")
    assert item.state is State.FAILED and "permission denied" in str(item.reason)
    assert limited.attempt("prices", "first").outcome is Outcome.FAILED
