"""Rows that are one object once an object is (root, key, content) instead of (uri, content).

Today's ledgers know an object by its address. After `mv` or `cp -r` of a landing folder they hold everything twice.

- **The same content twice under one key** becomes one row: the loaded one, else the one that waits, has failed, was
  refused, was superseded, belonged to nobody; of two alike the one updated last. So the only loaded row is never the
  one that goes. It gets the address of the row recorded last (where the object lies now), was published if any of them
  was, and is asked for anew if it waits, so that its run key is none that was used.
- **Different contents under one key, both current**: the one modified last stays current, as when a sender overwrites
  an object; of equal times a loaded one, then the one recorded last. The others stay on record as superseded.
- **Schemas of the same content** become one: the current one, else the one recorded last.

Belongs here: SQL that revision 0002 and `root_names.py` share. Not here: which root an object has.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import sqlalchemy as sa

_BY_STATE = ("loaded", "seen", "waiting", "failed", "refused", "withdrawn", "superseded", "ignored", "unrouted")
_CURRENT = _BY_STATE[:5]
_REPLACED = "a newer version of this object was recorded"

OBJECTS = sa.table(
    "landing_objects",
    *(sa.column(name, sa.Text) for name in ("institution", "uri", "root", "key", "identity", "state", "reason")),
    *(sa.column(name, sa.BigInteger) for name in ("id", "attempt")),
    *(sa.column(name, sa.DateTime) for name in ("last_modified", "updated_at")),
    sa.column("is_published", sa.Boolean),
    sa.column("claimed_by", sa.Text),
)
SCHEMAS = sa.table(
    "schema_drift",
    *(sa.column(name, sa.Text) for name in ("institution", "uri", "root", "key", "sha256")),
    sa.column("is_current", sa.Boolean),
    sa.column("recorded_at", sa.DateTime),
)
_o, _s = OBJECTS.c, SCHEMAS.c


def merge_contents(connection: sa.Connection, roots: Mapping[str, str] | None = None) -> dict[int, int]:
    """Leave one row per (root, key, identity). roots: those that the objects of these institutions are about to get.

    Returns the ids of the rows that went, each with that of the row which stands for it.
    """
    place = [_root_of(_o, roots), _o.key, _o.identity]
    rank = sa.case({state: n for n, state in enumerate(_BY_STATE)}, value=_o.state, else_=len(_BY_STATE))
    order = [rank, _o.updated_at.desc(), _o.id.desc()]
    ranked = sa.select(
        *(_o.id, _o.state, _o.uri, _o.attempt, _o.is_published),
        sa.func.min(_o.id).over(partition_by=place).label("group_id"),
        sa.func.count().over(partition_by=place).label("members"),
        sa.func.row_number().over(partition_by=place, order_by=order).label("rank"),
    ).subquery()
    query = sa.select(ranked).where(ranked.c.members > 1).order_by(ranked.c.group_id, ranked.c.rank)
    gone: dict[int, int] = {}
    changes = []
    for _, found in groupby(connection.execute(query).all(), lambda row: row.group_id):
        kept, *others = found
        rows = [kept, *others]
        gone |= {row.id: kept.id for row in others}
        change = {
            "row": kept.id,
            "new_uri": max(rows, key=lambda row: row.id).uri,
            "published": any(row.is_published for row in rows),
            "number": max(row.attempt for row in rows) + 1 if kept.state == "seen" else kept.attempt,
        }
        changes.append(change)
    if changes:
        connection.execute(sa.delete(OBJECTS).where(_o.id == sa.bindparam("row")), [{"row": id_} for id_ in gone])
        update = sa.update(OBJECTS).where(_o.id == sa.bindparam("row"))
        new: dict[Any, Any] = {_o.uri: sa.bindparam("new_uri"), _o.is_published: sa.bindparam("published")}
        connection.execute(update.values({**new, _o.attempt: sa.bindparam("number")}), changes)
    return gone


def merge_schemas(connection: sa.Connection, roots: Mapping[str, str] | None = None) -> None:
    """Leave one row per (root, key, sha256)."""
    order = [_s.is_current.desc(), _s.recorded_at.desc(), _s.uri.desc()]
    rank = sa.func.row_number().over(partition_by=[_root_of(_s, roots), _s.key, _s.sha256], order_by=order)
    ranked = sa.select(_s.root, _s.key, _s.uri, _s.sha256, rank.label("rank")).subquery()
    gone = connection.execute(
        sa.select(ranked.c.root, ranked.c.key, ranked.c.uri, ranked.c.sha256).where(ranked.c.rank > 1)
    )
    rows = [{"r": row.root, "k": row.key, "u": row.uri, "s": row.sha256} for row in gone]
    if rows:
        same = {_s.root: "r", _s.key: "k", _s.uri: "u", _s.sha256: "s"}
        conditions = [column == sa.bindparam(name) for column, name in same.items()]
        connection.execute(sa.delete(SCHEMAS).where(*conditions), rows)


def _root_of(columns: Any, roots: Mapping[str, str] | None) -> sa.ColumnElement[Any]:
    return sa.case(dict(roots), value=columns.institution, else_=columns.root) if roots else columns.root


def leave_one_current(connection: sa.Connection) -> None:
    """Supersede all but one of the current contents under each key of a root."""
    order = [_o.last_modified.desc(), sa.case((_o.state == "loaded", 0), else_=1), _o.id.desc()]
    rank = sa.func.row_number().over(partition_by=[_o.root, _o.key], order_by=order)
    ranked = sa.select(_o.id, rank.label("rank")).where(_o.state.in_(_CURRENT)).subquery()
    gone = [{"row": id_} for id_ in connection.scalars(sa.select(ranked.c.id).where(ranked.c.rank > 1))]
    if gone:
        update = sa.update(OBJECTS).where(_o.id == sa.bindparam("row"))
        reason = sa.func.coalesce(_o.reason, _REPLACED)
        connection.execute(update.values(state="superseded", reason=reason, claimed_by=None), gone)
