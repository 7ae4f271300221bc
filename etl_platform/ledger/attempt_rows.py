"""Attempts as they are on record: which rows, and how they are read. Not here: what happens to them (`attempts.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.ledger.given import given, given_rows, is_given
from etl_platform.ledger.records import Attempt, AttemptTotals, DatasetPartition, Outcome
from etl_platform.ledger.tables import attempts, landing_objects

_t = landing_objects.c
_a = attempts.c
_partition = (_a.dataset, _a.business_date, _a.institution)
_LATEST = sa.select(attempts).where(is_given(_a)).order_by(_a.started_at.desc(), _a.run_id.desc()).limit(1)


def select_attempts(
    connection: sa.Connection,
    *conditions: sa.ColumnElement[bool],
    given_partitions: Sequence[DatasetPartition] | None = None,
) -> list[Attempt]:
    """The matching attempts, oldest first; of these partitions alone, where they are given."""
    query = sa.select(attempts).where(*conditions).order_by(_a.started_at, _a.run_id)
    if given_partitions is not None:
        if len(given_partitions) == 1:
            query = query.where(is_given(_a))
            return [_read(row) for row in connection.execute(query, given(given_partitions[0])).mappings()]
        keys = [(p.dataset, p.business_date, p.institution) for p in given_partitions]
        wanted = given_rows(connection.dialect, _partition, keys)
        query = query.join(wanted, sa.and_(*(column == wanted.c[column.name] for column in _partition)))
    return [_read(row) for row in connection.execute(query).mappings()]


def latest(connection: sa.Connection, partition: DatasetPartition) -> Attempt | None:
    """The attempt that started last, or None."""
    row = connection.execute(_LATEST, given(partition)).mappings().first()
    return None if row is None else _read(row)


def select_latest(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Attempt]:
    """Those matching attempts that are the latest of their partitions, oldest first."""
    later = attempts.alias("later")
    same = sa.and_(*(later.c[column.name] == column for column in _partition))
    is_later = sa.tuple_(later.c.started_at, later.c.run_id) > sa.tuple_(_a.started_at, _a.run_id)
    return select_attempts(connection, *conditions, ~sa.exists().where(same, is_later))


def is_of(partition: DatasetPartition) -> sa.ColumnElement[bool]:
    """Whether a landing object belongs to `partition`."""
    return sa.and_(*(_t[name] == value for name, value in asdict(partition).items()))


def is_attempt(run_id: str, partition: DatasetPartition) -> sa.ColumnElement[bool]:
    """Whether an attempt is that of the run at `partition`."""
    return sa.and_(_a.run_id == run_id, *(_a[name] == value for name, value in asdict(partition).items()))


def _read(row: sa.RowMapping) -> Attempt:
    counts = {name: row[name] for name in asdict(AttemptTotals())}
    return Attempt(
        run_id=row["run_id"],
        partition=DatasetPartition(row["dataset"], row["business_date"], row["institution"]),
        started_at=row["started_at"],
        outcome=Outcome(row["outcome"]),
        ended_at=row["ended_at"],
        seconds=row["seconds"],
        error=row["error"],
        totals=AttemptTotals(**counts) if row["rows_read"] is not None else None,
    )
