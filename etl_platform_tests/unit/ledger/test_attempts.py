"""What runs may do with objects, and what they may not."""

from __future__ import annotations

import datetime as dt

import pytest

from etl_platform.errors import ConfigurationError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, DatasetPartition, LedgerObject, Outcome, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")
TOTALS = AttemptTotals(
    rows_read=10, rows_silver=7, rows_quarantined=2, rows_duplicate=1, checks_passed=12, checks_failed=1
)


def row(ledger: Ledger, name: str = "a.csv") -> LedgerObject:
    return ledger.objects(uri=landing_object(name).uri)[-1]


def begin(ledger: Ledger, *objects: object, run_id: str = "run") -> None:
    ledger.record_seen(list(objects or [A]), now=NOW)  # type: ignore[arg-type]
    ledger.start_attempts(run_id, [PARTITION], now=NOW)


def test_a_loaded_object_keeps_its_run_hash_and_counts(ledger: Ledger) -> None:
    begin(ledger, A, B)
    result = result_of(A, sha256="5e5e", rows_read=10, rows_silver=7, rows_quarantined=2, rows_duplicate=1)
    assert ledger.mark_loaded("run", [result], now=after(9)) == 1
    loaded = row(ledger)
    assert (loaded.state, loaded.run_id, loaded.sha256, loaded.updated_at) == (State.LOADED, "run", "5e5e", after(9))
    assert (loaded.rows_read, loaded.rows_silver, loaded.rows_quarantined, loaded.rows_duplicate) == (10, 7, 2, 1)
    assert row(ledger, "b.csv").state is State.SEEN


def test_a_refused_object_keeps_its_reason_until_it_is_loaded(ledger: Ledger) -> None:
    begin(ledger)
    ledger.mark_refused("run", [result_of(A, reason="declared utf-8, byte 17 is not")], now=NOW)
    assert (row(ledger).state, row(ledger).reason) == (State.REFUSED, "declared utf-8, byte 17 is not")
    ledger.start_attempts("second", [PARTITION], now=NOW)
    ledger.mark_loaded("second", [result_of(A)], now=NOW)
    assert (row(ledger).state, row(ledger).reason) == (State.LOADED, None)


