"""Contents that go over to another partition: a corrected key pattern, or another institution, claims them.

The partition that had them runs again and leaves them out. Until the new one has published them they are as safe as
they were: what is deleted, replaced or disowned before that goes back to where it was published.

Each function works inside the caller's transaction. Not here: what a listing means for an object (`places.py`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import reruns
from etl_platform.ledger.bound_rows import given, in_chunks, is_given
from etl_platform.ledger.law import Happens, move
from etl_platform.ledger.places import OPEN, OnRecord
from etl_platform.ledger.records import CURRENT, WHOLE_KEY, State
from etl_platform.ledger.tables import given_away, landing_objects

_t, _g = landing_objects.c, given_away.c
_AWAY = sa.select(_g.key, _g.name).where(is_given(_g))
_WAS_PUBLISHED = (_g.object_id == _t.id, _g.was_published, ~_t.is_published)
_IS_ANY = sa.select(_g.key).where(_g.was_published).limit(1)

Names = set[tuple[str, str]]
"""(key, identity or sha256) of contents, (key, WHOLE_KEY) of all that a key has replaced."""
Away = dict[tuple[str, str], tuple[int | None, bool]]
"""The same, each with the object's id and whether the partition had published it."""


def home_of(row: OnRecord) -> list[Delivery]:
    """The partition whose it is, if it is any's."""
    if row.dataset and row.business_date and row.institution:
        return [Delivery(row.dataset, row.business_date, row.institution)]
    return []


def select_away(connection: sa.Connection, partition: Delivery) -> Names:
    """What the partition's bronze may hold, and another partition has by now."""
    return {(key, name) for key, name in connection.execute(_AWAY, given(partition))}


def give_away(connection: sa.Connection, contents: Mapping[OnRecord, Delivery], keys: Sequence[OnRecord]) -> None:
    """These contents are of those partitions from now on, and what comes under `keys`, which are theirs and those of
    what they replace: runs of the partitions that had them leave them out, and whatever the keys replaced."""
    published = _published(connection, [row.id for row in contents])
    _take_back(connection, contents)
    away: dict[Delivery, Away] = defaultdict(dict)
    for row in contents:
        for partition in home_of(row):
            away[partition] |= {(row.key, name): (row.id, row.id in published) for name in _names(row)}
    for row in keys:
        for partition in home_of(row):
            away[partition][row.key, WHOLE_KEY] = (None, False)
    _note(connection, away)


def give_keys_away(connection: sa.Connection, ids: Sequence[int], now: dt.datetime) -> None:
    """What came under the keys of these contents, which are replaced, may be another partition's. Those in which they
    were published run again without what the key had replaced."""
    older, newer = landing_objects.alias("older"), landing_objects.alias("newer")
    same = sa.and_(newer.c.root == older.c.root, newer.c.key == older.c.key, newer.c.state.in_(CURRENT))
    differs = sa.or_(*(newer.c[name] != older.c[name] for name in ("dataset", "business_date", "institution")))
    mine = (older.c.dataset, older.c.business_date, older.c.institution)
    away: dict[Delivery, Away] = defaultdict(dict)
    for chunk in in_chunks(ids):
        query = sa.select(older.c.key, *mine).join_from(older, newer, same)
        query = query.where(older.c.id.in_(chunk), older.c.is_published, older.c.institution.is_not(None), differs)
        for key, *partition in connection.execute(query):
            away[Delivery(*partition)][key, WHOLE_KEY] = (None, False)
    _note(connection, away)
    reruns.request(connection, away, str(Happens.REROUTED), now)


