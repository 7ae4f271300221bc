"""Which tables hold what a checked attempt stored in silver. With all of them the attempt has succeeded.

Each function works inside the caller's transaction. Not here: which tables those are (the asset graph knows).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import leases, troubles
from etl_platform.ledger.attempt_rows import IS_MINE, latest, mine
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.law import Attempted, move_attempt
from etl_platform.ledger.records import Attempt, Outcome, State, Write
from etl_platform.ledger.tables import landing_objects, publications, writes

_p = publications.c
_w = writes.c
_o = landing_objects.c
_BY: sa.BindParameter[str] = sa.bindparam("by", type_=sa.Text())
_KNOWN = sa.select(_p.table_name).where(_p.run_id == _BY, is_given(_p))
_OTHERS = sa.select(_w.writer).where(is_given(_w), _w.writer != sa.bindparam("writer_", type_=sa.Text())).limit(1)
_IS_HELD = sa.and_(_o.claimed_by == _BY, _o.state == State.LOADED)
# The sender has overwritten it since it was loaded: its rows are in the tables all the same.
_WAS_HELD = sa.and_(_o.run_id == _BY, _o.state == State.SUPERSEDED, _o.rows_silver > 0)
_LOADED = sa.update(landing_objects).where(is_given(_o), sa.or_(_IS_HELD, _WAS_HELD)).values(is_published=True)


_IS_SILVER = _p.table_name == sa.literal("warehouse/") + _p.dataset
_IS_DECIDED = sa.and_(_o.run_id == _BY, _o.state == State.FAILED, _o.rows_silver > 0)
_SILVER_IS_OUT = (
    sa.update(landing_objects)
    .where(is_given(_o), _IS_DECIDED, sa.exists().where(_p.run_id == _BY, is_given(_p), _IS_SILVER))
    .values(is_published=True)
)


def note_silver(connection: sa.Connection, run_id: str, partition: Delivery) -> None:
    """An attempt has failed after its checks, at gold say: what it has put into the warehouse's silver is published."""
    connection.execute(_SILVER_IS_OUT, {**given(partition), "by": run_id})


def publish(
    connection: sa.Connection,
    run_id: str,
    partition: Delivery,
    tables: Collection[str],
    wanted: Mapping[str, str | None],
    writer: str,
    now: dt.datetime,
) -> bool:
    """`tables` hold what the attempt of run `run_id` stored: run `writer` wrote them. Returns whether it has succeeded
    by that: all of `wanted`, and nobody else is still at one of them.

    wanted: every table that is to hold it -> the one of them that it is written from. A table that was written before
    its source was holds older rows, and does not count.

    Where a later attempt has begun, its tables may just have been overwritten by older rows: they are to be written
    again, and with them what is written from them.
    """
    if writer != run_id:
        own = sa.delete(writes).where(_w.writer == writer, is_given(_w), _w.table_name.in_(tables))
        connection.execute(own, given(partition))
    newest = latest(connection, partition)
    if newest is None:
        return False
    if newest.run_id != run_id:
        _overwritten(connection, newest, tables, wanted)
        return False
    if newest.outcome is Outcome.FAILED:
        _add(connection, run_id, partition, [name for name in tables if name == f"warehouse/{partition.dataset}"], now)
        note_silver(connection, run_id, partition)
        return False
    if newest.outcome is not Outcome.CHECKED:
        return False
    here = {**given(partition), "by": run_id, "writer_": writer}
    known = set(connection.scalars(_KNOWN, here))
    new = []
    for name in (name for name in wanted if name in tables):
        source = wanted[name]
        if name not in known and (source is None or source in known):
            new.append(name)
            known.add(name)
    _add(connection, run_id, partition, new, now)
    if not set(wanted) <= known or connection.execute(_OTHERS, here).first():
        return False
    ending = {"ended_at": now, "seconds": (now - newest.started_at).total_seconds()}
    move_attempt(connection, Attempted.PUBLISHED, IS_MINE, values=ending, rows=[mine(run_id, partition)])
    connection.execute(_LOADED, here)
    troubles.forget(connection, partition)
    leases.give_back(connection, [partition])  # of a run that began no attempt of its own
    return True


def _add(connection: sa.Connection, run_id: str, partition: Delivery, names: Collection[str], now: dt.datetime) -> None:
    row = {"run_id": run_id, **asdict(partition), "published_at": now}
    if names:
        connection.execute(sa.insert(publications), [{**row, "table_name": name} for name in names])


def begin_write(connection: sa.Connection, write: Write) -> None:
    """A run is about to write a table from what another run's attempt stored."""
    row = {"writer": write.writer, **asdict(write.partition), "table_name": write.table}
    same = sa.delete(writes).where(_w.writer == write.writer, is_given(_w), _w.table_name == write.table)
    connection.execute(same, given(write.partition))
    connection.execute(sa.insert(writes), {**row, "attempt_run_id": write.attempt_run_id})


def select_writes(connection: sa.Connection) -> list[Write]:
    """Every write that has begun and not ended."""
    query = sa.select(_w.writer, _w.dataset, _w.business_date, _w.institution, _w.table_name, _w.attempt_run_id)
    return [Write(row[0], Delivery(*row[1:4]), row[4], row[5]) for row in connection.execute(query)]


def drop_write(connection: sa.Connection, write: Write, wanted: Mapping[str, str | None]) -> None:
    """The writer is gone and said nothing: the table may hold what it wrote, older than the latest attempt."""
    newest = latest(connection, write.partition)
    if newest is not None and newest.run_id != write.attempt_run_id:
        _overwritten(connection, newest, [write.table], wanted)
    gone = sa.delete(writes).where(_w.writer == write.writer, is_given(_w), _w.table_name == write.table)
    connection.execute(gone, given(write.partition))


def _overwritten(
    connection: sa.Connection, newest: Attempt, tables: Collection[str], wanted: Mapping[str, str | None]
) -> None:
    names = {*tables, *(name for name, source in wanted.items() if source in tables)}
    overwritten = sa.delete(publications).where(_p.run_id == newest.run_id, is_given(_p), _p.table_name.in_(names))
    connection.execute(overwritten, given(newest.partition))
    values = {"ended_at": None, "seconds": None}
    own = [mine(newest.run_id, newest.partition)]
    move_attempt(connection, Attempted.OVERWRITTEN, IS_MINE, values=values, rows=own)
