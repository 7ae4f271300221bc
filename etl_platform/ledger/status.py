"""Questions about the ledger: its objects, the state of partitions, its own health.

Not here: what is still to be run (`pending.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import reruns
from etl_platform.ledger.attempt_rows import select_attempts, select_latest
from etl_platform.ledger.bound_rows import GIVEN_DATE, given, is_given_dataset
from etl_platform.ledger.records import CURRENT, LedgerObject, Outcome, PartitionStatus, State
from etl_platform.ledger.tables import ROW_COUNTS, attempts, landing_objects, metadata
from etl_platform.ledger.troubles import select_troubles

_t = landing_objects.c
_a = attempts.c


_OBJECTS = sa.select(*(_t[field.name] for field in fields(LedgerObject)))
_IS_OF_DATES = _t.business_date.in_(sa.bindparam("dates", expanding=True))
_OBJECTS_OF = _OBJECTS.where(is_given_dataset(_t), _IS_OF_DATES).order_by(_t.id)
_EARLIER_ROWS = (
    sa.select(sa.func.coalesce(sa.func.sum(_t.rows_silver), 0))
    .where(is_given_dataset(_t), _t.business_date < GIVEN_DATE, _t.state == State.LOADED)
    .group_by(_t.business_date)
    .order_by(_t.business_date.desc())
    .limit(sa.bindparam("days"))
)


def select_objects(
    connection: sa.Connection, *conditions: sa.ColumnElement[bool], newest_first: bool = False, limit: int | None = None
) -> list[LedgerObject]:
    """The matching rows in the order in which they were recorded."""
    query = _OBJECTS.where(*conditions).order_by(_t.id.desc() if newest_first else _t.id).limit(limit)
    return [_object(row) for row in connection.execute(query)]


def select_objects_of(connection: sa.Connection, partitions: Sequence[Delivery]) -> list[LedgerObject]:
    """Everything that was ever part of these partitions of one institution and dataset."""
    dates = [partition.business_date for partition in partitions]
    return [_object(row) for row in connection.execute(_OBJECTS_OF, {**given(partitions[0]), "dates": dates})]


def _object(row: Any) -> LedgerObject:
    found = LedgerObject(*row)
    return replace(found, state=State(found.state))


def has_objects(connection: sa.Connection, roots: Sequence[str]) -> bool:
    """Whether anything below roots of these names is on record."""
    return connection.execute(sa.select(_t.id).where(_t.root.in_(roots)).limit(1)).first() is not None


def select_near_keys(connection: sa.Connection, key: str, limit: int) -> list[str]:
    """Keys in the same folder, then keys with the same name elsewhere."""
    folder, _, name = key.rpartition("/")
    found: list[str] = []
    # No LIKE that begins with a wildcard unless the folder gave nothing: that one reads every key.
    near = [_t.key.startswith(f"{folder}/", autoescape=True)] if folder else []
    for condition in (*near, _t.key.endswith(f"/{name}", autoescape=True)):
        if not found:
            found += connection.scalars(sa.select(_t.key).distinct().where(condition).order_by(_t.key).limit(limit))
    return found


def select_fresh_sizes(connection: sa.Connection, institution: str, dataset: str) -> dict[dt.date, int]:
    """Bytes of the current objects by date, of dates on which no run has failed, been killed or left them."""
    query = (
        sa.select(_t.business_date, sa.func.sum(_t.size), sa.func.sum(sa.case((_t.state == State.FAILED, 1), else_=0)))
        .where(_t.institution == institution, _t.dataset == dataset, _t.state.in_(CURRENT))
        .group_by(_t.business_date)
    )
    sizes = {date: int(size) for date, size, has_failed in connection.execute(query) if not has_failed}
    ended_badly = (
        *(_a.institution == institution, _a.dataset == dataset),
        _a.outcome.in_((Outcome.FAILED, Outcome.CRASHED)),
    )
    bad = {attempt.partition.business_date for attempt in select_latest(connection, *ended_badly)}
    return {date: size for date, size in sizes.items() if date not in bad}


def select_status(
    connection: sa.Connection, dates: Sequence[dt.date], institutions: Sequence[str], datasets: Sequence[str]
) -> dict[Delivery, PartitionStatus]:
    """Objects per state, rows of the loaded and the latest attempt of each partition; none of those without any."""
    cells: dict[Delivery, PartitionStatus] = {}
    query = (
        sa.select(
            *(_t.dataset, _t.business_date, _t.institution, _t.state),
            sa.func.count(),
            sa.func.max(_t.first_seen_at),
            *(sa.func.coalesce(sa.func.sum(_t[name]), 0) for name in ROW_COUNTS),
        )
        .where(_t.business_date.in_(dates), _t.institution.in_(institutions), _t.dataset.in_(datasets))
        .group_by(_t.dataset, _t.business_date, _t.institution, _t.state)
    )
    for dataset, date, institution, state, count, recorded_at, *rows in connection.execute(query):
        partition = Delivery(dataset, date, institution)
        cells[partition] = _with_state(cells.get(partition, PartitionStatus()), State(state), count, recorded_at, rows)
    wanted = (_a.business_date.in_(dates), _a.institution.in_(institutions), _a.dataset.in_(datasets))
    for attempt in select_attempts(connection, *wanted):  # oldest first: the latest stays
        cell = cells.get(attempt.partition, PartitionStatus())
        published = attempt if attempt.outcome is Outcome.SUCCEEDED else cell.published
        cells[attempt.partition] = replace(cell, latest_attempt=attempt, published=published)
    for trouble in select_troubles(connection):
        if trouble.partition in cells:
            cells[trouble.partition] = replace(cells[trouble.partition], trouble=trouble)
    for partition, reason in reruns.select_open(connection).items():
        if partition in cells:
            cells[partition] = replace(cells[partition], asked=reason)
    return cells


def select_earlier_rows(connection: sa.Connection, partition: Delivery, days: int) -> list[int]:
    """Silver rows of each of the last `days` earlier business dates that have any loaded object, newest first."""
    found = connection.execute(_EARLIER_ROWS, {**given(partition), "days": days})
    return [int(rows) for rows in found.scalars()]


def select_latest_loaded_date(connection: sa.Connection, partition: Delivery) -> dt.date | None:
    """The last business date, up to the partition's own, with any loaded object of its dataset and institution."""
    query = (
        sa.select(_t.business_date)
        .where(
            _t.institution == partition.institution,
            _t.dataset == partition.dataset,
            _t.business_date <= partition.business_date,
            _t.state == State.LOADED,
        )
        # Walks the index backwards and stops at the first; a maximum would look at every earlier object.
        .order_by(_t.business_date.desc())
        .limit(1)
    )
    found: dt.date | None = connection.execute(query).scalar()
    return found


