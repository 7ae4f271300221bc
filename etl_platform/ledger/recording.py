"""How listed objects enter the ledger. Each function works inside the caller's transaction.

An object is known by its place and content (`places.py`), never by a time. What makes a known one news again stands in
`places.happens`. Not here: what runs do with objects (`attempts.py`), how objects leave (`leaving.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from etl_platform.ledger import reruns
from etl_platform.ledger.given import given_rows, in_chunks
from etl_platform.ledger.law import Happens, born, move
from etl_platform.ledger.places import OPEN, Compared, Finding, OnRecord, Place, compare, happens, replaceable
from etl_platform.ledger.records import DatasetPartition, LandingObject, ObjectResult, State
from etl_platform.ledger.tables import landing_objects, storable

SUPERSEDED_REASON = "a newer version of this object was recorded"

_t = landing_objects.c
_IS_ROW = _t.id == sa.bindparam("row_id")


def insert_seen(connection: sa.Connection, objects: Sequence[LandingObject], now: dt.datetime) -> int:
    """Add or reopen the news among the routed `objects`; supersede what they replace; bring the addresses of the
    others up to date. Returns how many were news."""
    # By age, so that of two versions in one listing the newer one gets the higher id (see `_supersede`).
    found = _distinct(sorted(objects, key=lambda found: found.last_modified))
    compared = compare(connection, list(found.values()))
    news = [c for c in compared if c.finding in (Finding.NEWS, Finding.UNSURE)]
    _insert(connection, [_new_row(c.found, Happens.FOUND, None, now) for c in news if c.row is None])
    _reroute(connection, [c for c in news if c.row and c.row.state in OPEN], now)
    for event in (Happens.RETURNED, Happens.ROUTED, Happens.BACK):
        again = [(c.row, c.found) for c in news if c.row and happens(c.found, c.row) is event]
        rows = [{**_identified(row, found), **_partition_of(found)} for row, found in again]
        if event is Happens.RETURNED:
            rows = [{**row, "found_modified": row["last_modified"]} for row in rows]
        if rows:
            move(connection, event, _IS_ROW, now=now, rows=rows)
    _identify(connection, [(c.row, c.found) for c in compared if c.row and c.finding is Finding.MOVED])
    _supersede(connection, dict.fromkeys(p for c in news for p in _places(c)), now)
    return len(news)


def insert_unrouted(connection: sa.Connection, objects: Sequence[tuple[LandingObject, str]], now: dt.datetime) -> int:
    """Put on record what no institution claims, each with its reason. Returns how many are news.

    A version that nobody claims supersedes nothing: a mistake in a key pattern must not empty a partition. What waited
    for a run under its key waits no longer, and blocks nothing.
    """
    return _nobodys(connection, objects, now, (Happens.FOUND_STRAY, Happens.DISOWNED))


def insert_ignored(connection: sa.Connection, objects: Sequence[tuple[LandingObject, str]], now: dt.datetime) -> int:
    """The same for what is nobody's by its name."""
    return _nobodys(connection, objects, now, (Happens.FOUND_IGNORED, Happens.SHUNNED))


def receive(connection: sa.Connection, run_id: str, results: Sequence[ObjectResult], now: dt.datetime) -> int:
    """What the run holds is known by its bytes from now on. No event: nothing happened to it. Returns how many."""
    held = (_t.root == sa.bindparam("in_root"), _t.key == sa.bindparam("in_key"), _t.claimed_by == run_id)
    update = sa.update(landing_objects).where(*held, _t.identity == sa.bindparam("in_identity")).values(updated_at=now)
    rows = [{"in_root": r.root, "in_key": r.key, "in_identity": r.identity, "sha256": r.sha256} for r in results]
    return connection.execute(update, rows).rowcount


def _nobodys(
    connection: sa.Connection,
    objects: Sequence[tuple[LandingObject, str]],
    now: dt.datetime,
    events: tuple[Happens, Happens],
) -> int:
    found_event, left_event = events
    reasons = {_identity_of(found): reason for found, reason in objects}
    compared = compare(connection, list(_distinct(found for found, _ in objects).values()))
    news = [c for c in compared if c.finding in (Finding.NEWS, Finding.UNSURE)]
    fresh, left = [], []
    for c in news:
        reason = reasons[_identity_of(c.found)]
        if c.row is None:
            fresh.append(_new_row(c.found, found_event, reason, now))
        # An earlier content that waited under the key is as much nobody's as the one that lies there now.
        rows = [row for row in c.others if row.state in OPEN]
        if c.row is not None and happens(c.found, c.row) is left_event:
            rows.append(c.row)
        left += [(row, reason) for row in rows]
    _leave(connection, left_event, left, now)
    _insert(connection, fresh)
    moved = [(c.row or replaceable(c), c.found) for c in compared if c.finding is Finding.MOVED]
    moved += [(c.row, c.found) for c in news]
    _identify(connection, [(row, found) for row, found in moved if row])
    return len(news)


