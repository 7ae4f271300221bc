"""Which listed objects are news, and how they enter the ledger. Each function works inside the caller's transaction.

An object is known by (uri, identity), never by a time. Two cases make a known object news again:
a superseded content that the sender put back (same etag, later modification), and an unrouted object that an
institution claims by now. Not here: what runs do with objects (`attempts.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from etl_platform.ledger.given import given_rows, in_chunks
from etl_platform.ledger.records import LandingObject, State
from etl_platform.ledger.tables import landing_objects, storable

_Pair = tuple[str, str]

SUPERSEDED_REASON = "a newer version of this object was recorded"

_t = landing_objects.c


@dataclass(frozen=True)
class _Known:
    id: int
    state: State
    last_modified: dt.datetime

    def is_reopened_by(self, found: LandingObject) -> bool:
        if self.state is State.SUPERSEDED:
            return found.last_modified > self.last_modified
        return self.state is State.UNROUTED and found.institution is not None


def select_unknown(connection: sa.Connection, objects: Sequence[LandingObject]) -> list[LandingObject]:
    """The objects that `record_seen` would add or reopen, in their order."""
    known = _lookup(connection, [_pair(found) for found in objects])
    return [found for found in objects if _is_news(known.get(_pair(found)), found)]


def insert_seen(connection: sa.Connection, objects: Sequence[LandingObject], now: dt.datetime) -> int:
    """Add or reopen the news among `objects` as seen; supersede what they replace. Returns how many were news."""
    # By age, so that of two versions in one listing the newer one gets the higher id (see `_supersede`).
    distinct = {_pair(found): found for found in sorted(objects, key=lambda found: found.last_modified)}
    known = _lookup(connection, list(distinct))
    news = [(known.get(pair), found) for pair, found in distinct.items() if _is_news(known.get(pair), found)]
    _insert(connection, [_new_row(found, State.SEEN, None, now) for before, found in news if before is None])
    _reopen(connection, [(before, found) for before, found in news if before is not None], now)
    _supersede(connection, sorted({storable(found.uri) for _, found in news}), now)
    return len(news)


def insert_unrouted(connection: sa.Connection, objects: Sequence[tuple[LandingObject, str]], now: dt.datetime) -> int:
    """Add those not in the ledger as unrouted, each with its reason. Returns how many.

    A version that nobody claims supersedes nothing: a mistake in a key pattern must not empty a partition.
    """
    distinct = {_pair(found): (found, reason) for found, reason in objects}
    known = _lookup(connection, list(distinct))
    fresh = [pair for pair in distinct if pair not in known]
    _insert(connection, [_new_row(distinct[p][0], State.UNROUTED, distinct[p][1], now) for p in fresh])
    return len(fresh)


def _pair(found: LandingObject) -> _Pair:
    return storable(found.uri), storable(found.identity)


def _is_news(before: _Known | None, found: LandingObject) -> bool:
    return before is None or before.is_reopened_by(found)


def _lookup(connection: sa.Connection, pairs: Sequence[_Pair]) -> dict[_Pair, _Known]:
    known: dict[_Pair, _Known] = {}
    for chunk in in_chunks(pairs):
        wanted = given_rows(connection.dialect, [_t.uri, _t.identity], chunk)
        query = sa.select(_t.uri, _t.identity, _t.id, _t.state, _t.last_modified).join_from(
            wanted, landing_objects, sa.and_(_t.uri == wanted.c.uri, _t.identity == wanted.c.identity)
        )
        for uri, identity, number, state, last_modified in connection.execute(query):
            known[uri, identity] = _Known(number, State(state), last_modified)
    return known


def _new_row(found: LandingObject, state: State, reason: str | None, now: dt.datetime) -> dict[str, Any]:
    return {
        **_partition_of(found),
        "uri": found.uri,
        "key": found.key,
        "identity": found.identity,
        "etag": found.etag,
        "version": found.version,
        "size": found.size,
        "last_modified": found.last_modified,
        "first_seen_at": now,
        "updated_at": now,
        "state": state,
        "reason": reason,
        "attempt": 1,
    }


def _partition_of(found: LandingObject) -> dict[str, Any]:
    return {"institution": found.institution, "dataset": found.dataset, "business_date": found.business_date}


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(landing_objects), list(rows))


def _reopen(connection: sa.Connection, pairs: Sequence[tuple[_Known, LandingObject]], now: dt.datetime) -> None:
    """Back to seen, under the partition it has now; a new attempt, so that its run has a new run key."""
    if not pairs:
        return
    update = (
        sa.update(landing_objects)
        .where(_t.id == sa.bindparam("row_id"))
        .values(state=State.SEEN, reason=None, claimed_by=None, attempt=_t.attempt + 1, updated_at=now)
    )
    rows = [{"row_id": before.id, "last_modified": f.last_modified, **_partition_of(f)} for before, f in pairs]
    connection.execute(update, rows)


def _supersede(connection: sa.Connection, uris: Sequence[str], now: dt.datetime) -> None:
    """Leave one current object per uri: the last modified, or the last recorded where stores that count whole seconds
    give both the same time."""
    if not uris:
        return
    older, newer = landing_objects.alias("older"), landing_objects.alias("newer")
    is_newer = sa.tuple_(newer.c.last_modified, newer.c.id) > sa.tuple_(older.c.last_modified, older.c.id)
    replaced: list[int] = []
    for chunk in in_chunks(uris):
        given = given_rows(connection.dialect, [_t.uri], [(uri,) for uri in chunk])
        query = (
            sa.select(older.c.id)
            .distinct()
            .join_from(given, older, older.c.uri == given.c.uri)
            .join(newer, sa.and_(newer.c.uri == older.c.uri, is_newer))
            .where(older.c.state != State.SUPERSEDED, newer.c.state != State.UNROUTED)
        )
        replaced += connection.scalars(query)
    # In two statements: as a subquery of the update Postgres may run it once for every row of the table.
    reason = sa.func.coalesce(_t.reason, SUPERSEDED_REASON)
    for ids in in_chunks(replaced):
        update = sa.update(landing_objects).where(_t.id.in_(ids))
        connection.execute(update.values(state=State.SUPERSEDED, reason=reason, claimed_by=None, updated_at=now))
