"""How listed objects enter the ledger. Each function works inside the caller's transaction.

An object is known by its place and content (`places.py`), never by a time. What makes a known one news again stands in
`places.happens`. Not here: what is nobody's (`nobodys.py`), what runs do with objects
(`attempts.py`), how objects leave (`leaving.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import handovers, reruns
from etl_platform.ledger.attempt_rows import latest
from etl_platform.ledger.bound_rows import given_rows, in_chunks
from etl_platform.ledger.handovers import home_of
from etl_platform.ledger.law import Happens, move
from etl_platform.ledger.nobodys import leave
from etl_platform.ledger.places import (
    NOBODYS,
    OPEN,
    Compared,
    Finding,
    Place,
    changes_hands,
    compare,
    happens,
    is_elsewhere,
    is_unread,
    overwritten,
)
from etl_platform.ledger.records import CURRENT, LandingObject, ObjectResult, State
from etl_platform.ledger.rows import IS_ROW, REPLACED, distinct, identified, identify, insert, new_row, partition_of
from etl_platform.ledger.tables import landing_objects, storable

_t = landing_objects.c


def insert_seen(connection: sa.Connection, objects: Sequence[LandingObject], now: dt.datetime) -> int:
    """Add or reopen the news among the routed `objects`; supersede what they replace; bring the addresses of the
    others up to date. Returns how many were news."""
    # By age, so that of two versions in one listing the newer one gets the higher id (see `_supersede`).
    found = distinct(sorted(objects, key=lambda found: found.last_modified))
    compared = compare(connection, list(found.values()))
    _give_way(connection, compared)
    news = [c for c in compared if c.finding in (Finding.NEWS, Finding.UNSURE)]
    insert(connection, [new_row(c.found, Happens.FOUND, None, now) for c in news if c.row is None])
    _disown(connection, news, now)
    _give_away(connection, compared, now)
    for event in (Happens.RETURNED, Happens.ROUTED, Happens.REROUTED, Happens.BACK):
        again = [(c.row, c.found) for c in news if c.row and happens(c.found, c.row) is event]
        rows = [{**identified(row, found), **partition_of(found)} for row, found in again]
        if rows:
            move(connection, event, IS_ROW, now=now, rows=rows)
    identify(connection, [(c.row, c.found) for c in compared if c.row and c.finding is Finding.MOVED])
    _replace_all(connection, news, now)
    lost = [row for c in compared if c.row and c.finding is Finding.MOVED for row in overwritten(c.row, c.others)]
    back = set(handovers.give_back(connection, [row.id for row in lost], now))
    leave(connection, Happens.GONE, [(row, str(Happens.GONE)) for row in lost if row.id not in back], now)
    unclear = [*news, *(c for c in compared if c.finding is Finding.MOVED)]
    _supersede(connection, dict.fromkeys(p for c in unclear for p in _places(c)), now)
    return len(news)


def receive(connection: sa.Connection, run_id: str, results: Sequence[ObjectResult], now: dt.datetime) -> int:
    """What the run holds is known by its bytes from now on. No event: nothing happened to it. Returns how many."""
    held = (_t.root == sa.bindparam("in_root"), _t.key == sa.bindparam("in_key"), _t.claimed_by == run_id)
    update = sa.update(landing_objects).where(*held, _t.identity == sa.bindparam("in_identity")).values(updated_at=now)
    rows = [{"in_root": r.root, "in_key": r.key, "in_identity": r.identity, "sha256": r.sha256} for r in results]
    return connection.execute(update, rows).rowcount


def _give_way(connection: sa.Connection, compared: Sequence[Compared]) -> None:
    """What was recorded as nobody's, and is a content that its place had before: that row goes on, under its name."""
    names = [(c.others, (c.found.root, storable(c.found.identity))) for c in compared if c.row]
    gone = [o.id for others, name in names for o in others if is_unread(o) and (o.root, o.identity) == name]
    for ids in in_chunks(gone):
        connection.execute(sa.delete(landing_objects).where(_t.id.in_(ids)))