def _leave(connection: sa.Connection, event: Happens, left: Sequence[tuple[OnRecord, str]], now: dt.datetime) -> None:
    if left:
        move(connection, event, _IS_ROW, now=now, rows=[{"row_id": row.id, "reason": reason} for row, reason in left])
        reruns.request(connection, blocked_by(row for row, _ in left), str(event), now)


def blocked_by(rows: Iterable[OnRecord]) -> set[DatasetPartition]:
    """Partitions whose tables or last attempt may hold one of `rows`: not of one that no run has looked at yet."""
    return {
        DatasetPartition(row.dataset, row.business_date, row.institution)
        for row in rows
        if row.dataset and row.business_date and row.institution
        if row.state is not State.IGNORED and (row.state is not State.SEEN or row.sha256 is not None)
    }


def _reroute(connection: sa.Connection, elsewhere: Sequence[Compared], now: dt.datetime) -> None:
    """What a corrected pattern gives to another partition is nobody's first: its old partition runs without it."""
    _leave(connection, Happens.DISOWNED, [(c.row, str(Happens.DISOWNED)) for c in elsewhere if c.row], now)


def _identity_of(found: LandingObject) -> tuple[str, str, str]:
    return found.root, storable(found.key), storable(found.identity)


def _distinct(objects: Iterable[LandingObject]) -> dict[tuple[str, str, str], LandingObject]:
    return {_identity_of(found): found for found in objects}


def _places(compared: Compared) -> list[Place]:
    key = storable(compared.found.key)
    return [(root, key) for root in (compared.found.root, *compared.found.also)]


def _new_row(found: LandingObject, event: Happens, reason: str | None, now: dt.datetime) -> dict[str, Any]:
    return {
        **_partition_of(found),
        **_address(found),
        "key": found.key,
        "size": found.size,
        "sha256": found.sha256 or None,  # empty: it could not be read
        "first_seen_at": now,
        "updated_at": now,
        "state": born(event),
        "reason": reason,
        "attempt": 1,
        "is_published": False,
    }


def _partition_of(found: LandingObject) -> dict[str, Any]:
    return {"institution": found.institution, "dataset": found.dataset, "business_date": found.business_date}


def _address(found: LandingObject) -> dict[str, Any]:
    return {
        "root": found.root,
        "uri": found.uri,
        "identity": found.identity,
        "etag": found.etag,
        "version": found.version,
        "last_modified": found.last_modified,
    }


def _identified(row: OnRecord, found: LandingObject) -> dict[str, Any]:
    return {"row_id": row.id, **_address(found), "size": found.size}


def _identify(connection: sa.Connection, pairs: Sequence[tuple[OnRecord, LandingObject]]) -> None:
    """The content is where it is listed now, under the identity that it has there. No event: nothing happened to it."""
    if pairs:
        update = sa.update(landing_objects).where(_IS_ROW)
        connection.execute(update, [_identified(row, found) for row, found in pairs])


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(landing_objects), list(rows))


def _supersede(connection: sa.Connection, places: Mapping[Place, Any], now: dt.datetime) -> None:
    """Leave one current object per place: the last modified, or the last recorded where stores that count whole seconds
    give both the same time."""
    older, newer = landing_objects.alias("older"), landing_objects.alias("newer")
    is_newer = sa.tuple_(newer.c.last_modified, newer.c.id) > sa.tuple_(older.c.last_modified, older.c.id)
    nobodys = (State.UNROUTED, State.IGNORED, State.WITHDRAWN)
    replaced: list[int] = []
    for chunk in in_chunks(list(places)):
        given = given_rows(connection.dialect, [_t.root, _t.key], chunk)
        query = (
            sa.select(older.c.id)
            .distinct()
            .join_from(given, older, sa.and_(older.c.root == given.c.root, older.c.key == given.c.key))
            .join(newer, sa.and_(newer.c.root == older.c.root, newer.c.key == older.c.key, is_newer))
            .where(older.c.state != State.SUPERSEDED, newer.c.state.not_in(nobodys))
        )
        replaced += connection.scalars(query)
    # In two statements: as a subquery of the update Postgres may run it once for every row of the table.
    values = {"reason": sa.func.coalesce(_t.reason, SUPERSEDED_REASON)}
    for ids in in_chunks(replaced):
        move(connection, Happens.REPLACED, _t.id.in_(ids), now=now, values=values)
