"""What the ledger knows of the places that a listing names, and what each listed object is to it.

A place is (root name, key below the root); what lies there is known by its identity (version, etag). Where the place is
known and the identity is not, the bytes decide: a folder that was moved or restored and a bucket that was copied give
every object another identity and the same content. Not here: what follows from it (`recording.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

import sqlalchemy as sa

from etl_platform.ledger.bound_rows import given_rows, in_chunks
from etl_platform.ledger.law import Happens
from etl_platform.ledger.records import CURRENT, LandingObject, State
from etl_platform.ledger.tables import landing_objects, storable

Place = tuple[str, str]

_t = landing_objects.c
_COLUMNS = (
    *(_t.root, _t.key, _t.identity, _t.id, _t.state, _t.last_modified, _t.uri, _t.size, _t.sha256, _t.reason),
    *(_t.institution, _t.dataset, _t.business_date, _t.rows_read),
)
OPEN = tuple(state for state in CURRENT if state is not State.LOADED)
"""States of objects that are routed and not in the tables yet."""


NOBODYS = (State.UNROUTED, State.IGNORED)
"""States of objects that belong to no partition."""


class Finding(Enum):
    """What a listed object is to the ledger. MOVED: known, and its place is not as the ledger has it: under another
    address, or with another content on record that is there no more. UNSURE: its bytes must tell."""

    KNOWN = auto()
    MOVED = auto()
    UNSURE = auto()
    NEWS = auto()


class OnRecord(NamedTuple):
    """One row of the ledger, as far as recording needs it. A tuple: a tick makes one for every listed object."""

    root: str
    key: str
    identity: str
    id: int
    state: State
    last_modified: dt.datetime
    uri: str
    size: int
    sha256: str | None
    reason: str | None
    institution: str | None
    dataset: str | None
    business_date: dt.date | None
    rows_read: int | None

    @property
    def partition(self) -> tuple[str | None, str | None, dt.date | None]:
        """Whose it is."""
        return self.institution, self.dataset, self.business_date


class Compared(NamedTuple):
    """A listed object beside its row, if the ledger has its content, and the other rows of its place, where they
    matter."""

    found: LandingObject
    row: OnRecord | None
    others: tuple[OnRecord, ...]
    finding: Finding


def compare(connection: sa.Connection, objects: Sequence[LandingObject]) -> list[Compared]:
    """Every object with what the ledger knows of it, in their order."""
    exact, strays = _exact(connection, objects)
    unclear = [found for found in objects if _needs_place(found, _of(exact, found))]
    rows = strays | _at_places(connection, unclear)
    return [_compared(found, _of(exact, found), _at(rows, found)) for found in objects]


def _compared(found: LandingObject, row: OnRecord | None, at_place: Sequence[OnRecord]) -> Compared:
    if (row is None or is_unread(row)) and found.sha256 is not None:
        same = [other for other in at_place if other.sha256 == found.sha256]
        # Of several rows with the same bytes the one that counts today, else the last one.
        row = max(same, key=lambda other: (other.state in CURRENT, other.id), default=row)
    others = tuple(other for other in at_place if row is None or other.id != row.id)
    return Compared(found, row, others, _finding(found, row, others))


def _finding(found: LandingObject, row: OnRecord | None, others: Sequence[OnRecord]) -> Finding:
    is_of_no_row = row is None or (is_unread(row) and found.institution is not None and not found.is_held)
    if is_of_no_row and found.sha256 is None and any(o.sha256 and o.size == found.size for o in others):
        return Finding.UNSURE
    if row is None:
        if found.institution is None and any(_is_nobodys(o, found) for o in others) and not _open(found, others):
            return Finding.MOVED  # another content of what is nobody's: no news to anybody
        return Finding.NEWS
    if happens(found, row) is not None or _open(found, others):
        return Finding.NEWS
    if row.state is State.SUPERSEDED and found.institution is not None and not found.is_held:
        # Put back with its old time (`cp -p`, `rsync -t`), or a listing that is late: only the place itself knows.
        return Finding.UNSURE
    is_same = (row.uri, row.root, row.identity) == (storable(found.uri), found.root, storable(found.identity))
    is_same = is_same and not follows(found, row)
    return Finding.KNOWN if is_same and not _are_left(found, row, others) else Finding.MOVED


def is_unread(row: OnRecord) -> bool:
    """Whether it is nobody's, and nobody has looked at its bytes."""
    return row.state in NOBODYS and row.sha256 is None and row.institution is None


def happens(found: LandingObject, row: OnRecord) -> Happens | None:
    """What it means for the row of its content that the object is listed like this now; None: nothing."""
    if found.is_held:
        return None
    if found.is_ignored:
        return Happens.SHUNNED if row.state in (*OPEN, State.UNROUTED) else None
    if found.institution is None:
        return Happens.DISOWNED if row.state in (*OPEN, State.IGNORED) else None
    return _claimed(found, row)


def _claimed(found: LandingObject, row: OnRecord) -> Happens | None:
    match row.state:
        case State.LOADED:
            return Happens.REROUTED if is_elsewhere(found, row) else None
        case State.UNROUTED | State.IGNORED:
            return Happens.ROUTED
        case State.SUPERSEDED:
            is_later = found.last_modified > row.last_modified or found.sha256 is not None
            return Happens.RETURNED if is_later else None
        case State.WITHDRAWN:
            return Happens.BACK if row.reason == Happens.GONE else None
        case _:
            return Happens.ROUTED if is_elsewhere(found, row) else None


