"""One small story for each row of the law, told through the ledger: the state in which it ends is what the row says.

Not here: that each row has a story and that the story fails without it (`test_law.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from etl_platform.ledger.law import Attempted, Happens
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, State
from etl_platform_tests.support.landing_objects import NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import begin, check, outcome, publish, row, succeed

A = landing_object("a.csv")
NEWER = landing_object("a.csv", etag="two", modified=after(1))
OTHERS = landing_object("a.csv", partition=replace(PARTITION, institution="institution_b"))
STRAY = landing_object("a.csv", partition=None)
MARKER = landing_object("a.csv", partition=None, is_ignored=True)
Story = Callable[[Ledger], tuple[object, object]]
"""What is found, and what the law says."""


def state(ledger: Ledger, expected: State) -> tuple[object, object]:
    return row(ledger).state, expected


def first_state(ledger: Ledger, expected: State) -> tuple[object, object]:
    """Of the content that arrived first."""
    return ledger.objects()[0].state, expected


def found(ledger: Ledger) -> tuple[object, object]:
    ledger.record_seen([A], now=NOW)
    return state(ledger, State.SEEN)


def found_stray(ledger: Ledger) -> tuple[object, object]:
    ledger.record_unrouted([(STRAY, "?")], now=NOW)
    return state(ledger, State.UNROUTED)


def found_ignored(ledger: Ledger) -> tuple[object, object]:
    ledger.record_ignored([(MARKER, "a marker")], now=NOW)
    return state(ledger, State.IGNORED)


def replaced(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.record_seen([NEWER], now=after(1))
    one = ledger.objects()[0]
    return (one.state, one.claimed_by), (State.SUPERSEDED, None)


def reinstated(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    ledger.record_seen([NEWER], now=after(1))
    ledger.mark_gone([ledger.objects()[1].id], now=after(2))
    one = ledger.objects()[0]
    return (one.state, one.attempt, one.reason), (State.SEEN, 2, None)


def returned(ledger: Ledger) -> tuple[object, object]:
    ledger.record_seen([A], now=NOW)
    ledger.record_seen([NEWER], now=after(1))
    ledger.record_seen([landing_object("a.csv", modified=after(2))], now=after(2))
    one = ledger.objects()[0]
    return (one.state, one.attempt, one.reason), (State.SEEN, 2, None)


def routed(ledger: Ledger) -> tuple[object, object]:
    ledger.record_unrouted([(STRAY, "?")], now=NOW)
    ledger.record_seen([A], now=after(1))
    return (row(ledger).state, row(ledger).attempt, row(ledger).reason), (State.SEEN, 2, None)


def rerouted(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    ledger.record_seen([OTHERS], now=after(1))
    one = row(ledger)
    return (one.state, one.institution, one.claimed_by, one.attempt), (State.SEEN, "institution_b", None, 2)


def given_back(ledger: Ledger) -> tuple[object, object]:
    rerouted(ledger)
    ledger.mark_gone([row(ledger).id], now=after(2))
    one = row(ledger)
    return (one.state, one.institution, one.is_published), (State.LOADED, PARTITION.institution, True)


def disowned(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.record_unrouted([(STRAY, "?")], now=NOW)
    return (row(ledger).state, row(ledger).claimed_by), (State.UNROUTED, None)


def shunned(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.record_ignored([(MARKER, "a marker")], now=NOW)
    return (row(ledger).state, row(ledger).claimed_by), (State.IGNORED, None)


def gone(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_gone([row(ledger).id], now=NOW)
    return (row(ledger).state, row(ledger).claimed_by), (State.WITHDRAWN, None)


def back(ledger: Ledger) -> tuple[object, object]:
    ledger.record_seen([A], now=NOW)
    ledger.mark_gone([row(ledger).id], now=NOW)
    ledger.record_seen([A], now=after(1))
    return (row(ledger).state, row(ledger).attempt), (State.SEEN, 2)


def withdrawn(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong", by="ann", now=after(3))
    ledger.record_seen([A], now=after(4))
    return (row(ledger).state, row(ledger).claimed_by), (State.WITHDRAWN, None)


def restored(ledger: Ledger) -> tuple[object, object]:
    ledger.record_seen([A], now=NOW)
    ledger.withdraw(row(ledger), reason="wrong", by="ann", now=NOW)
    ledger.undo_withdrawal(row(ledger), by="ann", now=after(1))
    return (row(ledger).state, row(ledger).attempt), (State.SEEN, 2)


def withdrawn_beside(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    ledger.record_seen([NEWER], now=after(1))
    ledger.withdraw(ledger.objects()[0], reason="wrong", by="ann", now=after(2))
    return [one.state for one in ledger.objects()], [State.WITHDRAWN, State.SEEN]


def restored_beside(ledger: Ledger) -> tuple[object, object]:
    withdrawn_beside(ledger)
    ledger.undo_withdrawal(ledger.objects()[0], by="ann", now=after(3), beside=True)
    one = ledger.objects()[0]
    return (one.state, one.reason), (State.SUPERSEDED, None)


def taken(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    return (row(ledger).state, row(ledger).claimed_by), (State.SEEN, "run")


def taken_waiting(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_waiting("run", PARTITION, "lake", "away", now=NOW)
    begin(ledger, run_id="by hand", at=1)
    one = row(ledger)
    return (one.state, one.claimed_by, one.reason), (State.SEEN, "by hand", None)


def loaded(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    return state(ledger, State.LOADED)


def refused(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_refused("run", [result_of(A, reason="empty")], now=NOW)
    return state(ledger, State.REFUSED)


def failed(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_failed("run", PARTITION, "bad", now=NOW)
    return state(ledger, State.FAILED)


def unstarted(ledger: Ledger) -> tuple[object, object]:
    ledger.record_seen([A], now=NOW)
    ledger.mark_unstarted("run", PARTITION, "bad", now=NOW)
    return state(ledger, State.FAILED)


def unpublished(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    check(ledger, A)
    ledger.mark_failed("run", PARTITION, "no privilege", now=NOW)
    return state(ledger, State.FAILED)


def waits(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_waiting("run", PARTITION, "lake", "away", now=NOW)
    return (row(ledger).state, row(ledger).claimed_by), (State.WAITING, None)


def waits_unstarted(ledger: Ledger) -> tuple[object, object]:
    ledger.record_seen([A], now=NOW)
    ledger.mark_waiting("run", PARTITION, "lake", "away", is_first=True, now=NOW)
    return state(ledger, State.WAITING)


def released(ledger: Ledger) -> tuple[object, object]:
    waits(ledger)
    ledger.judge_service("lake", None, limit=3, now=after(1))
    return (row(ledger).state, row(ledger).attempt, row(ledger).reason), (State.SEEN, 2, None)


def exhausted(ledger: Ledger) -> tuple[object, object]:
    waits(ledger)
    ledger.judge_service("lake", None, limit=0, now=after(1))
    return state(ledger, State.FAILED)


def died(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    ledger.close_dead("run", error="killed", now=after(1))
    one = row(ledger)
    return (one.state, one.claimed_by, one.attempt), (State.SEEN, None, 2)


def given_up(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.close_dead("run", error="killed", deaths_limit=1, now=after(1))
    return state(ledger, State.FAILED)


def left(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    ledger.mark_loaded("run", [result_of(A)], now=NOW)
    ledger.leave("run", PARTITION, "a check failed", now=after(1))
    one = row(ledger)
    return (one.state, one.claimed_by, one.attempt), (State.SEEN, None, 2)


def replayed(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    ledger.request_replay(dataset="prices", now=after(3))
    one = row(ledger)
    return (one.state, one.claimed_by, one.attempt), (State.SEEN, None, 2)


def passed_over(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    check(ledger)
    return (row(ledger).state, row(ledger).claimed_by), (State.SEEN, None)


def attempt_begun(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    return outcome(ledger), Outcome.RUNNING


def attempt_unbegun(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    ledger.withdraw(row(ledger), reason="wrong", by="ann", now=after(3))
    ledger.mark_unstarted("second", PARTITION, "cancelled", now=after(4))
    return outcome(ledger, "second"), Outcome.FAILED


def attempt_checked(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    check(ledger, A)
    return outcome(ledger), Outcome.CHECKED


def attempt_failed(ledger: Ledger) -> tuple[object, object]:
    failed(ledger)
    return outcome(ledger), Outcome.FAILED


def attempt_waited(ledger: Ledger) -> tuple[object, object]:
    waits(ledger)
    return outcome(ledger), Outcome.FAILED


def attempt_published(ledger: Ledger) -> tuple[object, object]:
    succeed(ledger, A)
    return outcome(ledger), Outcome.SUCCEEDED


def attempt_overwritten(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A, run_id="older")
    begin(ledger, dead={"older"}, at=1)
    check(ledger, A)
    publish(ledger)
    publish(ledger, run_id="older", at=3)
    return outcome(ledger), Outcome.CHECKED


def attempt_died(ledger: Ledger) -> tuple[object, object]:
    died(ledger)
    return outcome(ledger), Outcome.CRASHED


def attempt_overtaken(ledger: Ledger) -> tuple[object, object]:
    begin(ledger, A)
    begin(ledger, run_id="second", dead={"run"}, at=1)
    return outcome(ledger), Outcome.CRASHED


def attempt_left(ledger: Ledger) -> tuple[object, object]:
    left(ledger)
    return outcome(ledger), Outcome.FAILED


# (event, whether the object waits for a service before) -> story
OBJECT_STORIES: dict[tuple[Happens, bool], Story] = {
    (Happens.FOUND, False): found,
    (Happens.FOUND_STRAY, False): found_stray,
    (Happens.FOUND_IGNORED, False): found_ignored,
    (Happens.REPLACED, False): replaced,
    (Happens.RETURNED, False): returned,
    (Happens.ROUTED, False): routed,
    (Happens.REROUTED, False): rerouted,
    (Happens.GIVEN_BACK, False): given_back,
    (Happens.DISOWNED, False): disowned,
    (Happens.SHUNNED, False): shunned,
    (Happens.GONE, False): gone,
    (Happens.BACK, False): back,
    (Happens.REINSTATED, False): reinstated,
    (Happens.WITHDRAWN, False): withdrawn,
    (Happens.WITHDRAWN_BESIDE, False): withdrawn_beside,
    (Happens.RESTORED, False): restored,
    (Happens.RESTORED_BESIDE, False): restored_beside,
    (Happens.TAKEN, False): taken,
    (Happens.TAKEN, True): taken_waiting,
    (Happens.LOADED, False): loaded,
    (Happens.REFUSED, False): refused,
    (Happens.FAILED, False): failed,
    (Happens.UNSTARTED, False): unstarted,
    (Happens.UNPUBLISHED, False): unpublished,
    (Happens.WAITS, False): waits,
    (Happens.WAITS_UNSTARTED, False): waits_unstarted,
    (Happens.RELEASED, True): released,
    (Happens.EXHAUSTED, True): exhausted,
    (Happens.DIED, False): died,
    (Happens.GIVEN_UP, False): given_up,
    (Happens.LEFT, False): left,
    (Happens.REPLAYED, False): replayed,
    (Happens.PASSED_OVER, False): passed_over,
}

ATTEMPT_STORIES: dict[Attempted, Story] = {
    Attempted.BEGUN: attempt_begun,
    Attempted.UNBEGUN: attempt_unbegun,
    Attempted.CHECKED: attempt_checked,
    Attempted.FAILED: attempt_failed,
    Attempted.WAITED: attempt_waited,
    Attempted.PUBLISHED: attempt_published,
    Attempted.OVERWRITTEN: attempt_overwritten,
    Attempted.DIED: attempt_died,
    Attempted.OVERTAKEN: attempt_overtaken,
    Attempted.LEFT: attempt_left,
}
