"""Profiles of stored partitions, for comparison with later ones. Not here: what is in one (`transforms/profile.py`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa

from etl_platform.ledger.records import DatasetPartition
from etl_platform.ledger.tables import profiles

_t = profiles.c


def replace_profile(
    connection: sa.Connection, partition: DatasetPartition, rows: int, profile: dict[str, Any], now: dt.datetime
) -> None:
    """The partition's profile is `profile`, of that many rows. Safe to repeat."""
    own = (
        _t.institution == partition.institution,
        _t.dataset == partition.dataset,
        _t.business_date == partition.business_date,
    )
    connection.execute(sa.delete(profiles).where(*own))
    connection.execute(
        sa.insert(profiles).values(
            institution=partition.institution,
            dataset=partition.dataset,
            business_date=partition.business_date,
            rows=rows,
            profile=profile,
            recorded_at=now,
        )
    )


def select_earlier(connection: sa.Connection, partition: DatasetPartition, count: int) -> list[dict[str, Any]]:
    """Profiles of the last `count` earlier dates of the institution and dataset that have rows, newest first."""
    query = (
        sa.select(_t.profile)
        .where(
            _t.institution == partition.institution,
            _t.dataset == partition.dataset,
            _t.business_date < partition.business_date,
            _t.rows > 0,
        )
        .order_by(_t.business_date.desc())
        .limit(count)
    )
    return list(connection.execute(query).scalars())