def is_elsewhere(found: LandingObject, row: OnRecord) -> bool:
    """Whether another partition claims the object than the one whose it was."""
    return row.partition != (found.institution, found.dataset, found.business_date)


def changes_hands(found: LandingObject, row: OnRecord) -> bool:
    """Whether the content is another partition's from now on."""
    return is_elsewhere(found, row) and (follows(found, row) or happens(found, row) is not None)


def follows(found: LandingObject, row: OnRecord) -> bool:
    """Whether a content that a person took out goes to another partition as it is: it is to be left out there, too."""
    return row.state is State.WITHDRAWN and found.institution is not None and is_elsewhere(found, row)


def _open(found: LandingObject, others: Sequence[OnRecord]) -> list[OnRecord]:
    """Earlier contents of the place that wait for a run, where the place is nobody's by now."""
    if found.institution is not None or found.is_held:
        return []
    return [other for other in others if other.state in OPEN]


def _are_left(found: LandingObject, row: OnRecord, others: Sequence[OnRecord]) -> bool:
    """Whether the place has other contents on record that are there no more."""
    if found.institution is None or found.is_held:
        return False
    is_stray = row.state in CURRENT and any(other.state in NOBODYS for other in others)
    return is_stray or bool(overwritten(row, others))


def overwritten(row: OnRecord, others: Sequence[OnRecord]) -> list[OnRecord]:
    """Contents of the place that no run has read and none can read: a content that is withdrawn lies there again."""
    if row.state is not State.WITHDRAWN:
        return []
    return [o for o in others if o.state in (State.SEEN, State.WAITING, State.FAILED) and o.rows_read is None]


def _is_nobodys(row: OnRecord, found: LandingObject) -> bool:
    wanted = State.IGNORED if found.is_ignored else State.UNROUTED
    # What once was a partition's keeps its name: a run may have copied it, and must leave it out.
    return row.state is wanted and is_unread(row)


def replaceable(compared: Compared) -> OnRecord | None:
    """The row of nobody's object that a newer content of nobody's takes over, or None."""
    if compared.row is not None or compared.found.institution is not None:
        return None
    return next((row for row in compared.others if _is_nobodys(row, compared.found)), None)


def _needs_place(found: LandingObject, row: OnRecord | None) -> bool:
    # A newer content may wait at the place of a replaced or a withdrawn one, and what was nobody's be known there.
    if row is None or row.state in (State.SUPERSEDED, State.WITHDRAWN):
        return True
    return found.institution is not None and is_unread(row)


def _roots(found: LandingObject) -> tuple[str, ...]:
    return (found.root, *(name for name in found.also if name != found.root))


def _of(exact: dict[tuple[str, str, str], OnRecord], found: LandingObject) -> OnRecord | None:
    key, identity = storable(found.key), storable(found.identity)
    rows = [row for root in _roots(found) if (row := exact.get((root, key, identity))) is not None]
    return next((row for row in rows if row.state in CURRENT), rows[0] if rows else None)


def _at(rows: dict[Place, list[OnRecord]], found: LandingObject) -> list[OnRecord]:
    key = storable(found.key)
    return [row for root in _roots(found) for row in rows.get((root, key), ())]


def _exact(
    connection: sa.Connection, objects: Sequence[LandingObject]
) -> tuple[dict[tuple[str, str, str], OnRecord], dict[Place, list[OnRecord]]]:
    """Rows by place and identity; and what is nobody's at the same places."""
    wanted = [(root, found.key, found.identity) for found in objects for root in _roots(found)]
    columns = [_t.root, _t.key, _t.identity]
    rows = _select(connection, columns, wanted, or_state=NOBODYS)
    strays: dict[Place, list[OnRecord]] = {}
    for row in rows:
        if row.state in NOBODYS:
            strays.setdefault((row.root, row.key), []).append(row)
    return {(row.root, row.key, row.identity): row for row in rows}, strays


def _at_places(connection: sa.Connection, objects: Sequence[LandingObject]) -> dict[Place, list[OnRecord]]:
    found: dict[Place, list[OnRecord]] = {}
    wanted = dict.fromkeys((root, f.key) for f in objects for root in _roots(f))
    for row in _select(connection, [_t.root, _t.key], list(wanted)):
        found.setdefault((row.root, row.key), []).append(row)
    return found


def _select(
    connection: sa.Connection,
    columns: list[sa.Column[str]],
    wanted: Sequence[tuple[str, ...]],
    *,
    or_state: Sequence[State] = (),
) -> list[OnRecord]:
    """Rows with the `wanted` values of `columns`. or_state: those in one of these states whatever the last column."""
    rows: dict[int, OnRecord] = {}
    for chunk in in_chunks(wanted):
        given = given_rows(connection.dialect, columns, chunk)
        *place, last = [column == given.c[column.name] for column in columns]
        condition = sa.and_(*place, sa.or_(last, _t.state.in_(or_state)) if or_state else last)
        query = sa.select(*_COLUMNS).join_from(given, landing_objects, condition)
        for root, key, identity, number, state, *rest in connection.execute(query):
            rows[number] = OnRecord(root, key, identity, number, State(state), *rest)
    return list(rows.values())
