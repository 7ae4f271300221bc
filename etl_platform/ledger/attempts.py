"""What runs do with objects: take them, decide on them, are checked, publish, end; and what people ask for again.

Each function works inside the caller's transaction. A run decides only on objects that it claimed at its start and
that were not taken from it since: by a later run, a replay, or a newer version (see `ledger.py`). States and outcomes
change by the moves of `law.py` alone.
Not here: how objects enter the ledger (`recording.py`), services that are away (`troubles.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.errors import AttemptLostError
from etl_platform.ledger import leases, publications, reruns, troubles
from etl_platform.ledger.attempt_rows import GIVEN_RUN, IS_MINE, IS_OF, find, latest, mine, select_attempts_at
from etl_platform.ledger.bound_rows import given
from etl_platform.ledger.law import Attempted, Happens, born, move, move_attempt
from etl_platform.ledger.records import Attempt, AttemptTotals, ObjectResult, Outcome, State
from etl_platform.ledger.tables import ROW_COUNTS, attempts, landing_objects

_t = landing_objects.c
_a = attempts.c

OPEN = (Outcome.RUNNING, Outcome.CHECKED)
"""Outcomes of attempts that have no end yet."""
_IS_OWN_OR_OPEN = sa.or_(_a.run_id == GIVEN_RUN, *(_a.outcome == outcome for outcome in OPEN))
_OUTCOME = sa.select(_a.outcome, _a.started_at).where(IS_MINE)
_SEEN = sa.select(_t.id).where(IS_OF, _t.state == State.SEEN).limit(1)
_RESULT = (
    _t.root == sa.bindparam("result_root"),
    _t.key == sa.bindparam("result_key"),
    # By its bytes too: a folder that is moved while the run reads gives its objects another identity.
    sa.or_(
        _t.identity == sa.bindparam("result_identity"),
        _t.sha256 == sa.bindparam("result_sha256", type_=_t.sha256.type),
    ),
)
"""The object that a result is about."""
_BEGUN = sa.insert(attempts)


def start(
    connection: sa.Connection,
    run_id: str,
    partitions: Sequence[Delivery],
    dead: Collection[str],
    now: dt.datetime,
) -> list[Attempt]:
    """Put the run's attempt at each partition on record and claim the partition's current objects for it.

    Every step of a run may call it: while the attempt runs it changes nothing, so that a file which arrives in
    between stays for the next run. dead: runs known to be gone. Returns the open attempts of other runs that are in
    the way; then nothing was begun.
    """
    found = select_attempts_at(connection, partitions, _IS_OWN_OR_OPEN, {"given_run_id": run_id})
    known = {attempt.partition for attempt in found if attempt.run_id == run_id}
    for attempt in found:
        if attempt.run_id == run_id:
            _is_not_lost(attempt)
    starting = [partition for partition in partitions if partition not in known]
    if not starting:
        return []
    others = [attempt for attempt in found if attempt.partition not in known]
    in_the_way = [a for a in others if a.run_id not in dead]
    if in_the_way:
        return in_the_way
    for other in others:
        error = f"run {run_id} took the partition over"
        ending = {"ended_at": now, "error": error}
        move_attempt(
            connection, Attempted.OVERTAKEN, IS_MINE, values=ending, rows=[mine(other.run_id, other.partition)]
        )
    row = {"run_id": run_id, "started_at": now, "outcome": born(Attempted.BEGUN)}
    connection.execute(_BEGUN, [{**row, **asdict(partition)} for partition in starting])
    rows = [given(partition) for partition in starting]
    move(connection, Happens.TAKEN, IS_OF, now=now, run_id=run_id, rows=rows)
    leases.give_back(connection, starting)
    reruns.close(connection, starting)
    return []


def decide(
    connection: sa.Connection, run_id: str, event: Happens, results: Sequence[ObjectResult], now: dt.datetime
) -> int:
    """Bring the objects that the run still holds to the event's state. Returns how many; the others were taken."""
    rows = [
        {
            "result_root": result.root,
            "result_key": result.key,
            "result_identity": result.identity,
            "result_sha256": result.sha256,
            "sha256": result.sha256,
            "reason": result.reason,
            **{name: getattr(result, name) for name in ROW_COUNTS},
        }
        for result in results
    ]
    # Superseding and replaying clear the claim, so that what was taken from the run stays as it is.
    return move(connection, event, *_RESULT, now=now, run_id=run_id, values={"run_id": run_id}, rows=rows)