def describe(connection: sa.Connection) -> str:
    """How many objects there are, by state."""
    query = sa.select(_t.state, sa.func.count()).group_by(_t.state)
    counts = {State(state): count for state, count in connection.execute(query)}
    named = ", ".join(f"{counts[state]:,} {state}" for state in State if state in counts)
    return f"{sum(counts.values()):,} objects" + (f" ({named})" if named else "")


def try_write(connection: sa.Connection) -> None:
    """Fail as a write would fail (privileges, read-only file) without writing, in any of the tables."""
    for table in metadata.tables.values():
        column = next(iter(table.c))
        connection.execute(sa.update(table).where(sa.false()).values({column: column}))
        connection.execute(sa.insert(table).from_select([column], sa.select(column).where(sa.false())))


def _with_state(
    cell: PartitionStatus, state: State, count: int, recorded_at: dt.datetime, rows: Sequence[int]
) -> PartitionStatus:
    latest = max(filter(None, (cell.last_recorded_at, recorded_at)))
    cell = replace(cell, objects={**cell.objects, state: count}, last_recorded_at=latest)
    if state is not State.LOADED:
        return cell
    # Postgres sums bigint as numeric, which arrives as Decimal.
    read, silver, quarantined, duplicate = (int(count) for count in rows)
    return replace(cell, rows_read=read, rows_silver=silver, rows_quarantined=quarantined, rows_duplicate=duplicate)
