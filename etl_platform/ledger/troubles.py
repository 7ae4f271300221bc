"""What went wrong with a partition and may pass, and how services were seen last: the rows.

Each function works inside the caller's transaction. Not here: what follows from them (`waiting.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.records import State, Trouble
from etl_platform.ledger.tables import landing_objects, services, troubles

_t = troubles.c
_o = landing_objects.c
_IS_WAITING = sa.select(_o.id).where(is_given(_o), _o.state == State.WAITING).limit(1)
_FORGIVEN = sa.update(troubles).where(is_given(_t)).values(deaths=0, failures=0)
_FORGOTTEN = sa.delete(troubles).where(is_given(_t))


def select_troubles(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Trouble]:
    """The matching troubles, the longest first."""
    return [
        _read(row) for row in connection.execute(sa.select(troubles).where(*conditions).order_by(_t.since)).mappings()
    ]


def count_death(connection: sa.Connection, partition: Delivery, error: str, now: dt.datetime) -> int:
    """One more run died at the partition. Returns how many since its last success."""
    return change(connection, partition, error, now, {"deaths": 1}).deaths


def forget(connection: sa.Connection, partition: Delivery) -> None:
    """It is over: published, or failed for good. While objects of the partition wait, which arrived after the run had
    begun, the service that they wait for stays on record."""
    here = given(partition)
    connection.execute(_FORGIVEN if connection.execute(_IS_WAITING, here).first() else _FORGOTTEN, here)


def forget_all(connection: sa.Connection, named: Mapping[str, Any]) -> list[Delivery]:
    """Somebody asks for all matching partitions again: from the start. Returns those that waited for a service."""
    matching = [_t[name] == value for name, value in named.items()]
    waited = [trouble.partition for trouble in select_troubles(connection, *matching, _t.service.is_not(None))]
    connection.execute(sa.delete(troubles).where(*matching))
    return waited


def note(connection: sa.Connection, service: str, found: str | None, now: dt.datetime) -> bool:
    """Put the answer on record. Returns whether the service was away before."""
    s = services.c
    before = connection.execute(sa.select(services).where(s.name == service)).mappings().first()
    was_away = before is not None and before["away_since"] is not None
    since = None if found is None else before["away_since"] if before is not None and was_away else now
    values = {"away_since": since, "probed_at": now, "found": found or "answers"}
    if before is None:
        connection.execute(sa.insert(services), {"name": service, **values})
    else:
        connection.execute(sa.update(services).where(s.name == service).values(values))
    return was_away


def change(
    connection: sa.Connection, partition: Delivery, error: str, now: dt.datetime, what: Mapping[str, Any]
) -> Trouble:
    """Add to the counts, set the rest; the partition's trouble as it is then."""
    today = now.astimezone(dt.UTC).date()
    before = connection.execute(sa.select(troubles).where(is_given(_t)), given(partition)).mappings().first()
    row: dict[str, Any] = dict(before) if before is not None else {
        **asdict(partition), "service": None, "since": now, "deaths": 0, "failures": 0, "failures_on": None,
        "next_try_at": None, "number": 0,
    }  # fmt: skip
    if row["failures_on"] != today:
        row |= {"failures": 0, "failures_on": today}
    for name, value in what.items():
        row[name] = row[name] + value if name in ("deaths", "failures") else value
    if row["service"] and (before is None or before["service"] is None):
        row["since"] = now
    row |= {"error": error, "number": row["number"] + 1}
    connection.execute(sa.delete(troubles).where(is_given(_t)), given(partition))
    connection.execute(sa.insert(troubles), row)
    return _read(row)


def _read(row: Mapping[Any, Any]) -> Trouble:
    return Trouble(
        partition=Delivery(row["dataset"], row["business_date"], row["institution"]),
        service=row["service"],
        error=row["error"],
        since=row["since"],
        deaths=row["deaths"],
        failures=row["failures"],
        next_try_at=row["next_try_at"],
        number=row["number"],
    )