def give_back(connection: sa.Connection, ids: Sequence[int], now: dt.datetime, *, replaced: bool = False) -> list[int]:
    """What of these is published where it was before, and not yet where it is, is that partition's again.

    Returns which. replaced: something else lies under their keys; where every content counts they do, too.
    """
    if not ids or connection.execute(_IS_ANY).first() is None:
        return []
    home = (_g.dataset, _g.business_date, _g.institution)
    here = (_t.id, _t.key, _t.identity, _t.sha256, _t.dataset, _t.business_date, _t.institution)
    states = [State.SUPERSEDED] if replaced else OPEN
    which = (_t.state.in_(states), *_WAS_PUBLISHED)
    back: list[int] = []
    left: dict[Delivery, Away] = defaultdict(dict)
    homes: set[Delivery] = set()
    for chunk in in_chunks(ids):
        query = sa.select(*here, *(c.label(f"old_{c.name}") for c in home)).where(_t.id.in_(chunk), *which)
        for row in {found.id: found for found in connection.execute(query)}.values():
            present = Delivery(row.dataset, row.business_date, row.institution)
            left[present] |= {(row.key, name): (row.id, False) for name in (row.identity, row.sha256) if name}
            old = Delivery(row.old_dataset, row.old_business_date, row.old_institution)
            connection.execute(sa.delete(given_away).where(_g.object_id == row.id, is_given(_g)), given(old))
            if not replaced:
                _forget(connection, old, {row.key: [WHOLE_KEY]})
            values = {**asdict(old), "is_published": True}
            connection.execute(sa.update(landing_objects).where(_t.id == row.id).values(**values))
            homes.add(old)
            back.append(row.id)
    _note(connection, left)
    reruns.request(connection, {*left, *homes}, str(Happens.GIVEN_BACK), now)
    if not replaced:
        for chunk in in_chunks(back):
            move(connection, Happens.GIVEN_BACK, _t.id.in_(chunk), now=now)
    return back


def was_published(connection: sa.Connection, object_id: int) -> bool:
    """Whether a partition that had the object before has published it."""
    query = sa.select(_g.key).where(_g.object_id == object_id, _g.was_published)
    return connection.execute(query.limit(1)).first() is not None


def _published(connection: sa.Connection, ids: Sequence[int]) -> set[int]:
    found: set[int] = set()
    for chunk in in_chunks(ids):
        found |= set(connection.scalars(sa.select(_t.id).where(_t.id.in_(chunk), _t.is_published)))
    return found


def _take_back(connection: sa.Connection, contents: Mapping[OnRecord, Delivery]) -> None:
    """What comes to a partition that has given it away before is its own again, published as it was."""
    coming: dict[Delivery, list[OnRecord]] = defaultdict(list)
    for row, partition in contents.items():
        coming[partition].append(row)
    again: set[int] = set()
    for partition, rows in sorted(coming.items()):
        was = sa.select(_g.object_id).where(is_given(_g), _g.was_published)
        published = set(connection.scalars(was, given(partition)))
        again |= published & {row.id for row in rows}
        _forget(connection, partition, {row.key: [*_names(row), WHOLE_KEY] for row in rows})
    for chunk in in_chunks([row.id for row in contents]):
        is_again = _t.id.in_(sorted(again.intersection(chunk)))
        connection.execute(sa.update(landing_objects).where(_t.id.in_(chunk)).values(is_published=is_again))


def _note(connection: sa.Connection, away: Mapping[Delivery, Away]) -> None:
    for partition, names in sorted(away.items()):
        fresh = sorted(set(names) - select_away(connection, partition))
        told = [
            dict(zip(("key", "name", "object_id", "was_published"), (*one, *names[one]), strict=True)) for one in fresh
        ]
        for chunk in in_chunks(told):
            connection.execute(sa.insert(given_away), [{**asdict(partition), **one} for one in chunk])


def _forget(connection: sa.Connection, partition: Delivery, names: Mapping[str, Sequence[str]]) -> None:
    rows = [{**given(partition), "of_key": key, "of_name": name} for key, some in names.items() for name in some]
    one = (_g.key == sa.bindparam("of_key"), _g.name == sa.bindparam("of_name"))
    if rows:
        connection.execute(sa.delete(given_away).where(is_given(_g), *one), rows)


def _names(row: OnRecord) -> list[str]:
    return [name for name in (row.identity, row.sha256) if name]
