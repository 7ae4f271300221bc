"""Partitions that must run although no object of theirs is new: one was taken out of them.

Not here: which of them run next (`pending.py`), who takes an object out (`leaving.py`, `recording.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.ledger.given import given, is_given
from etl_platform.ledger.records import DatasetPartition
from etl_platform.ledger.tables import reruns

_r = reruns.c
_AGAIN = (
    sa.update(reruns)
    .where(is_given(_r))
    .values(
        number=_r.number + 1,
        reason=sa.bindparam("wanted_reason", type_=_r.reason.type),
        requested_at=sa.bindparam("wanted_at", type_=_r.requested_at.type),
        is_open=True,
    )
)


def request(connection: sa.Connection, partitions: Collection[DatasetPartition], reason: str, now: dt.datetime) -> None:
    """Let each partition run again. Its number counts the requests, so that each can be told from the one before."""
    for partition in sorted(partitions):
        wanted = {**given(partition), "wanted_reason": reason, "wanted_at": now}
        if not connection.execute(_AGAIN, wanted).rowcount:
            row = {**asdict(partition), "number": 1, "reason": reason, "requested_at": now, "is_open": True}
            connection.execute(sa.insert(reruns).values(row))


def select_open(connection: sa.Connection) -> dict[DatasetPartition, str]:
    """The partitions that are to run again, each with the last reason, the longest waiting first."""
    query = sa.select(_r.dataset, _r.business_date, _r.institution, _r.reason).where(_r.is_open)
    rows = connection.execute(query.order_by(_r.requested_at))
    return {DatasetPartition(dataset, date, institution): reason for dataset, date, institution, reason in rows}
