"""Partitions wait for a service that is away, and are tried again when it is back."""

from __future__ import annotations

import datetime as dt

import pytest

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, State, Trouble
from etl_platform.ledger.waiting import delay
from etl_platform.limits import FIRST_DELAY, LONGEST_DELAY
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import (
    begin,
    check,
    days,
    fingerprint,
    is_pending,
    outcome,
    publish,
    row,
    succeed,
    unpublished,
)
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")
OTHER = Delivery("prices", DATE, "institution_b")
HOUR = 3_600.0


def trouble(ledger: Ledger) -> Trouble:
    (only,) = ledger.troubles()
    return only


def judge(ledger: Ledger, found: str | None, *, at: float, limit: int = 3) -> tuple[int, int]:
    """How many partitions are released, and how many given up."""
    released, given_up = ledger.judge_service("lake", found, limit=limit, now=after(at))
    return len(released), len(given_up)


def meet_away(ledger: Ledger, run_id: str, *, at: float) -> None:
    begin(ledger, A, run_id=run_id, at=at)
    assert ledger.mark_waiting(run_id, PARTITION, "lake", "the lake does not answer", now=after(at))


def test_a_run_that_a_service_failed_leaves_its_partition_waiting_for_it(ledger: Ledger) -> None:
    begin(ledger, A, B)
    ledger.mark_loaded("run", [result_of(B)], now=NOW)
    assert ledger.mark_waiting("run", PARTITION, "lake", "the lake does not answer", now=after(1))
    (attempt,) = ledger.attempts_of("run")
    assert (attempt.outcome, attempt.error, attempt.ended_at) == (Outcome.FAILED, "the lake does not answer", after(1))
    found = row(ledger)
    assert (found.state, found.claimed_by, found.reason) == (State.WAITING, None, "the lake does not answer")
    assert row(ledger, "b.csv").state is State.LOADED
    waits = trouble(ledger)
    assert (waits.partition, waits.service, waits.since) == (PARTITION, "lake", after(1))
    assert (waits.failures, waits.next_try_at) == (0, None)
    assert not is_pending(ledger)


def test_what_arrives_while_its_partition_waits_waits_with_it(ledger: Ledger) -> None:
    meet_away(ledger, "run", at=0)
    ledger.record_seen([B], now=after(1))
    assert not is_pending(ledger)
    judge(ledger, "refused", at=2)
    judge(ledger, None, at=3)
    assert is_pending(ledger)


def test_all_are_released_at_once_when_the_service_answers_after_it_was_away(ledger: Ledger) -> None:
    meet_away(ledger, "run", at=0)
    other = landing_object("o.csv", partition=OTHER)
    begin(ledger, other, partition=OTHER)
    ledger.mark_waiting("run", OTHER, "lake", "the lake does not answer", now=after(0))
    for at in (10, 20, 30):
        assert judge(ledger, "connection refused", at=at) == (0, 0)
    assert trouble_count(ledger) == 2
    assert judge(ledger, None, at=40) == (2, 0)
    assert [(found.state, found.attempt, found.reason) for found in ledger.objects()] == [(State.SEEN, 2, None)] * 2
    assert is_pending(ledger) and is_pending(ledger, OTHER)
    assert {t.service for t in ledger.troubles()} == {None}
    assert {t.failures for t in ledger.troubles()} == {0}, "a failure while it was away does not count"


def trouble_count(ledger: Ledger) -> int:
    return len([t for t in ledger.troubles() if t.service])


def test_only_those_who_wait_for_the_service_are_released(ledger: Ledger) -> None:
    meet_away(ledger, "run", at=0)
    assert ledger.judge_service("warehouse", "away", limit=3, now=after(1)) == ([], [])
    assert ledger.judge_service("warehouse", None, limit=3, now=after(2)) == ([], [])
    assert trouble(ledger).service == "lake"


def test_while_the_service_answers_failures_count_and_each_try_is_later_than_the_one_before(ledger: Ledger) -> None:
    meet_away(ledger, "run 1", at=0)
    assert judge(ledger, None, at=1) == (1, 0), "the first failure of a day is tried again at once"
    meet_away(ledger, "run 2", at=10)
    assert judge(ledger, None, at=20) == (0, 0)
    due = trouble(ledger).next_try_at
    assert due is not None and FIRST_DELAY / 2 <= due - after(20) <= FIRST_DELAY
    assert judge(ledger, None, at=21) == (0, 0)
    assert (trouble(ledger).failures, trouble(ledger).next_try_at) == (2, due), "asked twice, counted once"
    assert judge(ledger, None, at=20 + FIRST_DELAY.total_seconds()) == (1, 0)
    assert is_pending(ledger)


def test_a_service_that_goes_away_while_a_delay_runs_releases_at_once_when_it_is_back(ledger: Ledger) -> None:
    for number in (1, 2):
        meet_away(ledger, f"run {number}", at=number * 100)
        judge(ledger, None, at=number * 100 + 1)
    assert trouble(ledger).next_try_at is not None
    judge(ledger, "refused", at=202)
    assert judge(ledger, None, at=203) == (1, 0)


def test_more_failures_a_day_than_the_limit_while_the_service_answers_are_for_good(ledger: Ledger) -> None:
    for number in range(3):
        meet_away(ledger, f"run {number}", at=number * HOUR)
        assert judge(ledger, None, at=number * HOUR + 1, limit=2) == ((1, 0) if number == 0 else (0, int(number == 2)))
        judge(ledger, None, at=number * HOUR + HOUR / 2, limit=2)
    expected = "the lake does not answer; failed more than 2 times today although lake answers"
    assert (row(ledger).state, row(ledger).reason) == (State.FAILED, expected)
    assert (ledger.troubles(), is_pending(ledger)) == ([], False)


