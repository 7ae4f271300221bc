"""Attempts as they are on record: which rows, and how they are read. Not here: what happens to them (`attempts.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import given, given_rows, is_given
from etl_platform.ledger.records import Attempt, AttemptTotals, Outcome
from etl_platform.ledger.tables import attempts, landing_objects

_t = landing_objects.c
_a = attempts.c
_COUNTS = tuple(field.name for field in fields(AttemptTotals))
_partition = (_a.dataset, _a.business_date, _a.institution)
IS_OF = is_given(_t)
"""Whether a landing object belongs to the partition that the parameters `given` name."""
GIVEN_RUN: sa.BindParameter[str] = sa.bindparam("given_run_id", type_=_a.run_id.type)
IS_MINE = sa.and_(_a.run_id == GIVEN_RUN, is_given(_a))
"""Whether an attempt is the one that the parameters `mine` name."""
_MINE = sa.select(attempts).where(IS_MINE)
_LATEST = sa.select(attempts).where(is_given(_a)).order_by(_a.started_at.desc(), _a.run_id.desc()).limit(1)
_later = attempts.alias("later")
_IS_BEHIND = sa.exists().where(
    *(_later.c[column.name] == column for column in _partition),
    sa.tuple_(_later.c.started_at, _later.c.run_id) > sa.tuple_(_a.started_at, _a.run_id),
)
_PUBLISHED_BEFORE = _LATEST.where(_a.outcome == Outcome.SUCCEEDED, _IS_BEHIND)


def select_attempts(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Attempt]:
    """The matching attempts, oldest first."""
    return [_read(row) for row in connection.execute(_selected(*conditions)).mappings()]


def select_attempts_at(
    connection: sa.Connection,
    partitions: Sequence[Delivery],
    condition: sa.ColumnElement[bool],
    parameters: Mapping[str, Any],
) -> list[Attempt]:
    """The attempts at these partitions that match a constant condition with `parameters`, oldest first."""
    if len(partitions) == 1:
        rows = connection.execute(_at_one(condition), {**parameters, **given(partitions[0])})
        return [_read(row) for row in rows.mappings()]
    keys = [(p.dataset, p.business_date, p.institution) for p in partitions]
    wanted = given_rows(connection.dialect, _partition, keys)
    query = _selected(condition).join(wanted, sa.and_(*(column == wanted.c[column.name] for column in _partition)))
    return [_read(row) for row in connection.execute(query, dict(parameters)).mappings()]


def _selected(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(attempts).where(*conditions).order_by(_a.started_at, _a.run_id)


@cache
def _at_one(condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return _selected(condition, is_given(_a))


def latest(connection: sa.Connection, partition: Delivery) -> Attempt | None:
    """The attempt that started last, or None."""
    row = connection.execute(_LATEST, given(partition)).mappings().first()
    return None if row is None else _read(row)


def published_before(connection: sa.Connection, partition: Delivery) -> Attempt | None:
    """The attempt before the latest one that was published last, or None."""
    row = connection.execute(_PUBLISHED_BEFORE, given(partition)).mappings().first()
    return None if row is None else _read(row)


def select_latest(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Attempt]:
    """Those matching attempts that are the latest of their partitions, oldest first."""
    return select_attempts(connection, *conditions, ~_IS_BEHIND)


def mine(run_id: str, partition: Delivery) -> dict[str, Any]:
    """The parameters of a statement about the run's attempt at `partition` (`IS_MINE`)."""
    return {"given_run_id": run_id, **given(partition)}


def find(connection: sa.Connection, run_id: str, partition: Delivery) -> Attempt | None:
    """The run's attempt at the partition, or None."""
    row = connection.execute(_MINE, mine(run_id, partition)).mappings().first()
    return None if row is None else _read(row)


def _read(row: sa.RowMapping) -> Attempt:
    counts = {name: row[name] for name in _COUNTS}
    return Attempt(
        run_id=row["run_id"],
        partition=Delivery(row["dataset"], row["business_date"], row["institution"]),
        started_at=row["started_at"],
        outcome=Outcome(row["outcome"]),
        ended_at=row["ended_at"],
        seconds=row["seconds"],
        error=row["error"],
        totals=AttemptTotals(**counts) if row["rows_read"] is not None else None,
    )
