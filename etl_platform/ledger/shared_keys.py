"""Which partitions hold rows that another date of the same dataset may hold as well.

Not here: which rows (`transforms/overlap.py`), what follows from it (`defs/overlap.py`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.ledger.given import GIVEN_DATE, given, is_given, is_given_dataset
from etl_platform.ledger.records import DatasetPartition, Overlap
from etl_platform.ledger.tables import attempts, shared_keys

_t, _a = shared_keys.c, attempts.c
_OWN = sa.delete(shared_keys).where(is_given(_t))
_same = sa.and_(*(_t[name] == _a[name] for name in ("institution", "dataset", "business_date")))
_NEAR = (
    sa.select(_a.business_date, _t.exposed, _t.held)
    .distinct()
    .join_from(attempts, shared_keys, _same, isouter=True)
    .where(
        is_given_dataset(_a),
        _a.business_date.between(sa.bindparam("first", type_=sa.Date()), sa.bindparam("last", type_=sa.Date())),
        _a.business_date != GIVEN_DATE,
    )
    .order_by(_a.business_date)
)


def replace(connection: sa.Connection, partition: DatasetPartition, exposed: int, held: int, now: dt.datetime) -> None:
    """So many rows of the partition may be held by another date, and so many are. Safe to repeat."""
    connection.execute(_OWN, given(partition))
    connection.execute(
        sa.insert(shared_keys), {**asdict(partition), "exposed": exposed, "held": held, "recorded_at": now}
    )


def select_near(connection: sa.Connection, partition: DatasetPartition, days: int) -> list[Overlap]:
    """The other dates within `days` at which a run has ever been. Of those that are not on record nothing is known."""
    reach = dt.timedelta(days=days)
    first, last = partition.business_date - reach, partition.business_date + reach
    rows = connection.execute(_NEAR, {**given(partition), "first": first, "last": last})
    return [Overlap(*row) for row in rows]


def select_own(connection: sa.Connection, partition: DatasetPartition) -> Overlap | None:
    """What is on record of the partition itself."""
    row = connection.execute(_SELF, given(partition)).first()
    return None if row is None else Overlap(*row)


_SELF = sa.select(_t.business_date, _t.exposed, _t.held).where(is_given(_t))
