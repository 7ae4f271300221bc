"""Rows of landing objects, written as a listing gives them. Not here: which event that is (`recording.py`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from etl_platform.ledger.law import Happens, born, move
from etl_platform.ledger.places import OnRecord, follows
from etl_platform.ledger.records import CURRENT, LandingObject, State
from etl_platform.ledger.tables import landing_objects, storable

SUPERSEDED_REASON = "a newer version of this object was recorded"
REPLACED = {"reason": sa.func.coalesce(landing_objects.c.reason, SUPERSEDED_REASON)}
"""What changes in the row of a content that is replaced."""
IS_ROW = landing_objects.c.id == sa.bindparam("row_id")


def name_of(found: LandingObject) -> tuple[str, str, str]:
    """Root, key and identity, as the ledger stores them."""
    return found.root, storable(found.key), storable(found.identity)


def distinct(objects: Iterable[LandingObject]) -> dict[tuple[str, str, str], LandingObject]:
    """The objects by name, each once."""
    return {name_of(found): found for found in objects}


def new_row(found: LandingObject, event: Happens, reason: str | None, now: dt.datetime) -> dict[str, Any]:
    """A row that begins with `event`."""
    return {
        **partition_of(found),
        **_address(found),
        "key": found.key,
        "size": found.size,
        "sha256": found.sha256,
        "first_seen_at": now,
        "updated_at": now,
        "state": born(event),
        "reason": reason,
        "attempt": 1,
        "is_published": False,
    }


def partition_of(found: LandingObject) -> dict[str, Any]:
    """Whose it is."""
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


def identified(row: OnRecord, found: LandingObject) -> dict[str, Any]:
    """Where the content of `row` is now, and under which identity."""
    return {"row_id": row.id, **_address(found), "size": found.size}


def identify(connection: sa.Connection, pairs: Sequence[tuple[OnRecord, LandingObject]]) -> None:
    """The content is where it is listed now, under the identity that it has there. No event: nothing happened to it.

    What was put back while no pattern claims it keeps its time: once one does, it is later than known, and loaded.
    """
    rows = [
        {**identified(row, found), "last_modified": row.last_modified if _is_back(row, found) else found.last_modified}
        for row, found in pairs
    ]
    if rows:
        connection.execute(sa.update(landing_objects).where(IS_ROW), rows)
    if moved := [{"row_id": row.id, **partition_of(found)} for row, found in pairs if follows(found, row)]:
        connection.execute(sa.update(landing_objects).where(IS_ROW), moved)


def _is_back(row: OnRecord, found: LandingObject) -> bool:
    return row.state is State.SUPERSEDED and found.institution is None


def insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows."""
    if rows:
        connection.execute(sa.insert(landing_objects), list(rows))


def reinstate(connection: sa.Connection, ids: Sequence[int], now: dt.datetime) -> list[int]:
    """These objects are no part of their partitions any more, and never were published. Of each one's place the content
    counts again that was published last, unless a person took that one out. Returns which."""
    gone, other = landing_objects.alias("gone"), landing_objects.alias("other")
    counted = sa.or_(other.c.is_published, other.c.state.in_((*CURRENT, State.WITHDRAWN)))
    same = sa.and_(other.c.root == gone.c.root, other.c.key == gone.c.key, other.c.id.not_in(ids), counted)
    order = (other.c.last_modified.desc(), other.c.id.desc())
    rank = sa.func.row_number().over(partition_by=(other.c.root, other.c.key), order_by=order).label("rank")
    ranked = (
        sa.select(other.c.id, other.c.state, rank).join_from(gone, other, same).where(gone.c.id.in_(ids)).subquery()
    )
    found = sa.select(ranked.c.id).where(ranked.c.rank == 1, ranked.c.state == State.SUPERSEDED)
    back = list(connection.scalars(found))
    if back:
        move(connection, Happens.REINSTATED, landing_objects.c.id.in_(back), now=now)
    return back
