"""How attempts end: checked, published, failed; each has one end."""

from __future__ import annotations

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, Outcome, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import (
    TOTALS,
    begin,
    check,
    is_pending,
    outcome,
    publish,
    row,
    succeed,
    unpublished,
)
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")


def test_an_attempt_has_a_start_and_an_end(ledger: Ledger) -> None:
    begin(ledger, A)
    (running,) = ledger.open_attempts()
    assert (running.run_id, running.partition, running.started_at) == ("run", PARTITION, NOW)
    assert (running.outcome, running.ended_at, running.totals) == (Outcome.RUNNING, None, None)
    check(ledger, A, at=5)
    (checked,) = ledger.open_attempts()
    assert (checked.outcome, checked.ended_at, checked.seconds, checked.totals) == (Outcome.CHECKED, None, None, TOTALS)
    assert publish(ledger, at=12.5)
    assert ledger.open_attempts() == []
    ended = ledger.latest_attempt(PARTITION)
    assert ended is not None
    assert (ended.outcome, ended.ended_at, ended.seconds) == (Outcome.SUCCEEDED, after(12.5), 12.5)
    assert (ended.totals, ended.error) == (TOTALS, None)


def test_an_attempt_ends_once(ledger: Ledger) -> None:
    succeed(ledger, A)
    assert not ledger.end_checks("run", PARTITION, totals=TOTALS, error="second end", now=after(3))
    assert not ledger.mark_failed("run", PARTITION, "second end", now=after(3))
    assert not ledger.mark_waiting("run", PARTITION, "lake", "away", now=after(3))
    assert ledger.close_dead("run", error="it lives", now=after(3)) == []
    assert not publish(ledger, at=4)
    ledger.leave("run", PARTITION, "second end", now=after(3))
    assert (outcome(ledger), row(ledger).state, is_pending(ledger)) == (Outcome.SUCCEEDED, State.LOADED, False)


def test_a_run_that_never_began_ends_nothing(ledger: Ledger) -> None:
    assert not ledger.end_checks("never began", PARTITION, totals=TOTALS, now=after(1))
    assert not ledger.end_checks("never began", PARTITION, totals=TOTALS, error="bad", now=after(1))
    assert not ledger.mark_failed("never began", PARTITION, "bad", now=after(1))
    assert not publish(ledger, run_id="never began")
    assert ledger.close_dead("never began", error="killed", now=after(1)) == []
    assert ledger.latest_attempt(PARTITION) is None


def test_a_failed_run_fails_what_it_left_undecided_and_nothing_else(ledger: Ledger) -> None:
    begin(ledger, A, B)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    ledger.record_seen([landing_object("late.csv")], now=after(1))
    assert ledger.mark_failed("run", PARTITION, "lake: disk full", now=after(2))
    found = {r.key.removeprefix("landing/"): (r.state, r.reason) for r in ledger.objects()}
    assert found == {
        "a.csv": (State.LOADED, None),
        "b.csv": (State.FAILED, "lake: disk full"),
        "late.csv": (State.SEEN, None),
    }


def test_checks_that_do_not_let_it_pass_are_its_end_with_their_counts(ledger: Ledger) -> None:
    begin(ledger, A)
    assert ledger.end_checks("run", PARTITION, totals=TOTALS, error="blocking checks failed: x", now=after(4))
    (ended,) = ledger.attempts_of("run")
    assert (ended.outcome, ended.error, ended.ended_at) == (Outcome.FAILED, "blocking checks failed: x", after(4))
    assert (ended.totals, ended.seconds) == (TOTALS, 4.0)
    assert (row(ledger).state, row(ledger).reason) == (State.FAILED, "blocking checks failed: x")
    assert unpublished(ledger) == []


def test_what_gold_or_warehouse_refused_has_failed_with_all_that_the_run_had_loaded(ledger: Ledger) -> None:
    succeed(ledger, A)
    begin(ledger, B, run_id="second", at=3)
    ledger.mark_refused("second", [result_of(A, reason="empty")], now=after(4))
    check(ledger, B, run_id="second", at=4)
    ledger.record_seen([landing_object("late.csv")], now=after(5))
    assert ledger.mark_failed("second", PARTITION, "warehouse: no privilege", now=after(6))
    found = {r.key.removeprefix("landing/"): (r.state, r.reason) for r in ledger.objects()}
    assert found == {
        "a.csv": (State.REFUSED, "empty"),
        "b.csv": (State.FAILED, "warehouse: no privilege"),
        "late.csv": (State.SEEN, None),
    }
    assert unpublished(ledger) == []


def test_whoever_publishes_for_another_run_can_fail_what_it_had_checked(ledger: Ledger) -> None:
    assert not ledger.mark_unpublished(PARTITION, "no privilege", now=NOW)
    begin(ledger, A)
    assert not ledger.mark_unpublished(PARTITION, "no privilege", now=NOW), "it is not checked yet"
    check(ledger, A)
    assert ledger.mark_unpublished(PARTITION, "no privilege", now=after(2))
    assert (outcome(ledger), row(ledger).state, row(ledger).reason) == (Outcome.FAILED, State.FAILED, "no privilege")


def test_an_object_that_a_checked_run_says_nothing_about_waits_again(ledger: Ledger) -> None:
    begin(ledger, A, B)
    check(ledger, A)
    assert (row(ledger, "b.csv").state, row(ledger, "b.csv").claimed_by) == (State.SEEN, None)
    assert is_pending(ledger)


def test_a_run_that_failed_before_its_start_fails_what_waited_for_it(ledger: Ledger) -> None:
    other = Delivery("prices", DATE, "institution_b")
    ledger.record_seen([A, landing_object("o.csv", partition=other)], now=NOW)
    ledger.take_leases({PARTITION: "x"}, now=NOW)
    assert ledger.mark_unstarted("run", PARTITION, "the code location did not load", now=NOW) == 1
    assert (row(ledger).state, row(ledger).reason) == (State.FAILED, "the code location did not load")
    assert row(ledger, "o.csv").state is State.SEEN
    assert ledger.leases() == []
    assert not is_pending(ledger)


def test_an_error_of_any_length_and_content_is_kept_readable(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_failed("run", PARTITION, "line 3: '\0' " + "x" * 100_000, now=NOW)
    reason = row(ledger).reason
    assert reason is not None
    assert reason.startswith("line 3: '\\x00' xxx")
    assert reason.endswith("x…")
    assert len(reason) <= 8_000


def test_counts_of_an_attempt_that_never_checked_are_unknown(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_failed("run", PARTITION, "bad", now=after(1))
    (ended,) = ledger.attempts_of("run")
    assert ended.totals is None != AttemptTotals()