def test_the_count_begins_anew_each_day(ledger: Ledger) -> None:
    for day in range(4):
        at = (days(day) - NOW).total_seconds()
        meet_away(ledger, f"run {day}", at=at)
        assert judge(ledger, None, at=at + 1, limit=1) == (1, 0)


def test_what_is_checked_waits_for_the_warehouse_and_stays_checked(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    assert ledger.mark_waiting("run", PARTITION, "lake", "away", now=after(2))
    assert (outcome(ledger), row(ledger).state) == (Outcome.CHECKED, State.LOADED)
    assert (unpublished(ledger), is_pending(ledger)) == ([], False)
    judge(ledger, "refused", at=3)
    judge(ledger, None, at=4)
    assert (unpublished(ledger), is_pending(ledger)) == (["run"], False), "silver is not loaded again"
    (first,) = ledger.unpublished()
    assert ledger.mark_waiting("p", PARTITION, "lake", "away", now=after(5)), "whichever run publishes"
    judge(ledger, "refused", at=6)
    judge(ledger, None, at=7)
    (second,) = ledger.unpublished()
    assert first.fingerprint != second.fingerprint
    assert publish(ledger, at=8)
    assert ledger.troubles() == []


def test_a_publication_that_fails_too_often_while_the_service_answers_has_failed(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    for number in range(2):
        ledger.mark_waiting("p", PARTITION, "lake", "deadlock", now=after(number * HOUR))
        judge(ledger, None, at=number * HOUR + 1, limit=1)
    assert (outcome(ledger), row(ledger).state, ledger.troubles()) == (Outcome.FAILED, State.FAILED, [])
    assert row(ledger).reason == "deadlock; failed more than 1 times today although lake answers"


def test_a_run_that_a_service_failed_before_it_began_leaves_what_it_was_for_waiting(ledger: Ledger) -> None:
    ledger.record_seen([A], now=NOW)
    ledger.take_leases({PARTITION: "run key"}, now=NOW)
    before = fingerprint(ledger)
    assert not ledger.mark_waiting("run", PARTITION, "lake", "away", now=after(1)), "not the step that begins"
    assert ledger.mark_waiting("run", PARTITION, "lake", "away", is_first=True, now=after(1))
    assert (row(ledger).state, row(ledger).reason, ledger.leases()) == (State.WAITING, "away", [])
    judge(ledger, "refused", at=2)
    judge(ledger, None, at=3)
    assert fingerprint(ledger) != before


def test_a_run_without_a_new_object_that_a_service_failed_is_asked_for_again(ledger: Ledger) -> None:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    meet_away_without_objects(ledger)
    judge(ledger, "refused", at=6)
    judge(ledger, None, at=7)
    assert is_pending(ledger)


def test_a_replay_of_a_partition_that_waits_without_an_object_runs_it(ledger: Ledger) -> None:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    meet_away_without_objects(ledger)
    assert ledger.request_replay(dataset="prices", now=after(6)) == 0
    assert is_pending(ledger)


def meet_away_without_objects(ledger: Ledger) -> None:
    begin(ledger, run_id="second", at=4)
    assert ledger.mark_waiting("second", PARTITION, "lake", "away", now=after(5))
    assert not is_pending(ledger)


@pytest.mark.parametrize("has_failed", [False, True])
def test_what_waits_goes_on_waiting_when_a_run_that_began_before_ends(ledger: Ledger, has_failed: bool) -> None:
    begin(ledger, A)
    ledger.record_seen([B], now=after(1))
    assert ledger.mark_waiting("second", PARTITION, "lake", "away", is_first=True, now=after(2))
    if has_failed:
        assert ledger.mark_failed("run", PARTITION, "bad", now=after(3))
    else:
        check(ledger, A, at=3)
        assert publish(ledger, at=4)
    assert (trouble(ledger).service, row(ledger, "b.csv").state) == ("lake", State.WAITING)
    judge(ledger, "refused", at=6)
    assert judge(ledger, None, at=7) == (1, 0)
    assert (row(ledger, "b.csv").state, is_pending(ledger)) == (State.SEEN, True)


def test_a_run_by_hand_takes_what_waits(ledger: Ledger) -> None:
    meet_away(ledger, "run", at=0)
    begin(ledger, run_id="by hand", at=2)
    found = row(ledger)
    assert (found.state, found.claimed_by, found.reason) == (State.SEEN, "by hand", None)
    check(ledger, A, run_id="by hand", at=3)
    assert publish(ledger, run_id="by hand", at=4)
    assert ledger.troubles() == []


def test_a_run_that_has_failed_for_good_does_not_wait_for_what_it_met_before(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_failed("run", PARTITION, "bad file", now=after(1))
    assert not ledger.mark_waiting("run", PARTITION, "lake", "away", is_first=True, now=after(2))
    ledger.record_seen([B], now=after(3))
    assert ledger.mark_unstarted("run", PARTITION, "bad file", now=after(4)) == 0
    assert row(ledger, "b.csv").state is State.SEEN, "it arrived after the run had begun"


def test_delays_double_up_to_an_hour_and_never_come_at_once_after_the_first() -> None:
    assert delay(0) == delay(1) == dt.timedelta()
    for failures, longest in ((2, FIRST_DELAY), (3, FIRST_DELAY * 2), (4, FIRST_DELAY * 4), (500, LONGEST_DELAY)):
        found = [delay(failures) for _ in range(50)]
        assert all(longest / 2 <= one <= longest for one in found)
        assert len(set(found)) > 1, "with jitter"
