"""Which partitions hold rows that another date of the same dataset may hold as well.

Not here: which rows (`transforms/overlap.py`), what follows from it (`defs/overlap.py`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace

import sqlalchemy as sa

from etl_platform.ledger.bound_rows import GIVEN_DATE, given, is_given, is_given_dataset
from etl_platform.ledger.records import DatasetPartition, Outcome, Overlap
from etl_platform.ledger.tables import attempts, shared_keys

_t, _a = shared_keys.c, attempts.c
_OWN = sa.delete(shared_keys).where(is_given(_t))
_COUNTS = sa.select(_t.exposed, _t.held).where(is_given(_t))
_same = sa.and_(*(_t[name] == _a[name] for name in ("institution", "dataset", "business_date")))
_NEAR = (
    sa.select(_a.business_date, _t.exposed, _t.held, _a.outcome, _a.run_id)
    .join_from(attempts, shared_keys, _same, isouter=True)
    .where(
        is_given_dataset(_a),
        _a.business_date.between(sa.bindparam("first", type_=sa.Date()), sa.bindparam("last", type_=sa.Date())),
        _a.business_date != GIVEN_DATE,
    )
    .order_by(_a.business_date, _a.started_at, _a.run_id)
)


def replace_counts(
    connection: sa.Connection, partition: DatasetPartition, exposed: int, held: int, now: dt.datetime
) -> None:
    """So many rows of the partition may be held by another date, and so many are. Safe to repeat."""
    connection.execute(_OWN, given(partition))
    row = {**asdict(partition), "exposed": exposed, "held": held, "recorded_at": now}
    connection.execute(sa.insert(shared_keys), row)


def select_counts(connection: sa.Connection, partition: DatasetPartition) -> tuple[int, int] | None:
    """How many of its own rows may be held by another date, and how many are; None where nobody has counted them."""
    row = connection.execute(_COUNTS, given(partition)).first()
    return None if row is None else (row.exposed, row.held)


def select_near(connection: sa.Connection, partition: DatasetPartition, first: dt.date, last: dt.date) -> list[Overlap]:
    """The other dates, from first to last, at which a run has ever been."""
    found: dict[dt.date, Overlap] = {}
    for date, exposed, held, outcome, run_id in connection.execute(
        _NEAR, {**given(partition), "first": first, "last": last}
    ):
        latest = Overlap(date, exposed, held, Outcome(outcome), run_id, outcome == Outcome.SUCCEEDED)
        before = found.get(date)
        found[date] = replace(latest, was_published=True) if before is not None and before.was_published else latest
    return list(found.values())
