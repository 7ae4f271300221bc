"""Objects that belong to nobody: unrouted, or ignored by their names; and what that means for their partitions.

Each function works inside the caller's transaction. Not here: what belongs to a partition (`recording.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import reruns
from etl_platform.ledger.handovers import give_back, home_of
from etl_platform.ledger.law import Happens, move
from etl_platform.ledger.places import OPEN, Finding, OnRecord, compare, happens, replaceable
from etl_platform.ledger.records import LandingObject, State
from etl_platform.ledger.rows import IS_ROW, distinct, identify, insert, name_of, new_row, reinstate


def insert_unrouted(connection: sa.Connection, objects: Sequence[tuple[LandingObject, str]], now: dt.datetime) -> int:
    """Put on record what no institution claims, each with its reason. Returns how many are news.

    A version that nobody claims supersedes nothing: a mistake in a key pattern must not empty a partition. What waited
    for a run under its key waits no longer, and blocks nothing.
    """
    return _nobodys(connection, objects, now, (Happens.FOUND_STRAY, Happens.DISOWNED))


def insert_ignored(connection: sa.Connection, objects: Sequence[tuple[LandingObject, str]], now: dt.datetime) -> int:
    """The same for what is nobody's by its name."""
    return _nobodys(connection, objects, now, (Happens.FOUND_IGNORED, Happens.SHUNNED))


def _nobodys(
    connection: sa.Connection,
    objects: Sequence[tuple[LandingObject, str]],
    now: dt.datetime,
    events: tuple[Happens, Happens],
) -> int:
    found_event, left_event = events
    reasons = {name_of(found): reason for found, reason in objects}
    compared = compare(connection, list(distinct(found for found, _ in objects).values()))
    news = [c for c in compared if c.finding in (Finding.NEWS, Finding.UNSURE)]
    fresh, left = [], []
    for c in news:
        reason = reasons[name_of(c.found)]
        if c.row is None:
            fresh.append(new_row(c.found, found_event, reason, now))
        # An earlier content that waited under the key is as much nobody's as the one that lies there now.
        rows = [row for row in c.others if row.state in OPEN]
        if c.row is not None and happens(c.found, c.row) is left_event:
            rows.append(c.row)
        left += [(row, reason) for row in rows]
    back = set(give_back(connection, [row.id for row, _ in left], now))
    leave(connection, left_event, [(row, reason) for row, reason in left if row.id not in back], now)
    insert(connection, fresh)
    moved = [(c.row or replaceable(c), c.found) for c in compared if c.finding is Finding.MOVED]
    moved += [(c.row, c.found) for c in news]
    identify(connection, [(row, found) for row, found in moved if row])
    return len(news)


def leave(connection: sa.Connection, event: Happens, left: Sequence[tuple[OnRecord, str]], now: dt.datetime) -> None:
    """Let `event` happen to rows, each for its reason; the partitions that they block run again without them."""
    if left:
        move(connection, event, IS_ROW, now=now, rows=[{"row_id": row.id, "reason": reason} for row, reason in left])
        reruns.request(connection, blocked_by(row for row, _ in left), str(event), now)
        reinstate(connection, [row.id for row, _ in left], now)


def blocked_by(rows: Iterable[OnRecord]) -> set[Delivery]:
    """Partitions whose tables or last attempt may hold one of `rows`: not of one that no run has looked at yet."""
    return {
        partition
        for row in rows
        if row.state in OPEN and (row.state is not State.SEEN or row.sha256 is not None)
        for partition in home_of(row)
    }
