"""What senders really sent: the columns of every delivered object and their drift.

Not here: finding differences (`drift/columns.py`), what follows from them (`defs/schema_drift.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import GIVEN_DATE, given, is_given, is_given_dataset
from etl_platform.ledger.records import DeliveredSchema
from etl_platform.ledger.tables import schema_drift, storable

_t = schema_drift.c
_order = (_t.business_date, _t.institution, _t.dataset, _t.delivery, _t.recorded_at)

_NO_LONGER_CURRENT = sa.update(schema_drift).where(is_given(_t)).values(is_current=False)
_SAME_OBJECT = sa.delete(schema_drift).where(
    *(_t[name] == sa.bindparam(f"old_{name}", type_=_t[name].type) for name in ("root", "key", "sha256"))
)
_CURRENT = sa.select(schema_drift).where(is_given(_t), _t.is_current).order_by(*_order)
_BASELINES = (
    sa.select(schema_drift)
    .where(is_given_dataset(_t), _t.is_baseline, _t.is_current)
    .order_by(_t.business_date.desc(), _t.delivery.desc())
    .limit(1)
)
_LAST_BEFORE = _BASELINES.where(_t.business_date < GIVEN_DATE)
_LAST_OTHER = _BASELINES.where(_t.business_date <= GIVEN_DATE, _t.key != sa.bindparam("other_key"))


def replace_schemas(
    connection: sa.Connection,
    run_id: str,
    partition: Delivery,
    schemas: Sequence[DeliveredSchema],
    now: dt.datetime,
) -> None:
    """`schemas` are the partition's deliveries now; earlier ones stay on record as not current. Safe to repeat."""
    connection.execute(_NO_LONGER_CURRENT, given(partition))
    rows = [_row(found, run_id, now) for found in schemas]
    if rows:
        old = [{"old_root": found.root, "old_key": found.key, "old_sha256": found.sha256} for found in schemas]
        connection.execute(_SAME_OBJECT, old)
        connection.execute(sa.insert(schema_drift), rows)


def select_last(
    connection: sa.Connection, partition: Delivery, *, before_key: str | None = None
) -> DeliveredSchema | None:
    """The last delivery before the partition. before_key: or in it, other than this object, as if it came last."""
    if before_key is None:
        found = _select(connection, _LAST_BEFORE, given(partition))
    else:
        found = _select(connection, _LAST_OTHER, {**given(partition), "other_key": storable(before_key)})
    return found[0] if found else None


def select_schemas(connection: sa.Connection, partition: Delivery) -> list[DeliveredSchema]:
    """The current deliveries of the partition, in order."""
    return _select(connection, _CURRENT, given(partition))


def select_drifted(
    connection: sa.Connection, dates: Sequence[dt.date] | None, institutions: Sequence[str], datasets: Sequence[str]
) -> list[DeliveredSchema]:
    """Every delivery that drifted, overwritten ones included, by date. dates: None for all."""
    conditions = [_t.is_drifted, _t.institution.in_(institutions), _t.dataset.in_(datasets)]
    if dates is not None:
        conditions.append(_t.business_date.in_(dates))
    return _select(connection, sa.select(schema_drift).where(*conditions).order_by(*_order))


def _row(found: DeliveredSchema, run_id: str, now: dt.datetime) -> dict[str, object]:
    partition = found.partition
    return {
        "root": found.root,
        "uri": found.uri,
        "sha256": found.sha256,
        "institution": partition.institution,
        "dataset": partition.dataset,
        "business_date": partition.business_date,
        "key": found.key,
        "delivery": found.delivery,
        "format": found.format,
        "policy": found.policy,
        "columns": found.columns,
        "differences": found.differences,
        "is_drifted": bool(found.differences),
        "is_current": True,
        "is_baseline": found.is_baseline,
        "run_id": run_id,
        "recorded_at": now,
    }


def _select(
    connection: sa.Connection, query: sa.Select[tuple[object, ...]], parameters: Mapping[str, object] | None = None
) -> list[DeliveredSchema]:
    return [
        DeliveredSchema(
            partition=Delivery(row["dataset"], row["business_date"], row["institution"]),
            root=row["root"],
            uri=row["uri"],
            sha256=row["sha256"],
            key=row["key"],
            delivery=row["delivery"],
            format=row["format"],
            policy=row["policy"],
            columns=row["columns"],
            differences=row["differences"],
            is_baseline=row["is_baseline"],
            is_current=row["is_current"],
            recorded_at=row["recorded_at"],
        )
        for row in connection.execute(query, parameters).mappings()
    ]