def check(
    connection: sa.Connection,
    run_id: str,
    partition: Delivery,
    totals: AttemptTotals,
    error: str | None,
    now: dt.datetime,
) -> bool:
    """What is stored was checked: it waits for gold and warehouse, or the attempt failed with `error`."""
    if error is not None:
        return fail(connection, run_id, partition, error, now, totals=totals)
    if not move_attempt(connection, Attempted.CHECKED, IS_MINE, values=asdict(totals), rows=[mine(run_id, partition)]):
        _is_not_lost(find(connection, run_id, partition))
        return False
    # An object that arrived after the run had listed its partition was claimed with the others: it waits again.
    move(connection, Happens.PASSED_OVER, IS_OF, now=now, run_id=run_id, rows=[given(partition)])
    return True


def _is_not_lost(attempt: Attempt | None) -> None:
    """Stop a run that somebody has taken for dead: another one may be at its partition."""
    if attempt is not None and attempt.outcome is not Outcome.RUNNING:
        raise AttemptLostError(
            f"{attempt.partition} run {attempt.run_id}",
            found=f"its attempt ended already ({attempt.outcome}: {attempt.error or 'no reason given'})",
            expected="a running one",
            next_step="none: what is not loaded is loaded by another run",
        )


def fail(
    connection: sa.Connection,
    run_id: str,
    partition: Delivery,
    error: str,
    now: dt.datetime,
    *,
    totals: AttemptTotals | None = None,
) -> bool:
    """End the run's open attempt as failed, and with it what it left undecided; false when it has none.

    Loaded and refused objects stand: the tables still hold what they say. Where the attempt was checked, silver is
    right and gold or warehouse refused it: then what it loaded has failed, too.
    """
    own, here = [mine(run_id, partition)], [given(partition)]
    before = connection.execute(_OUTCOME, own[0]).first()
    if before is None or before.outcome not in OPEN:
        return False
    seconds = (now - before.started_at).total_seconds()
    ending = {"ended_at": now, "error": error, "seconds": seconds, **(asdict(totals) if totals else {})}
    move_attempt(connection, Attempted.FAILED, IS_MINE, values=ending, rows=own)
    why = {"reason": error, "run_id": run_id}
    if before.outcome == Outcome.CHECKED:
        move(connection, Happens.UNPUBLISHED, IS_OF, now=now, run_id=run_id, values=why, rows=here)
        publications.note_silver(connection, run_id, partition)
    else:
        move(connection, Happens.FAILED, IS_OF, now=now, run_id=run_id, values=why, rows=here)
    troubles.forget(connection, partition)
    return True


def fail_unstarted(connection: sa.Connection, run_id: str, partition: Delivery, error: str, now: dt.datetime) -> int:
    """A run ended before it began: what it was launched for, and nobody has taken, failed. Returns how many objects.

    Where a run was asked for without a new object there is none to say so: the failure is an attempt on record. A run
    whose attempt has failed began after all: what arrived since was not its business.
    """
    leases.give_back(connection, [partition])
    known = find(connection, run_id, partition)
    if known is not None and known.outcome is Outcome.FAILED:
        return 0
    why = {"reason": error, "run_id": run_id}
    moved = move(connection, Happens.UNSTARTED, IS_OF, now=now, values=why, rows=[given(partition)])
    if reruns.is_open(connection, partition):
        _fail_rerun(connection, run_id, partition, error, now, is_on_record=known is not None)
    return moved


def _fail_rerun(
    connection: sa.Connection,
    run_id: str,
    partition: Delivery,
    error: str,
    now: dt.datetime,
    *,
    is_on_record: bool,
) -> None:
    newest = latest(connection, partition)
    if newest is not None and newest.outcome is Outcome.RUNNING:
        reruns.request(connection, [partition], error, now)  # another run is at it: again after that
        return
    reruns.close(connection, [partition])
    if not fail_publication(connection, partition, error, now) and not is_on_record:
        row = {"run_id": run_id, "started_at": now, "ended_at": now, "outcome": born(Attempted.UNBEGUN), "error": error}
        connection.execute(sa.insert(attempts), {**row, **asdict(partition)})


