"""What senders really sent: the columns of every delivered object and their drift.

Not here: finding differences (`transforms/schema_drift.py`), what follows from them (`defs/schema_drift.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import sqlalchemy as sa

from etl_platform.ledger.records import DatasetPartition, DeliveredSchema
from etl_platform.ledger.tables import schema_drift, storable

_t = schema_drift.c
_order = (_t.business_date, _t.institution, _t.dataset, _t.delivery, _t.recorded_at)


def replace_schemas(
    connection: sa.Connection,
    run_id: str,
    partition: DatasetPartition,
    schemas: Sequence[DeliveredSchema],
    now: dt.datetime,
) -> None:
    """`schemas` are the partition's deliveries now; earlier ones stay on record as not current. Safe to repeat."""
    connection.execute(sa.update(schema_drift).where(*_is_of(partition)).values(is_current=False))
    rows = [_row(found, run_id, now) for found in schemas]
    if rows:
        same_object = (_t.uri == sa.bindparam("old_uri"), _t.sha256 == sa.bindparam("old_sha256"))
        old = [{"old_uri": storable(found.uri), "old_sha256": found.sha256} for found in schemas]
        connection.execute(sa.delete(schema_drift).where(*same_object), old)
        connection.execute(sa.insert(schema_drift), rows)


def select_last(
    connection: sa.Connection, partition: DatasetPartition, *, before_uri: str | None = None
) -> DeliveredSchema | None:
    """The last delivery before the partition. before_uri: or in it, other than this object, as if it came last."""
    conditions = [_t.institution == partition.institution, _t.dataset == partition.dataset]
    conditions += [_t.is_baseline, _t.is_current]
    if before_uri is None:
        conditions.append(_t.business_date < partition.business_date)
    else:
        conditions += [_t.business_date <= partition.business_date, _t.uri != storable(before_uri)]
    newest = (_t.business_date.desc(), _t.delivery.desc())
    found = _select(connection, sa.select(schema_drift).where(*conditions).order_by(*newest).limit(1))
    return found[0] if found else None


def select_schemas(connection: sa.Connection, partition: DatasetPartition) -> list[DeliveredSchema]:
    """The current deliveries of the partition, in order."""
    return _select(connection, sa.select(schema_drift).where(*_is_of(partition), _t.is_current).order_by(*_order))


def select_drifted(
    connection: sa.Connection, dates: Sequence[dt.date] | None, institutions: Sequence[str], datasets: Sequence[str]
) -> list[DeliveredSchema]:
    """Every delivery that drifted, overwritten ones included, by date. dates: None for all."""
    conditions = [_t.is_drifted, _t.institution.in_(institutions), _t.dataset.in_(datasets)]
    if dates is not None:
        conditions.append(_t.business_date.in_(dates))
    return _select(connection, sa.select(schema_drift).where(*conditions).order_by(*_order))


def _is_of(partition: DatasetPartition) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        _t.institution == partition.institution,
        _t.dataset == partition.dataset,
        _t.business_date == partition.business_date,
    )


def _row(found: DeliveredSchema, run_id: str, now: dt.datetime) -> dict[str, object]:
    partition = found.partition
    return {
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


def _select(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> list[DeliveredSchema]:
    return [
        DeliveredSchema(
            partition=DatasetPartition(row["dataset"], row["business_date"], row["institution"]),
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
        for row in connection.execute(query).mappings()
    ]
