"""The event log of the default Dagster storage: one SQLite file whose connections are kept open.

Belongs here: this one storage class, named in `dagster.yaml`. Not here: Dagster's run and schedule storage (its own
SQLite classes serve), nor Postgres (`deploy/dagster-postgres.yaml`).

Dagster's default opens a file per run, and a new engine and connection per event. Measured in process on two cores, a
run of seven steps and thirty check results: 1.24 s with the default, 0.75 s in one file, 0.27 s with kept connections.
Four processes writing at once: 3.5 s and 1.1 s a run. One transaction for an event instead of three, without looking up
the tables each time, took a third off what remained.

This leans on names of Dagster 1.13 that are not public: the class it extends, its `_connect` and its look-up of
columns, and the polling watcher of Dagster's own Postgres storage; `test_event_log.py` holds them. To go back to
Dagster's default, remove `event_log_storage` from `dagster.yaml` (the events of earlier runs then no longer show).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import sqlalchemy
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.event_log.polling_event_watcher import SqlPollingEventWatcher
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._serdes import ConfigurableClassData
from sqlalchemy.pool import QueuePool

from etl_platform.limits import EVENT_LOG_SECONDS


class PooledSqliteEventLogStorage(ConsolidatedSqliteEventLogStorage):
    """Dagster's consolidated SQLite event log, with an engine that lives as long as the process.

    The file lies in the instance's own folder. That folder is known once the instance registers: a path in
    `dagster.yaml` would be wrong for the temporary instance of `dagster dev` and `dg` without DAGSTER_HOME.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """No configuration."""
        return {}

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Open the log in the instance's folder."""
        super().__init__(str(Path(instance.root_directory) / "history"), self._inst_data)
        super().register_instance(instance)

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        # The pool hands a connection to one thread at a time, which is what `check_same_thread` guards.
        options = {"timeout": EVENT_LOG_SECONDS, "check_same_thread": False}
        engine = sqlalchemy.create_engine(
            self._conn_string, poolclass=QueuePool, pool_size=4, max_overflow=-1, connect_args=options
        )
        sqlalchemy.event.listen(engine, "connect", _prepare)
        return engine

    @cached_property
    def _poller(self) -> SqlPollingEventWatcher:
        return SqlPollingEventWatcher(self)

    @cached_property
    def _writing(self) -> threading.local:
        return threading.local()

    @contextmanager
    def _connect(self) -> Iterator[sqlalchemy.Connection]:
        open_one: sqlalchemy.Connection | None = getattr(self._writing, "connection", None)
        if open_one is not None:
            yield open_one
            return
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _one_transaction(self) -> Iterator[None]:
        """Whatever this thread does inside is one transaction: Dagster itself takes two or three for an event."""
        if getattr(self._writing, "connection", None) is not None:
            yield  # inside another one
            return
        with self._connect() as connection:
            self._writing.connection = connection
            try:
                yield
            finally:
                del self._writing.connection

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event.

        One that is of no asset, and so of no further table but that of checks, is stored by statements that are
        compiled once: a step of a thousand checks stores two thousand.
        """
        if isinstance(event, dg.EventLogEntry) and event.run_id and _type_of(event) not in ASSET_EVENTS:
            row = self._event_to_row(event)
            with self._connect() as connection:
                number = connection.execute(_ADD_EVENT, row).lastrowid
                self._store_checks(connection, [(number, event, row)])
            return
        with self._one_transaction():
            super().store_event(event)

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store several events, or none of them.

        Materializations and check results that no planned event waits for, as a run over many partitions has them, and
        what a run is planned to do, are written with one statement per table; one at a time they cost 2.5 ms each.
        """
        if not all(isinstance(event, dg.EventLogEntry) and _is_plain(event) for event in events):
            with self._one_transaction():
                for event in events:
                    self.store_event(event)
            return
        rows = [self._event_to_row(event) for event in events]  # before the lock: most of the time goes here
        with self._one_transaction(), self._connect() as connection:
            connection.execute(_ADD_EVENT, rows)
            # Ids rise by one: since its first INSERT no other connection can write.
            last = connection.execute(sqlalchemy.select(sqlalchemy.func.max(SqlEventLogStorageTable.c.id))).scalar_one()
            numbered = list(zip(range(last - len(rows) + 1, last + 1), events, rows, strict=True))
            self._store_materializations(connection, numbered)
            self._store_checks(connection, numbered)

    def _store_materializations(self, connection: sqlalchemy.Connection, numbered: Sequence[_Numbered]) -> None:
        found = [(number, event) for number, event, _ in numbered if _type_of(event) in (_MADE, _TO_MAKE)]
        self._store_asset_event_tags(connection, [event for _, event in found], [number for number, _ in found])
        # The row of an asset tells of its last materialization only.
        latest = {(event.get_dagster_event().asset_key, _type_of(event)): (event, number) for number, event in found}
        for event, number in latest.values():
            self._store_asset_event(connection, event, number)

    def _store_checks(self, connection: sqlalchemy.Connection, numbered: Sequence[_Numbered]) -> None:
        if planned := [row for one in numbered if _type_of(one[1]) is _TO_CHECK for row in _planned_rows(*one)]:
            connection.execute(_ADD_CHECK, planned)
        found = [_check_row(*one) for one in numbered if _type_of(one[1]) is _CHECKED]
        runs = {row["run_id"] for row in found}
        if runs and connection.execute(_planned_of(runs)).first() is not None:
            for row in found:
                if not connection.execute(_END_CHECK, {**row, **_place_of(row)}).rowcount:
                    connection.execute(_ADD_CHECK, row)
        elif found:
            connection.execute(_ADD_CHECK, found)

    def has_table(self, table_name: str) -> bool:
        """Whether the database has the table. Asked for every check result, with a new connection each time."""
        if table_name not in self._tables:
            with self._connect() as connection:
                self._tables.update(sqlalchemy.inspect(connection).get_table_names())
        return table_name in self._tables

    @cached_property
    def _tables(self) -> set[str]:
        return set()

    def _has_asset_key_index_cols_on_connection(self, conn: sqlalchemy.Connection) -> bool:
        return True  # the columns are as old as this storage; Dagster looks them up for every asset event

    def watch(self, run_id: str, cursor: str | None, callback: Callable[..., Any]) -> None:
        """Follow a run by polling: with kept connections SQLite writes to its `-wal` file, which no file watch sees."""
        self._poller.watch_run(run_id, cursor, callback)

    def end_watch(self, run_id: str, handler: Callable[..., Any]) -> None:
        """Stop following."""
        self._poller.unwatch_run(run_id, handler)

    def dispose(self) -> None:
        """Stop all threads and close all connections."""
        if "_poller" in self.__dict__:
            self._poller.close()
            del self.__dict__["_poller"]
        if "_engine" in self.__dict__:
            self._engine.dispose()


