"""A partition waits until a run takes it, and its fingerprint changes exactly when it must be launched again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import begin, check, fingerprint, is_pending, publish, row, succeed
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")


def test_a_recorded_partition_is_pending_until_a_run_starts(ledger: Ledger) -> None:
    ledger.record_seen([A], now=NOW)
    ledger.record_seen([B], now=after(5))
    (waiting,) = ledger.pending_partitions(10)
    assert (waiting.partition, waiting.waiting_since, waiting.newest_first_seen) == (PARTITION, NOW, after(5))
    ledger.start_attempts("run", [PARTITION], now=after(6))
    assert ledger.pending_partitions(10) == []
    check(ledger, A, B)
    assert ledger.pending_partitions(10) == []
    assert publish(ledger)
    assert ledger.pending_partitions(10) == []


def test_a_sensor_that_stopped_before_the_launch_finds_the_same_partition_with_the_same_fingerprint(
    ledger: Ledger, ledger_url: str
) -> None:
    ledger.record_seen([A], now=NOW)
    before = ledger.pending_partitions(10)
    ledger.close()
    restarted = Ledger(ledger_url)
    assert restarted.unknown([A]) == []
    assert restarted.pending_partitions(10) == before
    restarted.close()


def test_a_file_that_arrives_during_a_run_makes_one_more_launch_not_two(ledger: Ledger) -> None:
    ledger.record_seen([A], now=NOW)
    first = fingerprint(ledger)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.record_seen([B], now=after(1))
    during = fingerprint(ledger)
    check(ledger, A)
    assert fingerprint(ledger) == during != first


def test_a_new_version_a_replay_and_a_restored_content_each_change_the_fingerprint(ledger: Ledger) -> None:
    steps: tuple[Callable[[], int], ...] = (
        lambda: ledger.record_seen([A], now=NOW),
        lambda: ledger.record_seen([landing_object("a.csv", etag="two", modified=after(1))], now=after(1)),
        lambda: ledger.request_replay(institution="institution_a", now=after(2)),
        lambda: ledger.record_seen([landing_object("a.csv", modified=after(3))], now=after(3)),
    )
    found = []
    for step in steps:
        step()
        found.append(fingerprint(ledger))
    assert len(set(found)) == 4


def test_the_fingerprint_does_not_depend_on_other_partitions(ledger: Ledger) -> None:
    ledger.record_seen([A], now=NOW)
    before = fingerprint(ledger)
    others = [Delivery("prices", DATE, "institution_b"), Delivery("accounts", DATE, "institution_a")]
    ledger.record_seen([landing_object(f"{p}.csv", partition=p) for p in others], now=after(1))
    assert [p.fingerprint for p in ledger.pending_partitions(10) if p.partition == PARTITION] == [before]


def test_failed_refused_and_unrouted_objects_launch_nothing(ledger: Ledger) -> None:
    ledger.record_seen([A, B], now=NOW)
    ledger.record_unrouted([(landing_object("stray.csv", partition=None), "?")], now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.mark_refused("run", [result_of(A, reason="empty")], now=NOW)
    ledger.mark_failed("run", PARTITION, "broken", now=NOW)
    assert ledger.pending_partitions(10) == []
    ledger.request_replay(dataset="prices", now=after(1))
    assert [p.partition for p in ledger.pending_partitions(10)] == [PARTITION]


def test_partitions_come_longest_waiting_first_and_page_by_page(ledger: Ledger) -> None:
    # Two moments only, so that a page ends between partitions that have waited equally long.
    partitions = [Delivery("prices", DATE + dt.timedelta(days=day), f"i_{i}") for day in (0, 1) for i in range(3)]
    ledger.record_seen([landing_object(f"{p}", partition=p) for p in partitions[3:]], now=NOW)
    ledger.record_seen([landing_object(f"{p}", partition=p) for p in partitions[:3]], now=after(0.000001))
    first = ledger.pending_partitions(4)
    second = ledger.pending_partitions(4, after=first[-1])
    assert [p.partition for p in first + second] == partitions[3:] + partitions[:3]
    assert ledger.pending_partitions(4, after=second[-1]) == []


def test_a_partition_that_lost_an_object_is_run_again_without_a_new_one(ledger: Ledger) -> None:
    succeed(ledger, A, B)
    assert ledger.pending_partitions(10) == []
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    (asked,) = ledger.pending_partitions(10)
    assert (asked.partition, asked.waiting_since, asked.newest_first_seen) == (PARTITION, after(3), after(3))
    begin(ledger, run_id="second", at=4)
    assert ledger.pending_partitions(10) == []


def test_an_object_that_no_run_has_looked_at_leaves_without_a_run(ledger: Ledger) -> None:
    ledger.record_seen([A], now=NOW)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    assert ledger.pending_partitions(10) == []


def test_each_request_for_a_run_and_each_run_changes_the_fingerprint(ledger: Ledger) -> None:
    succeed(ledger, A, B, landing_object("c.csv"))
    found = []
    for at, name in enumerate(("a.csv", "b.csv", "c.csv")):
        ledger.withdraw(row(ledger, name), reason="wrong file", by="ann", now=after(at))
        found.append(fingerprint(ledger))
    assert len(set(found)) == 3
    assert ledger.pending_partitions(10)[0].fingerprint == found[-1], "it stays what it is until something happens"


def test_a_request_counts_for_its_partition_alone(ledger: Ledger) -> None:
    other = Delivery("prices", DATE, "institution_b")
    succeed(ledger, A)
    ledger.record_seen([landing_object("o.csv", partition=other)], now=NOW)
    (before,) = ledger.pending_partitions(10)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    assert [item for item in ledger.pending_partitions(10) if item.partition == other] == [before]
    assert is_pending(ledger)


def test_what_waits_for_a_service_is_not_pending_however_it_waits(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.record_seen([B], now=NOW)
    ledger.mark_waiting("run", PARTITION, "lake", "away", now=NOW)
    assert ledger.pending_partitions(10) == []


def test_a_withdrawn_content_that_no_run_read_and_another_one_replaced_cannot_be_put_back(ledger: Ledger) -> None:
    """It is nowhere any more: it would wait for ever, and be launched for ever."""
    ledger.record_seen([A], now=NOW)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(1))
    ledger.record_seen([landing_object("a.csv", etag="two", modified=after(2))], now=after(2))
    first, second = ledger.objects()
    ledger.withdraw(second, reason="wrong, too", by="ann", now=after(3))
    assert not ledger.undo_withdrawal(first, by="ann", now=after(4))
    assert ledger.undo_withdrawal(second, by="ann", now=after(4))


def test_a_withdrawn_content_that_a_run_has_read_can_be_put_back(ledger: Ledger) -> None:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    ledger.record_seen([landing_object("a.csv", etag="two", modified=after(4))], now=after(4))
    first, second = ledger.objects()
    assert not ledger.undo_withdrawal(first, by="ann", now=after(5)), "a newer content counts"
    ledger.withdraw(second, reason="wrong, too", by="ann", now=after(6))
    assert ledger.undo_withdrawal(first, by="ann", now=after(7))
