"""Runs that died: what they had taken waits again, a few times, and what they had checked is only to be published."""

from __future__ import annotations

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import (
    begin,
    check,
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
KILLED = "killed (out of memory)"


def test_objects_of_a_run_that_died_wait_again_a_few_times_and_then_fail(ledger: Ledger) -> None:
    ledger.record_seen([A, B], now=NOW)
    keys = []
    for number in (1, 2, 3):
        keys.append(fingerprint(ledger))
        run_id = f"run {number}"
        begin(ledger, run_id=run_id, at=number)
        if number == 1:
            ledger.mark_loaded(run_id, [result_of(B)], now=after(number))
        waits = ledger.close_dead(run_id, error=KILLED, deaths_limit=3, now=after(number))
        assert waits == ([PARTITION] if number < 3 else [])
        assert outcome(ledger, run_id) is Outcome.CRASHED
    assert len(set(keys)) == 3
    assert ledger.pending_partitions(10) == []
    for name in ("a.csv", "b.csv"):
        found = row(ledger, name)
        assert (found.state, found.attempt, found.reason) == (State.FAILED, 3, f"{KILLED}, 3 times in a row")
    assert (ledger.open_attempts(), ledger.troubles()) == ([], [])


def test_deaths_count_from_the_last_success_on(ledger: Ledger) -> None:
    for number in (0, 10, 20):
        begin(ledger, A, run_id=f"dead {number}", at=number)
        assert ledger.close_dead(f"dead {number}", error=KILLED, deaths_limit=2, now=after(number)) == [PARTITION]
        succeed(ledger, A, run_id=f"run {number}", at=number + 1)
        assert ledger.troubles() == []


def test_a_death_before_any_object_was_taken_asks_for_another_run(ledger: Ledger) -> None:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    before = fingerprint(ledger)
    begin(ledger, run_id="second", at=4)
    assert not is_pending(ledger)
    assert ledger.close_dead("second", error=KILLED, now=after(5)) == [PARTITION]
    assert fingerprint(ledger) != before


def test_what_a_dead_run_had_checked_stays_checked(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    assert ledger.close_dead("run", error=KILLED, now=after(2)) == [PARTITION]
    assert (outcome(ledger), row(ledger).state) == (Outcome.CHECKED, State.LOADED)
    assert (is_pending(ledger), unpublished(ledger)) == (False, ["run"])
    assert publish(ledger, at=3)


def test_a_publication_at_which_runs_die_fails_at_the_limit(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    names = []
    for number in (1, 2, 3):
        (waiting,) = ledger.unpublished()
        names.append(waiting.fingerprint)
        waits = ledger.close_unstarted(f"p{number}", [PARTITION], error=KILLED, deaths_limit=3, now=after(number))
        assert waits == ([PARTITION] if number < 3 else [])
    assert len(set(names)) == 3, "each try is launched under a key of its own"
    assert (unpublished(ledger), outcome(ledger)) == ([], Outcome.FAILED)
    assert (row(ledger).state, row(ledger).reason) == (State.FAILED, f"{KILLED}, 3 times in a row")


def test_what_a_dead_run_had_decided_waits_again_too_but_not_what_a_later_run_took(ledger: Ledger) -> None:
    other = Delivery("transactions", DATE, "institution_a")
    c = landing_object("c.csv", partition=other)
    begin(ledger, A, B, c)
    begin(ledger, partition=other)
    ledger.mark_loaded("run", [result_of(A), result_of(c)], now=after(1))
    begin(ledger, run_id="later", partition=other, dead={"run"}, at=2)

    assert ledger.close_dead("run", error="killed", now=after(3)) == [PARTITION]

    assert (row(ledger).state, row(ledger).attempt, row(ledger).reason) == (State.SEEN, 2, None)
    assert [item.partition for item in ledger.pending_partitions(9)] == [PARTITION]
    assert (outcome(ledger), outcome(ledger, "later", other)) == (Outcome.CRASHED, Outcome.RUNNING)
    assert ledger.objects(uri=c.uri)[-1].state is State.LOADED
    assert ledger.close_dead("run", error="killed", now=after(4)) == []


def test_a_run_that_died_before_it_began_gives_its_lease_back_and_its_partition_another_key(ledger: Ledger) -> None:
    ledger.record_seen([A], now=NOW)
    ledger.take_leases({PARTITION: "run key 1"}, now=NOW)
    keys = [fingerprint(ledger)]
    for number in (1, 2):
        assert ledger.close_unstarted(f"{number}", [PARTITION], error=KILLED, now=after(number)) == [PARTITION]
        keys.append(fingerprint(ledger))
    assert (len(set(keys)), ledger.leases()) == (3, [])
    assert ledger.close_unstarted("3", [PARTITION], error=KILLED, now=after(3)) == []
    assert (row(ledger).state, row(ledger).reason) == (State.FAILED, f"{KILLED}, 3 times in a row")
    assert (is_pending(ledger), ledger.troubles()) == (False, [])


def test_a_run_that_was_asked_for_and_died_before_it_began_is_asked_for_again_under_another_key(
    ledger: Ledger,
) -> None:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    before = fingerprint(ledger)
    assert ledger.close_unstarted("second", [PARTITION], error=KILLED, now=after(4)) == [PARTITION]
    assert fingerprint(ledger) != before


def test_a_run_that_was_asked_for_and_never_began_leaves_a_failed_attempt(ledger: Ledger) -> None:
    """Without one nobody would see that the withdrawn rows are still in the tables."""
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong file", by="ann", now=after(3))
    ledger.mark_unstarted("second", PARTITION, "cancelled in the queue", now=after(4))
    assert not is_pending(ledger)
    latest = ledger.latest_attempt(PARTITION)
    assert latest is not None
    assert (latest.run_id, latest.outcome, latest.error) == ("second", Outcome.FAILED, "cancelled in the queue")


def test_a_run_that_died_while_it_wrote_published_tables_again_says_nothing_about_the_partition(ledger: Ledger) -> None:
    succeed(ledger, A)
    assert ledger.close_unstarted("again", [PARTITION], error=KILLED, now=after(3)) == []
    assert (ledger.troubles(), outcome(ledger), is_pending(ledger)) == ([], Outcome.SUCCEEDED, False)
