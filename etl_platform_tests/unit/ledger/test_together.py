"""Several questions and answers in one transaction."""

from __future__ import annotations

import threading

import pytest

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform_tests.support.landing_objects import NOW, PARTITION, after, landing_object
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")


def test_what_is_told_together_is_seen_inside_and_stays(ledger: Ledger) -> None:
    with ledger.together():
        assert ledger.record_seen([A], now=NOW) == 1
        with ledger.together():
            ledger.start_attempts("run", [PARTITION], now=NOW)
        assert [o.claimed_by for o in ledger.objects()] == ["run"]
    assert [o.claimed_by for o in ledger.objects()] == ["run"]
    assert ledger.record_seen([B], now=NOW) == 1  # the next call is a transaction of its own again


def test_of_what_is_told_together_nothing_stays_when_a_part_fails(ledger: Ledger) -> None:
    def half() -> None:
        with ledger.together():
            ledger.record_seen([A], now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert ledger.objects() == []


def test_another_thread_is_not_part_of_it(ledger: Ledger) -> None:
    seen: list[int] = []
    ledger.record_seen([A], now=NOW)
    with ledger.together():
        ledger.record_seen([B], now=NOW)
        other = threading.Thread(target=lambda: seen.append(len(ledger.objects())))
        other.start()
        other.join()
        assert len(ledger.objects()) == 2
    assert seen == [1]


def test_a_run_over_several_partitions_begins_those_it_has_not_begun(ledger: Ledger) -> None:
    other = Delivery("prices", after(86_400).date(), PARTITION.institution)
    far = Delivery("prices", after(9 * 86_400).date(), PARTITION.institution)
    late = landing_object("late.csv", partition=other)
    ledger.record_seen([A, late, landing_object("far.csv", partition=far)], now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.record_seen([B], now=after(1))
    ledger.start_attempts("run", [PARTITION, other, far], now=after(1))
    assert [attempt.started_at for attempt in ledger.open_attempts()] == [NOW, after(1), after(1)]
    assert {o.key: o.claimed_by for o in ledger.objects()} == {
        A.key: "run", late.key: "run", "landing/far.csv": "run", B.key: None
    }  # fmt: skip
    assert {o.key for o in ledger.objects_of([PARTITION, other])} == {A.key, B.key, late.key}
