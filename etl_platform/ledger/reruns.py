"""Partitions to run although no object of theirs is new: one was withdrawn, or a run of theirs was cut off.

Each function works inside the caller's transaction. Not here: what else makes a partition pending (`pending.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.tables import reruns

_t = reruns.c
_IS_ANY_OPEN = sa.select(_t.number).where(_t.is_open).limit(1)
_CLOSED = sa.update(reruns).where(is_given(_t), _t.is_open).values(is_open=False)


def request(connection: sa.Connection, partitions: Iterable[Delivery], reason: str, now: dt.datetime) -> None:
    """Let each partition be run again, whatever its objects say. Safe to repeat; a new request gets a new number, so
    that a run key which is used up does not stand in its way."""
    wanted = sa.update(reruns).where(is_given(_t))
    wanted = wanted.values(number=_t.number + 1, reason=reason, requested_at=now, is_open=True)
    for partition in sorted(set(partitions)):
        if not connection.execute(wanted, given(partition)).rowcount:
            row = {**asdict(partition), "number": 1, "reason": reason, "requested_at": now, "is_open": True}
            connection.execute(sa.insert(reruns), row)


def is_open(connection: sa.Connection, partition: Delivery) -> bool:
    """Whether a run of the partition was asked for and none has begun."""
    query = sa.select(_t.number).where(is_given(_t), _t.is_open)
    return connection.execute(query, given(partition)).first() is not None


def close(connection: sa.Connection, partitions: Iterable[Delivery]) -> None:
    """A run of the partitions begins: nothing more is asked for."""
    rows = [given(partition) for partition in partitions]
    if rows and connection.execute(_IS_ANY_OPEN).first():
        connection.execute(_CLOSED, rows)


def select_open(connection: sa.Connection) -> dict[Delivery, str]:
    """The partitions that are to run again, each with the last reason, the longest waiting first."""
    query = sa.select(_t.dataset, _t.business_date, _t.institution, _t.reason).where(_t.is_open)
    rows = connection.execute(query.order_by(_t.requested_at))
    return {Delivery(dataset, date, institution): reason for dataset, date, institution, reason in rows}
