"""Profiles of stored partitions, for comparison with later ones. Not here: what is in one (`drift/profile.py`)."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import GIVEN_DATE, given, is_given, is_given_dataset
from etl_platform.ledger.tables import profiles

_t = profiles.c


_OWN = sa.delete(profiles).where(is_given(_t))
_EARLIER = (
    sa.select(_t.profile)
    .where(is_given_dataset(_t), _t.business_date < GIVEN_DATE, _t.rows > 0)
    .order_by(_t.business_date.desc())
    .limit(sa.bindparam("count"))
)


def replace_profile(
    connection: sa.Connection, partition: Delivery, rows: int, profile: dict[str, Any], now: dt.datetime
) -> None:
    """The partition's profile is `profile`, of that many rows. Safe to repeat."""
    connection.execute(_OWN, given(partition))
    row = {**asdict(partition), "rows": rows, "profile": profile, "recorded_at": now}
    connection.execute(sa.insert(profiles), row)


def select_earlier(connection: sa.Connection, partition: Delivery, count: int) -> list[dict[str, Any]]:
    """Profiles of the last `count` earlier dates of the institution and dataset that have rows, newest first."""
    return list(connection.execute(_EARLIER, {**given(partition), "count": count}).scalars())