def die_unstarted(
    connection: sa.Connection, run_id: str, partition: Delivery, error: str, deaths_limit: int, now: dt.datetime
) -> bool:
    """A run is gone that had not begun its attempt at the partition. Returns whether the partition waits.

    Somebody may have written a published table again: such a death says nothing about loading the partition.
    """
    is_asked_for = (
        reruns.is_open(connection, partition) or connection.execute(_SEEN, given(partition)).first() is not None
    )
    newest = latest(connection, partition)
    if not is_asked_for and (newest is None or newest.outcome is not Outcome.CHECKED):
        return False
    deaths = troubles.count_death(connection, partition, error, now)
    if deaths >= deaths_limit:
        error = f"{error}, {deaths} times in a row"
        fail_unstarted(connection, run_id, partition, error, now)
        fail_publication(connection, partition, error, now)
        troubles.forget(connection, partition)
        return False
    leases.give_back(connection, [partition])
    if is_asked_for:
        reruns.request(connection, [partition], error, now)  # under another key: that of the dead run is used up
    return True


def fail_publication(connection: sa.Connection, partition: Delivery, error: str, now: dt.datetime) -> bool:
    """Gold or warehouse refused what a checked attempt of another run stored; false when nothing waits for them."""
    attempt = latest(connection, partition)
    if attempt is None or attempt.outcome is not Outcome.CHECKED:
        return False
    return fail(connection, attempt.run_id, partition, error, now)


def die(
    connection: sa.Connection, run_id: str, partition: Delivery, error: str, deaths_limit: int, now: dt.datetime
) -> bool:
    """The run of an open attempt is gone. What it had taken waits again, or has failed at the limit; what it had
    checked stays checked, for gold and warehouse. Returns whether the partition waits; false without an open attempt.
    """
    own, here = [mine(run_id, partition)], [given(partition)]
    outcome = connection.execute(_OUTCOME, own[0]).scalar()
    if outcome not in OPEN:
        return False
    deaths = troubles.count_death(connection, partition, error, now)
    if outcome == Outcome.CHECKED:
        if deaths < deaths_limit:
            return True
        fail(connection, run_id, partition, f"{error}, {deaths} times in a row", now)
        return False
    move_attempt(connection, Attempted.DIED, IS_MINE, values={"ended_at": now, "error": error}, rows=own)
    if deaths >= deaths_limit:
        why = {"reason": f"{error}, {deaths} times in a row", "run_id": run_id}
        move(connection, Happens.GIVEN_UP, IS_OF, now=now, run_id=run_id, values=why, rows=here)
        troubles.forget(connection, partition)
        return False
    if not move(connection, Happens.DIED, IS_OF, now=now, run_id=run_id, rows=here):
        reruns.request(connection, [partition], error, now)
    return True


def leave(connection: sa.Connection, run_id: str, partition: Delivery, error: str, now: dt.datetime) -> None:
    """A run over many partitions leaves this one, for `error`, to a run of its own: it waits again."""
    ending, own = {"ended_at": now, "error": error}, [mine(run_id, partition)]
    if move_attempt(connection, Attempted.LEFT, IS_MINE, values=ending, rows=own) and not move(
        connection, Happens.LEFT, IS_OF, now=now, run_id=run_id, rows=[given(partition)]
    ):
        reruns.request(connection, [partition], error, now)


def replay(
    connection: sa.Connection,
    *,
    institution: str | None,
    dataset: str | None,
    business_date: dt.date | None,
    now: dt.datetime,
) -> int:
    """Let the current objects of the matching partitions wait again, under a new attempt. Returns how many."""
    wanted = {"institution": institution, "dataset": dataset, "business_date": business_date}
    named = {name: value for name, value in wanted.items() if value is not None}
    # One that waits without an object of its own (another was withdrawn) would be forgotten with its trouble.
    reruns.request(connection, troubles.forget_all(connection, named), "asked for again", now)
    return move(connection, Happens.REPLAYED, *(_t[name] == value for name, value in named.items()), now=now)
