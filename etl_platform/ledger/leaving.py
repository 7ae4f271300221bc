"""How objects leave a partition: deleted from landing, withdrawn by a person, put back; and what a run leaves out.

Each function works inside the caller's transaction. Not here: how they enter (`recording.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import handovers, reruns
from etl_platform.ledger.bound_rows import given, in_chunks, is_given
from etl_platform.ledger.law import Happens, move
from etl_platform.ledger.records import CURRENT, WHOLE_KEY, LedgerObject, State, Withdrawal
from etl_platform.ledger.rows import REPLACED, reinstate
from etl_platform.ledger.tables import attempts, given_away, landing_objects, withdrawals

_t, _w, _a = landing_objects.c, withdrawals.c, attempts.c
_PARTITION = ("institution", "dataset", "business_date")

_IS_AWAY = sa.exists().where(given_away.c.object_id == _t.id)
"""It came from another partition: it is there that it was published."""
_STUCK = sa.or_(
    _t.state.in_((State.WAITING, State.REFUSED)),
    # What is published, and failed at gold since, stays part of its partition: bronze has it.
    sa.and_(_t.state == State.FAILED, sa.or_(~_t.is_published, _IS_AWAY)),
    # Read before without a row in the tables, and asked for again.
    sa.and_(_t.state == State.SEEN, _t.rows_silver == 0, ~_t.is_published),
)
_OUT = (State.WITHDRAWN, State.UNROUTED, State.IGNORED)
_CONTENTS = sa.select(_t.key, _t.identity, _t.sha256, _t.state, _t.is_published).where(is_given(_t))


class _Content(NamedTuple):
    key: str
    identity: str
    sha256: str | None
    state: str
    is_published: bool


def select_stuck(connection: sa.Connection, roots: Sequence[str]) -> list[tuple[str, int]]:
    """Key and id of what was refused, has failed or waits below the roots: few, and each may block its partition."""
    query = sa.select(_t.key, _t.id).where(_STUCK, _t.root.in_(roots))
    return sorted((key, number) for key, number in connection.execute(query))


def mark_gone(connection: sa.Connection, ids: Sequence[int], run_id: str | None, now: dt.datetime) -> int:
    """What was deleted from landing before its rows were stored is no part of its partition. Returns how many."""
    moved = 0
    back = set(handovers.give_back(connection, ids, now))
    for chunk in in_chunks([number for number in ids if number not in back]):
        where = _t.id.in_(chunk)
        touched = _touched(connection, where)
        moved += move(connection, Happens.GONE, where, now=now, values={"reason": str(Happens.GONE)})
        reruns.request(connection, touched, str(Happens.GONE), now)
        again = reinstate(connection, chunk, now)
        if run_id is not None and again:
            is_at = sa.exists().where(_a.run_id == run_id, *(_a[name] == _t[name] for name in _PARTITION))
            move(connection, Happens.TAKEN, _t.id.in_(again), is_at, now=now, run_id=run_id)
    return moved + len(back)


def withdraw(connection: sa.Connection, found: LedgerObject, reason: str, by: str, now: dt.datetime) -> bool:
    """Take one object out, on record. False: it is none of its partition's any more.

    Where it was never published, what it had replaced counts again: nobody has taken that out. Found superseded: it
    counts beside the content that came after it, as in write mode `append`."""
    where = _t.id == found.id
    event = Happens.WITHDRAWN_BESIDE if found.state is State.SUPERSEDED else Happens.WITHDRAWN
    touched = _touched(connection, where, (*CURRENT, found.state))
    told = f"withdrawn by {by}: {reason}"
    values = {"reason": told, "sha256": sa.func.coalesce(_t.sha256, found.sha256)}
    if not move(connection, event, where, now=now, values=values):
        return False
    row = {"object_id": found.id, "root": found.root, "key": found.key, "identity": found.identity}
    connection.execute(sa.insert(withdrawals).values(**row, reason=reason, requested_by=by, requested_at=now))
    reruns.request(connection, touched, told, now)
    if not found.is_published and not handovers.was_published(connection, found.id):
        reinstate(connection, [found.id], now)
    return True


def restore(connection: sa.Connection, found: LedgerObject, by: str, now: dt.datetime, *, beside: bool) -> bool:
    """Undo the withdrawal of an object, on record. False: a newer content of its key is part of the partition. beside:
    what was published counts beside it, as in write mode `append`."""
    where = _t.id == found.id
    if move(connection, Happens.RESTORED, where, now=now):
        # What counted again since it was taken out is replaced, as it was before.
        others = (_t.root == found.root, _t.key == found.key, _t.id != found.id, _t.state.in_(CURRENT))
        move(connection, Happens.REPLACED, *others, now=now, values=REPLACED)
    elif beside and move(connection, Happens.RESTORED_BESIDE, where, now=now):
        reruns.request(connection, _touched(connection, where, (State.SUPERSEDED,)), str(Happens.RESTORED), now)
    else:
        return False
    update = sa.update(withdrawals).where(_w.object_id == found.id, _w.undone_at.is_(None))
    connection.execute(update.values(undone_by=by, undone_at=now))
    return True


def select_withdrawals(connection: sa.Connection, limit: int) -> list[Withdrawal]:
    """What was withdrawn, the latest first."""
    query = sa.select(withdrawals).order_by(_w.id.desc()).limit(limit)
    return [Withdrawal(**row) for row in connection.execute(query).mappings()]


def select_excluded(connection: sa.Connection, partition: Delivery) -> frozenset[tuple[str, str]]:
    """(key, sha256) and, of what no run has read, (key, identity) of all that was part of the partition and is not;
    (key, WHOLE_KEY) where what comes under the key now is another partition's.

    Also an overwritten content whose rows were never published: in write mode `append` the others stay.
    """
    here = [_Content(*row) for row in connection.execute(_CONTENTS, given(partition))]
    # A key under which something comes to the partition again is its own.
    back = {(content.key, WHOLE_KEY) for content in here if content.state in CURRENT}
    return _excluded(here) | (handovers.select_away(connection, partition) - back)


def _excluded(objects: Iterable[_Content]) -> frozenset[tuple[str, str]]:
    out: set[tuple[str, str]] = set()
    kept: set[tuple[str, str]] = set()
    for found in objects:
        names = {(found.key, name) for name in (found.identity, found.sha256) if name}
        if found.state in _OUT or (found.state == State.SUPERSEDED and not found.is_published):
            out |= names
        else:
            kept |= names
    return frozenset(out - kept)


def _touched(
    connection: sa.Connection, where: sa.ColumnElement[bool], states: Sequence[State] = CURRENT
) -> set[Delivery]:
    """The partitions of these objects, but for those that no run has looked at yet."""
    was_read = sa.or_(_t.state != State.SEEN, _t.sha256.is_not(None))
    query = sa.select(_t.dataset, _t.business_date, _t.institution).distinct()
    return {Delivery(*row) for row in connection.execute(query.where(where, was_read, _t.state.in_(states)))}
