"""Which partitions hold rows that another date of the same dataset may hold as well.

Not here: which rows (`transforms/overlap.py`), what follows from it (`defs/overlap.py`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import GIVEN_DATE, given, is_given, is_given_dataset
from etl_platform.ledger.records import Outcome, Overlap
from etl_platform.ledger.tables import attempts, judgements, shared_keys

_t, _a, _j = shared_keys.c, attempts.c, judgements.c
_OWN = sa.delete(shared_keys).where(is_given(_t))
_COUNTS = sa.select(_t.exposed, _t.held).where(is_given(_t))
_same = sa.and_(*(_t[name] == _a[name] for name in ("institution", "dataset", "business_date")))
_judged = sa.and_(
    _j.run_id == _a.run_id, *(_j[name] == _a[name] for name in ("institution", "dataset", "business_date"))
)
_RULES = sa.select(_j.version).where(is_given(_j), _j.run_id == sa.bindparam("given_run_id"))
_NEAR = (
    sa.select(_a.business_date, _t.exposed, _t.held, _a.outcome, _a.run_id, _j.version)
    .join_from(attempts, shared_keys, _same, isouter=True)
    .join(judgements, _judged, isouter=True)
    .where(
        is_given_dataset(_a),
        _a.business_date.between(sa.bindparam("first", type_=sa.Date()), sa.bindparam("last", type_=sa.Date())),
        _a.business_date != GIVEN_DATE,
    )
    .order_by(_a.business_date, _a.started_at, _a.run_id)
)


def replace_counts(connection: sa.Connection, partition: Delivery, exposed: int, held: int, now: dt.datetime) -> None:
    """So many rows of the partition may be held by another date, and so many are. Safe to repeat."""
    connection.execute(_OWN, given(partition))
    row = {**asdict(partition), "exposed": exposed, "held": held, "recorded_at": now}
    connection.execute(sa.insert(shared_keys), row)


def select_counts(connection: sa.Connection, partition: Delivery) -> tuple[int, int] | None:
    """How many of its own rows may be held by another date, and how many are; None where nobody has counted them."""
    row = connection.execute(_COUNTS, given(partition)).first()
    return None if row is None else (row.exposed, row.held)


def select_near(
    connection: sa.Connection, partition: Delivery, first: dt.date, last: dt.date, run_id: str
) -> list[Overlap]:
    """The other dates, from first to last, at which a run has ever been; nothing is known of how many rows others may
    hold of one that was judged by other rules than the run's (another time zone, say)."""
    rules = connection.execute(_RULES, {**given(partition), "given_run_id": run_id}).scalar()
    found: dict[dt.date, Overlap] = {}
    for date, exposed, held, outcome, attempt, others in connection.execute(
        _NEAR, {**given(partition), "first": first, "last": last}
    ):
        is_known = rules is None or others is None or others == rules
        latest = Overlap(
            date, exposed if is_known else None, held, Outcome(outcome), attempt, outcome == Outcome.SUCCEEDED
        )
        before = found.get(date)
        found[date] = replace(latest, was_published=True) if before is not None and before.was_published else latest
    return list(found.values())