_Numbered: TypeAlias = tuple[int, dg.EventLogEntry, dict[str, Any]]
"""The id of a stored event, the event, its row."""
_MADE, _TO_MAKE = dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_CHECKED, _TO_CHECK = dg.DagsterEventType.ASSET_CHECK_EVALUATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED

_checks = AssetCheckExecutionsTable.c
_ADD_EVENT = SqlEventLogStorageTable.insert()
_ADD_CHECK = AssetCheckExecutionsTable.insert()
_PLACE = (_checks.asset_key, _checks.check_name, _checks.run_id, _checks.partition)
_END_CHECK = AssetCheckExecutionsTable.update().where(
    *(column.is_not_distinct_from(sqlalchemy.bindparam(f"of_{column.name}")) for column in _PLACE)
)
"""The result of a check instead of the row that was planned for it."""


def _place_of(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"of_{column.name}": row[column.name] for column in _PLACE}


def _planned_of(runs: Collection[str]) -> sqlalchemy.Select[Any]:
    """Whether the runs have planned any check."""
    return sqlalchemy.select(_checks.id).where(_checks.run_id.in_(runs)).limit(1)


def _type_of(event: dg.EventLogEntry) -> dg.DagsterEventType | None:
    return event.dagster_event_type


def _is_plain(event: dg.EventLogEntry) -> bool:
    return bool(event.run_id) and _type_of(event) in (_MADE, _TO_MAKE, _CHECKED, _TO_CHECK)


def _planned_rows(number: int, event: dg.EventLogEntry, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One for each partition that is to be checked."""
    planned = event.get_dagster_event().asset_check_planned_data
    partitions = planned.partitions_subset.get_partition_keys() if planned.partitions_subset else [None]
    status = AssetCheckExecutionRecordStatus.PLANNED
    return [_row(planned, event, row, status, number) | {"partition": partition} for partition in partitions]


def _check_row(number: int, event: dg.EventLogEntry, row: Mapping[str, Any]) -> dict[str, Any]:
    result = event.get_dagster_event().asset_check_evaluation_data
    target = result.target_materialization_data
    status = AssetCheckExecutionRecordStatus.SUCCEEDED if result.passed else AssetCheckExecutionRecordStatus.FAILED
    return _row(result, event, row, status, number) | {
        "materialization_event_storage_id": target.storage_id if target else None,
        "partition": result.partition,
    }


def _row(
    of_check: Any,
    event: dg.EventLogEntry,
    row: Mapping[str, Any],
    status: AssetCheckExecutionRecordStatus,
    number: int,
) -> dict[str, Any]:
    return {
        "asset_key": of_check.asset_key.to_string(),
        "check_name": of_check.check_name,
        "run_id": event.run_id,
        "execution_status": status.value,
        "evaluation_event": row["event"],
        "evaluation_event_timestamp": row["timestamp"],
        "evaluation_event_storage_id": number,
    }


def _prepare(connection: Any, _record: object) -> None:
    # In WAL mode a commit then waits for no disk: a killed process loses nothing, a power cut at most the last events.
    # What was loaded is on record in the ledger, which does wait.
    connection.execute("PRAGMA synchronous = NORMAL")
