"""How objects leave their partition, and that it runs again without them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject, LedgerObject, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import succeed
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A = landing_object("a.csv")
STRAY = landing_object("a.csv", partition=None)
IGNORED = replace(STRAY, is_ignored=True)


def bring(ledger: Ledger, state: State, found: LandingObject = A) -> LedgerObject:
    """`found` in `state`."""
    ledger.record_seen([found], now=NOW)
    if state is not State.SEEN:
        ledger.start_attempts(found.key, [PARTITION], dead=[a.run_id for a in ledger.open_attempts()], now=NOW)
        result = result_of(found, sha256="sha", reason="cannot be read")
        if state is State.REFUSED:
            ledger.mark_refused(found.key, [result], now=NOW)
        elif state is State.LOADED:
            ledger.mark_loaded(found.key, [replace(result, reason=None)], now=NOW)
        else:
            ledger.mark_failed(found.key, PARTITION, "error", now=NOW)
    (row,) = ledger.objects(key=found.key)
    assert row.state is state
    return row


def only(ledger: Ledger) -> LedgerObject:
    (row,) = ledger.objects()
    return row


@pytest.mark.parametrize("state", [State.SEEN, State.FAILED, State.REFUSED])
def test_what_no_pattern_claims_any_more_is_nobodys_and_its_partition_runs_again(ledger: Ledger, state: State) -> None:
    bring(ledger, state)
    assert ledger.record_unrouted([(STRAY, "no pattern")], now=after(1)) == 1
    row = only(ledger)
    assert (row.state, row.reason, row.claimed_by) == (State.UNROUTED, "no pattern", None)
    assert set(ledger.open_reruns()) == (set() if state is State.SEEN else {PARTITION})
    assert ledger.record_unrouted([(STRAY, "no pattern")], now=after(2)) == 0


def test_what_is_loaded_stays_whatever_becomes_of_the_pattern(ledger: Ledger) -> None:
    bring(ledger, State.LOADED)
    assert ledger.record_unrouted([(STRAY, "?")], now=after(1)) == 0
    assert ledger.record_ignored([(IGNORED, "?")], now=after(1)) == 0
    assert only(ledger).state is State.LOADED and ledger.open_reruns() == {}


def test_an_object_of_a_broken_institution_is_left_alone(ledger: Ledger) -> None:
    bring(ledger, State.REFUSED)
    assert ledger.record_unrouted([(replace(STRAY, is_held=True), "?")], now=after(1)) == 0
    assert only(ledger).state is State.REFUSED


def test_what_waited_under_an_overwritten_key_of_nobody_waits_no_longer(ledger: Ledger) -> None:
    bring(ledger, State.REFUSED)
    newer = landing_object("a.csv", partition=None, etag="two", size=5)
    assert ledger.record_unrouted([(newer, "?")], now=after(1)) == 1
    assert {row.identity: row.state for row in ledger.objects()} == {"one": State.UNROUTED, "two": State.UNROUTED}
    assert set(ledger.open_reruns()) == {PARTITION}


def test_ignored_unrouted_and_routed_follow_the_names_and_patterns(ledger: Ledger) -> None:
    ledger.record_unrouted([(STRAY, "no pattern")], now=NOW)
    assert ledger.record_ignored([(IGNORED, "a marker")], now=after(1)) == 1
    assert [row.reason for row in ledger.ignored(10)] == ["a marker"] and ledger.unrouted(10) == []
    assert ledger.record_unrouted([(STRAY, "no pattern")], now=after(2)) == 1
    assert ledger.record_ignored([(IGNORED, "a marker")], now=after(3)) == 1
    assert ledger.record_seen([A], now=after(4)) == 1
    assert (only(ledger).state, only(ledger).reason) == (State.SEEN, None)
    assert ledger.open_reruns() == {}


def test_a_pattern_that_gives_an_object_to_another_partition_frees_the_first(ledger: Ledger) -> None:
    bring(ledger, State.REFUSED)
    other = Delivery("accounts", DATE, "institution_a")
    assert ledger.record_seen([landing_object("a.csv", partition=other)], now=after(1)) == 1
    row = only(ledger)
    assert (row.state, row.dataset, row.attempt) == (State.SEEN, "accounts", 2)
    assert set(ledger.open_reruns()) == {PARTITION}
    assert {p.partition for p in ledger.pending_partitions(10)} == {other, PARTITION}


@pytest.mark.parametrize("state", [State.FAILED, State.REFUSED])
def test_what_is_gone_is_withdrawn_and_comes_back_with_its_file(ledger: Ledger, state: State) -> None:
    row = bring(ledger, state)
    assert ledger.stuck(["landing"]) == [(row.key, row.id)] and ledger.stuck(["other"]) == []
    assert ledger.mark_gone([row.id], now=after(1)) == 1
    assert (only(ledger).state, only(ledger).reason) == (State.WITHDRAWN, "deleted from landing")
    assert set(ledger.open_reruns()) == {PARTITION} and ledger.stuck(["landing"]) == []
    assert ledger.record_seen([A], now=after(2)) == 1
    assert (only(ledger).state, only(ledger).reason) == (State.SEEN, None)


@pytest.mark.parametrize("state", [State.SEEN, State.LOADED, State.REFUSED, State.FAILED])
def test_a_withdrawal_is_on_record_and_so_is_its_undoing(ledger: Ledger, state: State) -> None:
    row = bring(ledger, state)
    assert ledger.withdraw(row, reason="a mistake", by="ann", now=after(1))
    assert not ledger.withdraw(row, reason="again", by="ann", now=after(1))
    assert (only(ledger).state, only(ledger).reason) == (State.WITHDRAWN, "withdrawn by ann: a mistake")
    assert set(ledger.open_reruns()) == (set() if state is State.SEEN else {PARTITION})
    assert (A.key, row.identity) in ledger.excluded(PARTITION)
    assert ledger.record_seen([A], now=after(2)) == 0  # listed again with the same bytes
    assert {p.partition for p in ledger.pending_partitions(10)} == set(ledger.open_reruns())

    assert ledger.undo_withdrawal(only(ledger), by="bob", now=after(3))
    (found,) = ledger.withdrawals(10)
    assert (found.requested_by, found.reason, found.undone_by, found.undone_at) == ("ann", "a mistake", "bob", after(3))
    assert only(ledger).state is State.SEEN and ledger.excluded(PARTITION) == frozenset()
    assert [p.partition for p in ledger.pending_partitions(10)] == [PARTITION]


def test_other_bytes_under_a_withdrawn_key_are_news_and_stand_against_undoing(ledger: Ledger) -> None:
    row = bring(ledger, State.LOADED)
    ledger.withdraw(row, reason="a mistake", by="ann", now=after(1))
    assert ledger.record_seen([landing_object("a.csv", etag="two", sha256="other")], now=after(2)) == 1
    assert not ledger.undo_withdrawal(ledger.objects(states=[State.WITHDRAWN])[0], by="bob", now=after(3))
    assert {row.state for row in ledger.objects()} == {State.WITHDRAWN, State.SEEN}
    assert ledger.excluded(PARTITION) == {(A.key, "sha"), (A.key, "one")}


def test_an_overwritten_content_that_was_never_published_is_left_out(ledger: Ledger) -> None:
    bring(ledger, State.REFUSED)
    ledger.record_seen([landing_object("a.csv", etag="two", modified=after(1), size=5)], now=after(1))
    assert ledger.excluded(PARTITION) == {(A.key, "sha"), (A.key, "one")}


def test_each_request_to_run_again_counts(ledger: Ledger) -> None:
    rows = [bring(ledger, State.LOADED, landing_object(name)) for name in ("a.csv", "b.csv")]
    for row in rows:
        ledger.withdraw(row, reason=row.key.removeprefix("landing/"), by="ann", now=NOW)
    assert ledger.open_reruns() == {PARTITION: "withdrawn by ann: b.csv"}


def test_other_bytes_for_another_partition_free_the_one_that_waited_under_the_key(ledger: Ledger) -> None:
    bring(ledger, State.REFUSED)
    other = Delivery("accounts", DATE, "institution_a")
    newer = landing_object("a.csv", partition=other, etag="two", size=5, modified=after(1))
    assert ledger.record_seen([newer], now=after(1)) == 1
    assert [(row.state, row.dataset) for row in ledger.objects()] == [
        (State.SUPERSEDED, "prices"),
        (State.SEEN, "accounts"),
    ]
    assert set(ledger.open_reruns()) == {PARTITION} and (A.key, "sha") in ledger.excluded(PARTITION)


def test_a_withdrawn_content_that_lies_there_again_ends_what_waited_and_was_never_read(ledger: Ledger) -> None:
    """No run could read it any more, and every tick would launch one."""
    wrong = bring(ledger, State.LOADED)
    ledger.withdraw(wrong, reason="a mistake", by="ann", now=after(1))
    ledger.record_seen([landing_object("a.csv", etag="two", size=5, modified=after(2))], now=after(2))
    again = landing_object("a.csv", modified=after(3))

    ledger.record_seen([found for found in [again] if ledger.compare([found]) != [Finding.KNOWN]], now=after(3))

    assert {row.identity: row.state for row in ledger.objects()} == {"one": State.WITHDRAWN, "two": State.WITHDRAWN}
    assert ledger.compare([again]) == [Finding.KNOWN]
    # Undone by the person, it is what counts.
    assert ledger.undo_withdrawal(ledger.objects(key=A.key)[0], by="ann", now=after(4))
    assert {row.identity: row.state for row in ledger.objects()} == {"one": State.SEEN, "two": State.WITHDRAWN}


@pytest.mark.parametrize("state", [State.SEEN, State.REFUSED, State.FAILED])
def test_what_was_published_counts_again_when_what_replaced_it_is_gone(ledger: Ledger, state: State) -> None:
    """Whether a run has copied the newer content or not: deleted before it was published it is as if it never came."""
    succeed(ledger, A)
    newer = landing_object("a.csv", etag="two", modified=after(1), size=5)
    ledger.record_seen([newer], now=after(1))
    row = ledger.objects()[1]
    if state is not State.SEEN:
        ledger.start_attempts("second", [PARTITION], now=after(2))
        if state is State.REFUSED:
            ledger.mark_refused("second", [result_of(newer, reason="cannot be read")], now=after(2))
        ledger.mark_failed("second", PARTITION, "error", now=after(2))

    ledger.mark_gone([row.id], now=after(3))

    assert [found.state for found in ledger.objects()] == [State.SEEN, State.WITHDRAWN]
    assert [p.partition for p in ledger.pending_partitions(10)] == [PARTITION]


def test_what_a_person_took_out_does_not_come_back_by_itself(ledger: Ledger) -> None:
    succeed(ledger, A)
    ledger.record_seen([landing_object("a.csv", etag="two", modified=after(1), size=5)], now=after(1))
    third = landing_object("a.csv", etag="three", modified=after(2), size=6)
    ledger.withdraw(ledger.objects()[1], reason="wrong", by="ann", now=after(1))
    ledger.record_seen([third], now=after(2))
    ledger.mark_gone([ledger.objects()[2].id], now=after(3))
    assert [found.state for found in ledger.objects()] == [State.SUPERSEDED, State.WITHDRAWN, State.WITHDRAWN]