def _disown(connection: sa.Connection, compared: Sequence[Compared], now: dt.datetime) -> None:
    """What a corrected pattern gives to another partition or institution is nobody's first: the partition in which it
    waited runs without it."""
    elsewhere = [
        row
        for c in compared
        for row in (c.row, *c.others)
        if row and row.state in OPEN and (row.root, row.partition) != (c.found.root, _owner(c.found))
    ]
    leave(connection, Happens.DISOWNED, [(row, str(Happens.DISOWNED)) for row in elsewhere], now)


def _give_away(connection: sa.Connection, compared: Sequence[Compared], now: dt.datetime) -> None:
    """What a corrected pattern, or another institution, takes out of partitions whose tables, or whose runs just now,
    may have it: those run again without it."""
    claimed = [c for c in compared if c.found.institution]
    contents = {c.row: Delivery(*_claim(c.found)) for c in claimed if c.row and changes_hands(c.found, c.row)}
    others = [(c.found, row) for c in claimed if c.finding is Finding.NEWS for row in c.others if row.state in CURRENT]
    keys = [*contents, *(row for found, row in others if is_elsewhere(found, row))]
    handovers.give_away(connection, contents, keys)
    homes = {partition for row in keys for partition in home_of(row)}
    begun = [partition for partition in sorted(homes) if latest(connection, partition) is not None]
    reruns.request(connection, begun, str(Happens.REROUTED), now)


def _claim(found: LandingObject) -> tuple[str, dt.date, str]:
    assert found.dataset and found.business_date and found.institution, "an institution claims it"
    return found.dataset, found.business_date, found.institution


def _owner(found: LandingObject) -> tuple[str | None, str | None, dt.date | None]:
    return found.institution, found.dataset, found.business_date


def _places(compared: Compared) -> list[Place]:
    key = storable(compared.found.key)
    return [(root, key) for root in (compared.found.root, *compared.found.also)]


def _replace_all(connection: sa.Connection, news: Sequence[Compared], now: dt.datetime) -> None:
    """What lies at a place again replaces everything else there, whatever the times: a rollback brings an old one. And
    what lies at a place that has two names is there instead of what was recorded under the other one."""
    replaced = [
        other.id
        for c in news
        if c.found.institution
        for other in c.others
        if other.state in (*CURRENT, *NOBODYS)
        if other.root != c.found.root or (c.row and happens(c.found, c.row) is Happens.RETURNED)
    ]
    _replace(connection, replaced, now)


def _replace(connection: sa.Connection, ids: Sequence[int], now: dt.datetime) -> None:
    for chunk in in_chunks(ids):
        move(connection, Happens.REPLACED, _t.id.in_(chunk), now=now, values=REPLACED)
    back = set(handovers.give_back(connection, ids, now, replaced=True))
    handovers.give_keys_away(connection, [number for number in ids if number not in back], now)


def _supersede(connection: sa.Connection, places: Mapping[Place, Any], now: dt.datetime) -> None:
    """Leave one current object per place: the last modified, or the last recorded where stores that count whole seconds
    give both the same time. What was nobody's there is there no more, whatever its time: something that counts is."""
    older, newer = landing_objects.alias("older"), landing_objects.alias("newer")
    is_newer = sa.tuple_(newer.c.last_modified, newer.c.id) > sa.tuple_(older.c.last_modified, older.c.id)
    is_left = sa.and_(older.c.state.in_(NOBODYS), newer.c.state.in_(CURRENT))
    replaced: list[int] = []
    for chunk in in_chunks(list(places)):
        given = given_rows(connection.dialect, [_t.root, _t.key], chunk)
        query = (
            sa.select(older.c.id)
            .distinct()
            .join_from(given, older, sa.and_(older.c.root == given.c.root, older.c.key == given.c.key))
            .join(newer, sa.and_(newer.c.root == older.c.root, newer.c.key == older.c.key))
            .where(older.c.state != State.SUPERSEDED)
            .where(sa.or_(sa.and_(is_newer, newer.c.state.in_(CURRENT)), is_left))
        )
        replaced += connection.scalars(query)
    # In two statements: as a subquery of the update Postgres may run it once for every row of the table.
    _replace(connection, replaced, now)
