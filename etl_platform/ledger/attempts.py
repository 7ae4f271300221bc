"""What runs do with objects: take them, decide on them, end; and what people ask for again.

Each function works inside the caller's transaction. A run decides only on objects that it claimed at its start and
that were not taken from it since: by a later run, a replay, or a newer version (see `ledger.py`).
Not here: how objects enter the ledger (`recording.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from etl_platform.ledger.given import given, is_given
from etl_platform.ledger.records import (
    CURRENT,
    Attempt,
    AttemptTotals,
    DatasetPartition,
    ObjectResult,
    Outcome,
    State,
)
from etl_platform.ledger.tables import ROW_COUNTS, attempts, landing_objects

_t = landing_objects.c
_a = attempts.c

# What a failing run leaves undecided. Loaded and refused stand: the tables still hold what they say.
_UNDECIDED = (State.SEEN, State.FAILED)
# What a dead run may have left half-way; what has failed waits for a replay anyway.
_TAKEN = (State.SEEN, State.LOADED, State.REFUSED)


def start(connection: sa.Connection, run_id: str, partitions: Sequence[DatasetPartition], now: dt.datetime) -> None:
    """Put the run's attempt at each partition on record and claim the partition's current objects for it.

    Every step of a run may call it: while the attempt runs it changes nothing, so that a file which arrives in
    between stays for the next run. An attempt that had ended (the run's step is retried) begins again.
    """
    query = sa.select(_a.dataset, _a.business_date, _a.institution, _a.outcome).where(_a.run_id == run_id)
    earlier = {DatasetPartition(*key): outcome for *key, outcome in connection.execute(query)}
    starting = [partition for partition in partitions if earlier.get(partition) != Outcome.RUNNING]
    fresh = [asdict(partition) for partition in starting if partition not in earlier]
    if fresh:
        row = {"run_id": run_id, "started_at": now, "outcome": Outcome.RUNNING}
        connection.execute(sa.insert(attempts), [{**row, **partition} for partition in fresh])
    again = [partition for partition in starting if partition in earlier]
    if again:
        unknown = dict.fromkeys((*asdict(AttemptTotals()), "ended_at", "seconds", "error"))
        update = sa.update(attempts).where(_a.run_id == run_id, is_given(_a))
        update = update.values(outcome=Outcome.RUNNING, started_at=now, **unknown)
        connection.execute(update, [given(partition) for partition in again])
    if starting:
        is_current = sa.or_(*(_t.state == state for state in CURRENT))  # no IN for many parameters at once
        claim = sa.update(landing_objects).where(is_given(_t), is_current).values(claimed_by=run_id)
        connection.execute(claim, [given(partition) for partition in starting])


def decide(
    connection: sa.Connection, run_id: str, state: State, results: Sequence[ObjectResult], now: dt.datetime
) -> int:
    """Bring the objects that the run still holds to `state`. Returns how many; the others were taken from it."""
    update = (
        sa.update(landing_objects)
        .where(
            _t.root == sa.bindparam("result_root"),
            _t.key == sa.bindparam("result_key"),
            # By its bytes too: a folder that is moved while the run reads gives its objects another identity.
            sa.or_(
                _t.identity == sa.bindparam("result_identity"),
                _t.sha256 == sa.bindparam("result_sha256", type_=_t.sha256.type),
            ),
            _t.claimed_by == run_id,  # superseding and replaying clear it
        )
        .values(state=state, run_id=run_id, updated_at=now)
    )
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
    return connection.execute(update, rows).rowcount


def fail(connection: sa.Connection, run_id: str, partition: DatasetPartition, error: str, now: dt.datetime) -> int:
    """Mark what the run left undecided as failed. Returns how many.

    A run that failed before its start took nothing yet; it was launched for what waits, unclaimed.
    """
    started = connection.execute(sa.select(_a.run_id).where(_is_attempt(run_id, partition))).first()
    claim = _t.claimed_by == run_id if started else _t.claimed_by.is_(None)
    states = _UNDECIDED if started else (State.SEEN,)
    update = sa.update(landing_objects).where(is_of(partition), claim, _t.state.in_(states))
    return connection.execute(update.values(state=State.FAILED, reason=error, run_id=run_id, updated_at=now)).rowcount


def end(
    connection: sa.Connection,
    run_id: str,
    partition: DatasetPartition,
    outcome: Outcome,
    *,
    totals: AttemptTotals | None,
    error: str | None,
    now: dt.datetime,
) -> bool:
    """Close the attempt; false when it is not on record or closed for good.

    A run thought crashed that comes back with a result has the last word; a crash never overrides a result.
    """
    open_outcomes = (Outcome.RUNNING,) if outcome is Outcome.CRASHED else (Outcome.RUNNING, Outcome.CRASHED)
    is_open = sa.and_(_is_attempt(run_id, partition), _a.outcome.in_(open_outcomes))
    started_at = connection.execute(sa.select(_a.started_at).where(is_open)).scalar()
    if started_at is None:
        return False
    ending: dict[str, Any] = {"outcome": outcome, "ended_at": now, "error": error, **(asdict(totals) if totals else {})}
    if outcome is not Outcome.CRASHED:
        ending["seconds"] = (now - started_at).total_seconds()
    connection.execute(sa.update(attempts).where(is_open).values(ending))
    if outcome is Outcome.SUCCEEDED:
        # An object that arrived after the run had listed its partition was claimed with the others: it waits again.
        left = sa.update(landing_objects).where(is_of(partition), _t.claimed_by == run_id, _t.state == State.SEEN)
        connection.execute(left.values(claimed_by=None))
    return True


def unpublish(
    connection: sa.Connection, run_id: str, partition: DatasetPartition, error: str, now: dt.datetime
) -> bool:
    """Turn the run's success into a failure, with what it loaded; false when it has no success on record."""
    succeeded = sa.and_(_is_attempt(run_id, partition), _a.outcome == Outcome.SUCCEEDED)
    ending = {"outcome": Outcome.FAILED, "ended_at": now, "error": error}
    if not connection.execute(sa.update(attempts).where(succeeded).values(ending)).rowcount:
        return False
    mine = sa.and_(is_of(partition), _t.run_id == run_id, _t.claimed_by == run_id, _t.state == State.LOADED)
    failed = {"state": State.FAILED, "reason": error, "updated_at": now}
    connection.execute(sa.update(landing_objects).where(mine).values(failed))
    return True


def put_back(
    connection: sa.Connection,
    run_id: str,
    partition: DatasetPartition,
    *,
    error: str,
    attempts_limit: int,
    now: dt.datetime,
) -> int:
    """After a crash: what the run had taken waits again, under a new attempt, or has failed at the limit. Returns how
    many objects that were.

    Also what it had decided on: silver may have been written and gold and warehouse not.
    """
    mine = sa.and_(is_of(partition), _t.claimed_by == run_id, _t.state.in_(_TAKEN))
    failed = {"state": State.FAILED, "reason": error, "run_id": run_id, "updated_at": now}
    enough = sa.update(landing_objects).where(mine, _t.attempt >= attempts_limit).values(failed)
    waiting = {"state": State.SEEN, "reason": None, "attempt": _t.attempt + 1, "claimed_by": None, "updated_at": now}
    again = sa.update(landing_objects).where(mine).values(waiting)
    return sum(connection.execute(update).rowcount for update in (enough, again))


def close_dead(
    connection: sa.Connection, run_id: str, *, error: str, attempts_limit: int, now: dt.datetime
) -> list[DatasetPartition]:
    """Close every attempt of a run whose process is gone before the run had ended; returns what waits again for it.

    Also an attempt that had succeeded, which is so once silver is checked: what comes after it was not finished. One
    whose objects a later run has taken is left as it is.
    """
    waiting = []
    for attempt in select_attempts(connection, _a.run_id == run_id):
        partition = attempt.partition
        if attempt.outcome not in (Outcome.RUNNING, Outcome.SUCCEEDED):
            continue
        count = put_back(connection, run_id, partition, error=error, attempts_limit=attempts_limit, now=now)
        if count or attempt.outcome is Outcome.RUNNING:
            crashed = sa.update(attempts).where(_is_attempt(run_id, partition))
            connection.execute(crashed.values(outcome=Outcome.CRASHED, ended_at=now, error=error))
        if count:
            waiting.append(partition)
    return waiting


def replay(
    connection: sa.Connection,
    *,
    institution: str | None,
    dataset: str | None,
    business_date: dt.date | None,
    now: dt.datetime,
) -> int:
    """Let the current objects of the matching partitions wait again, under a new attempt. Returns how many."""
    wanted = {_t.institution: institution, _t.dataset: dataset, _t.business_date: business_date}
    named = [column == value for column, value in wanted.items() if value is not None]
    update = sa.update(landing_objects).where(_t.state.in_(CURRENT), *named)
    return connection.execute(
        update.values(state=State.SEEN, reason=None, claimed_by=None, attempt=_t.attempt + 1, updated_at=now)
    ).rowcount


def select_attempts(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Attempt]:
    """The matching attempts, oldest first."""
    query = sa.select(attempts).where(*conditions).order_by(_a.started_at, _a.run_id)
    return [_read(row) for row in connection.execute(query).mappings()]


def is_of(partition: DatasetPartition) -> sa.ColumnElement[bool]:
    """Whether a landing object belongs to `partition`."""
    return sa.and_(
        _t.business_date == partition.business_date,
        _t.dataset == partition.dataset,
        _t.institution == partition.institution,
    )


def _is_attempt(run_id: str, partition: DatasetPartition) -> sa.ColumnElement[bool]:
    return sa.and_(
        _a.run_id == run_id,
        _a.institution == partition.institution,
        _a.dataset == partition.dataset,
        _a.business_date == partition.business_date,
    )


def _read(row: sa.RowMapping) -> Attempt:
    counts = {name: row[name] for name in asdict(AttemptTotals())}
    return Attempt(
        run_id=row["run_id"],
        partition=DatasetPartition(row["dataset"], row["business_date"], row["institution"]),
        started_at=row["started_at"],
        outcome=Outcome(row["outcome"]),
        ended_at=row["ended_at"],
        seconds=row["seconds"],
        error=row["error"],
        totals=AttemptTotals(**counts) if row["rows_read"] is not None else None,
    )