def test_a_run_decides_only_on_what_it_claimed(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.record_seen([B], now=NOW)
    assert ledger.mark_loaded("run", [result_of(A), result_of(B)], now=NOW) == 1
    assert ledger.mark_loaded("stranger", [result_of(B)], now=NOW) == 0
    assert row(ledger, "b.csv").state is State.SEEN


def test_of_two_overlapping_runs_only_the_later_decides(ledger: Ledger) -> None:
    begin(ledger, A, run_id="first")
    ledger.start_attempts("second", [PARTITION], now=after(1))
    assert ledger.mark_loaded("first", [result_of(A, rows_read=1)], now=after(2)) == 0
    assert ledger.mark_failed("first", PARTITION, "too late", now=after(2)) == 0
    assert ledger.mark_loaded("second", [result_of(A, rows_read=2)], now=after(3)) == 1
    assert (row(ledger).run_id, row(ledger).rows_read) == ("second", 2)


def test_a_version_that_arrives_during_a_run_is_not_marked_by_it(ledger: Ledger) -> None:
    begin(ledger, A)
    newer = landing_object("a.csv", etag="two", modified=after(1))
    ledger.record_seen([newer], now=after(1))
    assert ledger.mark_loaded("run", [result_of(A), result_of(newer)], now=after(2)) == 0
    assert [found.state for found in ledger.objects()] == [State.SUPERSEDED, State.SEEN]
    assert [p.partition for p in ledger.pending_partitions(10)] == [PARTITION]


def test_a_replay_during_a_run_is_not_lost_when_the_run_ends(ledger: Ledger) -> None:
    begin(ledger, A)
    assert ledger.request_replay(dataset="prices", now=after(1)) == 1
    assert ledger.mark_loaded("run", [result_of(A)], now=after(2)) == 0
    ledger.end_attempt("run", PARTITION, totals=TOTALS, now=after(2))
    assert (row(ledger).state, row(ledger).attempt) == (State.SEEN, 2)
    assert [p.partition for p in ledger.pending_partitions(10)] == [PARTITION]


def test_a_failed_run_fails_what_it_left_undecided_and_nothing_else(ledger: Ledger) -> None:
    begin(ledger, A, B)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    ledger.record_seen([landing_object("late.csv")], now=after(1))
    assert ledger.end_attempt("run", PARTITION, totals=TOTALS, error="warehouse: disk full", now=after(2))
    found = {r.key.removeprefix("landing/"): (r.state, r.reason) for r in ledger.objects()}
    assert found == {
        "a.csv": (State.LOADED, None),
        "b.csv": (State.FAILED, "warehouse: disk full"),
        "late.csv": (State.SEEN, None),
    }


def test_a_loaded_object_stands_when_a_later_run_of_its_partition_fails(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    ledger.start_attempts("second", [PARTITION], now=after(1))
    assert ledger.mark_failed("second", PARTITION, "no memory", now=after(2)) == 0
    assert (row(ledger).state, row(ledger).run_id) == (State.LOADED, "run")


def test_a_run_that_failed_before_its_start_fails_what_waited_for_it(ledger: Ledger) -> None:
    other = DatasetPartition("prices", DATE, "institution_b")
    ledger.record_seen([A, landing_object("o.csv", partition=other)], now=NOW)
    assert ledger.mark_failed("run", PARTITION, "the code location did not load", now=NOW) == 1
    assert row(ledger).state is State.FAILED
    assert row(ledger, "o.csv").state is State.SEEN


def test_a_retried_run_takes_failed_objects_up_again(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.end_attempt("run", PARTITION, totals=TOTALS, error="S3 was slow", now=after(1))
    ledger.start_attempts("retry", [PARTITION], now=after(2))
    assert ledger.mark_loaded("retry", [result_of(A)], now=after(3)) == 1
    assert (row(ledger).state, row(ledger).reason) == (State.LOADED, None)


def test_a_replay_lets_all_current_objects_wait_again_but_no_replaced_one(ledger: Ledger) -> None:
    begin(ledger, landing_object("a.csv", etag="old"), B, landing_object("c.csv"))
    ledger.record_unrouted([(landing_object("stray.csv", partition=None), "?")], now=NOW)
    ledger.mark_loaded("run", [result_of(B)], now=NOW)
    ledger.record_seen([landing_object("a.csv", etag="new", modified=after(1))], now=NOW)
    ledger.mark_failed("run", PARTITION, "broken", now=NOW)
    assert ledger.request_replay(institution="institution_a", business_date=DATE, now=after(9)) == 3
    found = {(r.key.removeprefix("landing/"), r.identity): (r.state, r.attempt) for r in ledger.objects()}
    assert found == {
        ("a.csv", "old"): (State.SUPERSEDED, 1),
        ("a.csv", "new"): (State.SEEN, 2),
        ("b.csv", "one"): (State.SEEN, 2),
        ("c.csv", "one"): (State.SEEN, 2),
        ("stray.csv", "one"): (State.UNROUTED, 1),
    }


def test_a_replay_reaches_only_what_it_names(ledger: Ledger) -> None:
    partitions = [
        DatasetPartition(dataset, date, institution)
        for dataset in ("prices", "accounts")
        for date in (DATE, DATE + dt.timedelta(days=1))
        for institution in ("institution_a", "institution_b")
    ]
    ledger.record_seen([landing_object(f"{p}.csv", partition=p) for p in partitions], now=NOW)
    assert ledger.request_replay(dataset="prices", business_date=DATE, institution="institution_b", now=NOW) == 1
    assert ledger.request_replay(dataset="accounts", business_date=DATE, now=NOW) == 2
    assert ledger.request_replay(institution="institution_a", now=NOW) == 4
    assert ledger.request_replay(institution="nobody", now=NOW) == 0


def test_a_replay_of_everything_has_to_be_named(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="expected at least one of them"):
        ledger.request_replay(now=NOW)


def test_an_attempt_has_a_start_and_an_end(ledger: Ledger) -> None:
    begin(ledger)
    (running,) = ledger.running_attempts()
    assert (running.run_id, running.partition, running.started_at) == ("run", PARTITION, NOW)
    assert (running.outcome, running.ended_at, running.totals) == (Outcome.RUNNING, None, None)
    assert ledger.end_attempt("run", PARTITION, totals=TOTALS, now=after(12.5))
    assert ledger.running_attempts() == []
    ended = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION].latest_attempt
    assert ended is not None
    assert (ended.outcome, ended.ended_at, ended.seconds) == (Outcome.SUCCEEDED, after(12.5), 12.5)
    assert (ended.totals, ended.error) == (TOTALS, None)


def test_an_attempt_ends_once(ledger: Ledger) -> None:
    begin(ledger)
    assert ledger.end_attempt("run", PARTITION, totals=TOTALS, now=after(1))
    assert not ledger.end_attempt("run", PARTITION, totals=TOTALS, error="second end", now=after(2))
    assert not ledger.close_crashed("run", PARTITION, error="it lives", now=after(3))
    assert not ledger.end_attempt("never started", PARTITION, totals=TOTALS, now=after(1))


def test_one_run_attempts_several_datasets_each_on_its_own(ledger: Ledger) -> None:
    accounts = DatasetPartition("accounts", DATE, "institution_a")
    ledger.record_seen([A, landing_object("x.csv", partition=accounts)], now=NOW)
    for partition in (PARTITION, accounts):
        ledger.start_attempts("run", [partition], now=NOW)
    ledger.end_attempt("run", accounts, totals=TOTALS, error="bad", now=after(1))
    assert [attempt.partition for attempt in ledger.running_attempts()] == [PARTITION]
    assert row(ledger).state is State.SEEN
    assert row(ledger, "x.csv").state is State.FAILED


def test_starting_again_while_running_claims_nothing_that_came_later(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.record_seen([B], now=after(1))
    ledger.start_attempts("run", [PARTITION], now=after(2))
    assert [attempt.started_at for attempt in ledger.running_attempts()] == [NOW]
    assert row(ledger, "b.csv").claimed_by is None


def test_a_retried_step_opens_the_ended_attempt_again(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.end_attempt("run", PARTITION, totals=TOTALS, error="S3 was slow", now=after(1))
    ledger.start_attempts("run", [PARTITION], now=after(2))
    (running,) = ledger.running_attempts()
    assert (running.started_at, running.error, running.totals, running.seconds) == (after(2), None, None, None)
    assert ledger.mark_loaded("run", [result_of(A)], now=after(3)) == 1


def test_objects_of_a_crashed_run_wait_again_a_few_times_and_then_fail(ledger: Ledger) -> None:
    ledger.record_seen([A, B], now=NOW)
    keys = []
    for number in (1, 2, 3):
        keys.append(ledger.pending_partitions(10)[0].fingerprint)
        run_id = f"run {number}"
        ledger.start_attempts(run_id, [PARTITION], now=after(number))
        if number == 1:
            ledger.mark_loaded(run_id, [result_of(B)], now=after(number))
        assert ledger.close_crashed(
            run_id, PARTITION, error="killed (out of memory)", attempts_limit=3, now=after(number)
        )
    assert len(set(keys)) == 3
    assert ledger.pending_partitions(10) == []
    assert (row(ledger).state, row(ledger).attempt, row(ledger).reason) == (State.FAILED, 3, "killed (out of memory)")
    # Loaded means silver: nobody knows whether gold and warehouse followed.
    assert (row(ledger, "b.csv").state, row(ledger, "b.csv").attempt) == (State.FAILED, 3)
    assert ledger.running_attempts() == []


def test_what_a_dead_run_had_finished_with_waits_again_too_but_not_what_a_later_run_took(ledger: Ledger) -> None:
    other = DatasetPartition("transactions", DATE, "institution_a")
    c = landing_object("c.csv", partition=other)
    begin(ledger, A, B, c)
    ledger.start_attempts("run", [other], now=NOW)
    ledger.mark_loaded("run", [result_of(A), result_of(c)], now=after(1))
    for partition in (PARTITION, other):
        ledger.end_attempt("run", partition, totals=TOTALS, now=after(1))
    ledger.start_attempts("later", [other], now=after(2))

    assert ledger.close_dead("run", error="killed", now=after(3)) == [PARTITION]

    assert (row(ledger).state, row(ledger).attempt, row(ledger).reason) == (State.SEEN, 2, None)
    assert [item.partition for item in ledger.pending_partitions(9)] == [PARTITION]
    cells = ledger.status_matrix([DATE], ["institution_a"], ["prices", "transactions"])
    assert [cells[p].latest_attempt.outcome for p in (PARTITION, other)] == [Outcome.CRASHED, Outcome.RUNNING]  # type: ignore[union-attr]
    assert ledger.objects(uri=c.uri)[-1].state is State.LOADED
    assert ledger.close_dead("run", error="killed", now=after(4)) == []


def test_a_run_thought_dead_that_comes_back_has_the_last_word_on_its_attempt_only(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.close_crashed("run", PARTITION, error="no heartbeat", now=after(1))
    assert ledger.mark_loaded("run", [result_of(A)], now=after(2)) == 0
    assert ledger.end_attempt("run", PARTITION, totals=TOTALS, now=after(2))
    attempt = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION].latest_attempt
    assert attempt is not None
    assert (attempt.outcome, attempt.error) == (Outcome.SUCCEEDED, None)
    assert row(ledger).state is State.SEEN


def test_an_error_of_any_length_and_content_is_kept_readable(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_failed("run", PARTITION, "line 3: '\0' " + "x" * 100_000, now=NOW)
    reason = row(ledger).reason
    assert reason is not None
    assert reason.startswith("line 3: '\\x00' xxx")
    assert reason.endswith("x…")
    assert len(reason) <= 8_000


def test_marking_nothing_is_allowed(ledger: Ledger) -> None:
    assert ledger.mark_loaded("run", [], now=NOW) == 0


def test_an_object_that_a_successful_run_says_nothing_about_waits_again(ledger: Ledger) -> None:
    begin(ledger, A, B)
    ledger.mark_loaded("run", [result_of(A)], now=after(1))
    ledger.end_attempt("run", PARTITION, totals=TOTALS, now=after(1))
    assert (row(ledger, "b.csv").state, row(ledger, "b.csv").claimed_by) == (State.SEEN, None)
    assert [p.partition for p in ledger.pending_partitions(10)] == [PARTITION]
