"""Which partitions were ever published, of which objects, and whether a run has begun at them since.

For those who read what runs write without standing in their way. Not here: what becomes of attempts (`attempts.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.records import CURRENT, Outcome
from etl_platform.ledger.tables import attempts, landing_objects

_a = attempts.c
_partition = (_a.dataset, _a.business_date, _a.institution)
_o = landing_objects.c
# An attempt may lose its success where an older run wrote after it; what was published then stays known as that.
_WAS = sa.or_(
    sa.exists().where(is_given(_a), _a.outcome == Outcome.SUCCEEDED), sa.exists().where(is_given(_o), _o.is_published)
)


def select_published(
    connection: sa.Connection, datasets: Collection[str], institutions: Collection[str]
) -> dict[Delivery, dt.datetime | None]:
    """Partition -> when the first attempt behind its last success began; None where that success is the latest."""
    wanted = (_a.dataset.in_(datasets), _a.institution.in_(institutions))
    success = (
        sa.select(*_partition, sa.func.max(_a.started_at).label("started_at"))
        .where(_a.outcome == Outcome.SUCCEEDED, *wanted)
        .group_by(*_partition)
        .subquery("success")
    )
    later = attempts.alias("later")
    key = tuple(success.c[column.name] for column in _partition)
    same = sa.and_(*(later.c[column.name] == column for column in key))
    query = (
        sa.select(*key, sa.func.min(later.c.started_at))
        .outerjoin_from(success, later, sa.and_(same, later.c.started_at > success.c.started_at))
        .group_by(*key)
    )
    return {Delivery(*row[:3]): row[3] for row in connection.execute(query)}


def was_published(connection: sa.Connection, partition: Delivery) -> bool:
    """Whether any attempt at the partition has ever succeeded."""
    return bool(connection.scalar(sa.select(_WAS), given(partition)))


def select_keys(connection: sa.Connection, partition: Delivery) -> set[str]:
    """The keys below which lies what is published of the partition."""
    query = sa.select(_o.key).where(is_given(_o), _o.is_published, _o.state.in_(CURRENT))
    return set(connection.scalars(query, given(partition)))


def has_any(connection: sa.Connection) -> bool:
    """Whether anything was ever published."""
    return connection.execute(sa.select(_a.run_id).where(_a.outcome == Outcome.SUCCEEDED).limit(1)).first() is not None
