"""What runs may do with objects, and what they may not."""

from __future__ import annotations

import pytest

from etl_platform.delivery import Delivery
from etl_platform.errors import AttemptLostError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import TOTALS, begin, check, is_pending, outcome, row, succeed
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")


def test_a_loaded_object_keeps_its_run_hash_and_counts(ledger: Ledger) -> None:
    begin(ledger, A, B)
    result = result_of(A, sha256="5e5e", rows_read=10, rows_silver=7, rows_quarantined=2, rows_duplicate=1)
    assert ledger.mark_loaded("run", [result], now=after(9)) == 1
    loaded = row(ledger)
    assert (loaded.state, loaded.run_id, loaded.sha256, loaded.updated_at) == (State.LOADED, "run", "5e5e", after(9))
    assert (loaded.rows_read, loaded.rows_silver, loaded.rows_quarantined, loaded.rows_duplicate) == (10, 7, 2, 1)
    assert row(ledger, "b.csv").state is State.SEEN


def test_a_refused_object_keeps_its_reason_until_it_is_loaded(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_refused("run", [result_of(A, reason="declared utf-8, byte 17 is not")], now=NOW)
    assert (row(ledger).state, row(ledger).reason) == (State.REFUSED, "declared utf-8, byte 17 is not")
    check(ledger)
    begin(ledger, run_id="second", dead={"run"})
    ledger.mark_loaded("second", [result_of(A)], now=NOW)
    assert (row(ledger).state, row(ledger).reason) == (State.LOADED, None)


def test_a_run_decides_only_on_what_it_claimed(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.record_seen([B], now=NOW)
    assert ledger.mark_loaded("run", [result_of(A), result_of(B)], now=NOW) == 1
    assert ledger.mark_loaded("stranger", [result_of(B)], now=NOW) == 0
    assert row(ledger, "b.csv").state is State.SEEN


def test_while_a_run_is_at_a_partition_no_other_begins_there_or_at_what_it_asked_for_with_it(ledger: Ledger) -> None:
    other = Delivery("prices", after(86_400).date(), PARTITION.institution)
    begin(ledger, A, run_id="first")
    for checked in (False, True):
        (in_the_way,) = ledger.start_attempts("second", [other, PARTITION], now=after(1))
        assert (in_the_way.run_id, in_the_way.partition) == ("first", PARTITION)
        assert ledger.attempts_of("second") == []
        assert row(ledger).claimed_by == "first"
        if not checked:
            check(ledger, A, run_id="first")


def test_of_two_overlapping_runs_only_the_later_decides_once_the_first_is_known_dead(ledger: Ledger) -> None:
    begin(ledger, A, run_id="first")
    begin(ledger, run_id="second", dead={"first"}, at=1)
    assert ledger.mark_loaded("first", [result_of(A, rows_read=1)], now=after(2)) == 0
    assert not ledger.mark_failed("first", PARTITION, "too late", now=after(2))
    assert ledger.mark_loaded("second", [result_of(A, rows_read=2)], now=after(3)) == 1
    assert (row(ledger).run_id, row(ledger).rows_read) == ("second", 2)
    (lost,) = ledger.attempts_of("first")
    assert (lost.outcome, lost.ended_at, lost.error) == (
        Outcome.CRASHED,
        after(1),
        "run second took the partition over",
    )


def test_a_run_that_was_taken_for_dead_stops_at_its_next_word(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.close_dead("run", error="no heartbeat", now=after(1))
    with pytest.raises(AttemptLostError, match=r"crashed: no heartbeat.*expected a running one"):
        ledger.end_checks("run", PARTITION, totals=TOTALS, now=after(2))
    with pytest.raises(AttemptLostError):
        ledger.start_attempts("run", [PARTITION], now=after(2))
    assert not ledger.end_checks("run", PARTITION, totals=TOTALS, error="bad", now=after(2))
    assert ledger.mark_loaded("run", [result_of(A)], now=after(2)) == 0
    assert (outcome(ledger), row(ledger).state) == (Outcome.CRASHED, State.SEEN)


def test_a_version_that_arrives_during_a_run_is_not_marked_by_it(ledger: Ledger) -> None:
    begin(ledger, A)
    newer = landing_object("a.csv", etag="two", modified=after(1))
    ledger.record_seen([newer], now=after(1))
    assert ledger.mark_loaded("run", [result_of(A), result_of(newer)], now=after(2)) == 0
    assert [found.state for found in ledger.objects()] == [State.SUPERSEDED, State.SEEN]
    assert is_pending(ledger)


def test_a_loaded_object_stands_when_a_later_run_of_its_partition_fails(ledger: Ledger) -> None:
    succeed(ledger, A)
    begin(ledger, run_id="second", at=1)
    assert ledger.mark_failed("second", PARTITION, "no memory", now=after(2))
    assert (row(ledger).state, row(ledger).run_id) == (State.LOADED, "run")


def test_a_later_run_takes_failed_objects_up_again(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_failed("run", PARTITION, "no memory", now=after(1))
    begin(ledger, run_id="later", at=2)
    assert ledger.mark_loaded("later", [result_of(A)], now=after(3)) == 1
    assert (row(ledger).state, row(ledger).reason) == (State.LOADED, None)


def test_one_run_attempts_several_datasets_each_on_its_own(ledger: Ledger) -> None:
    accounts = Delivery("accounts", DATE, "institution_a")
    ledger.record_seen([A, landing_object("x.csv", partition=accounts)], now=NOW)
    for partition in (PARTITION, accounts):
        begin(ledger, partition=partition)
    ledger.mark_failed("run", accounts, "bad", now=after(1))
    assert [attempt.partition for attempt in ledger.open_attempts()] == [PARTITION]
    assert row(ledger).state is State.SEEN
    assert row(ledger, "x.csv").state is State.FAILED


def test_starting_again_while_running_claims_nothing_that_came_later(ledger: Ledger) -> None:
    begin(ledger, A)
    begin(ledger, B, at=1)
    assert [attempt.started_at for attempt in ledger.open_attempts()] == [NOW]
    assert row(ledger, "b.csv").claimed_by is None


def test_marking_nothing_is_allowed(ledger: Ledger) -> None:
    assert ledger.mark_loaded("run", [], now=NOW) == 0


def test_a_run_left_a_partition_to_a_run_of_its_own(ledger: Ledger) -> None:
    begin(ledger, A, B)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    ledger.leave("run", PARTITION, "b.csv cannot be read", now=after(1))
    assert [(found.state, found.attempt) for found in ledger.objects()] == [(State.SEEN, 2)] * 2
    assert (outcome(ledger), is_pending(ledger)) == (Outcome.FAILED, True)


def test_a_partition_without_objects_that_was_left_is_run_again_all_the_same(ledger: Ledger) -> None:
    begin(ledger)
    assert not is_pending(ledger)
    ledger.leave("run", PARTITION, "a check failed", now=after(1))
    assert is_pending(ledger)
    ledger.leave("no run of it", PARTITION, "?", now=after(2))


def test_what_was_published_before_is_that_of_the_last_success_before_the_latest_attempt(ledger: Ledger) -> None:
    other = Delivery("prices", after(86_400).date(), PARTITION.institution)

    def before() -> str | None:
        found = ledger.published_before(PARTITION)
        return found.run_id if found else None

    succeed(ledger, A, run_id="first")
    assert before() is None, "it is the latest"
    begin(ledger, run_id="failed", at=10)
    assert before() == "first"
    ledger.mark_failed("failed", PARTITION, "bad", now=after(11))
    begin(ledger, run_id="elsewhere", partition=other, at=12)
    succeed(ledger, run_id="second", at=20)
    assert (before(), ledger.published_before(other)) == ("first", None)
    begin(ledger, run_id="third", at=30)
    assert before() == "second" and ledger.published_before(PARTITION).totals == TOTALS  # type: ignore[union-attr]
