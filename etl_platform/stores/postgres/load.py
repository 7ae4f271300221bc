"""One replace: a transaction that is carried out as a whole, and as a whole again when the server went away in it.

Belongs here: the order of its steps, and what a lost answer to COMMIT means. Not here: where the rows wait between two
attempts (`replay.py`, `spool.py`), how often there is another (`retries.py`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import pyarrow as pa

from etl_platform.contracts.identifiers import qualify
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.errors import StorageUnavailableError, TransientError
from etl_platform.stores.postgres.adbc import ArrowSession, connect_session, needs_arrow_driver
from etl_platform.stores.postgres.connection import Connection, PostgresSession, Server, become
from etl_platform.stores.postgres.copy import copy_rows
from etl_platform.stores.postgres.errors import DRIVER_ERRORS, TimeLimitError
from etl_platform.stores.postgres.loads import has_load, record_load
from etl_platform.stores.postgres.locks import lock_partitions
from etl_platform.stores.postgres.proof import require_arrived
from etl_platform.stores.postgres.tables import is_prepared, prepare, where_partitions
from etl_platform.stores.proof.sent import Sent
from etl_platform.stores.store import Written

_log = logging.getLogger(__name__)

Groups = Mapping[str, Sequence[PartitionKey]]
"""Partition keys by the schema that holds them."""

Rows = Callable[[], Iterable[pa.RecordBatch]]
"""All rows of a schema, from the first on, each time it is called."""


class PostgresLoad:
    """One replace of the partitions `groups` of `table`. `role_of_schema`: None where the URL's user does the work."""

    def __init__(
        self, server: Server, table: Table, groups: Groups, role_of_schema: Callable[[str], str | None]
    ) -> None:
        self._server, self._table, self._groups, self._role = server, table, groups, role_of_schema
        self._doubtful: tuple[uuid.UUID, Written] | None = None
        self._has_sent = False

    def run(self, rows: Mapping[str, Rows], has_rows: Callable[[], bool] = lambda: True) -> Written:
        """Replace the partitions by `rows` of each schema. has_rows: whether they can be had once more."""
        if not self._groups:
            return Written("no table", 0)

        def may_repeat(error: TransientError) -> bool:
            # Rows that met a time limit of the server would meet it again, after as long.
            return has_rows() and not (self._has_sent and isinstance(error, TimeLimitError))

        return self._server.call(lambda: self._attempt(rows), may_repeat=may_repeat)

    def _attempt(self, rows: Mapping[str, Rows]) -> Written:
        if (written := self._committed()) is not None:
            return written
        # A new token per attempt: it must tell this transaction from the one before.
        token = uuid.uuid4()
        loaded = 0
        size: int | None = 0
        with ExitStack() as stack:
            session = self._open(stack)
            self._has_sent = True
            for schema, keys in self._groups.items():
                become(session, self._role(schema))
                sent = Sent(self._table)
                count, out = _append(session, self._table, schema, sent.watch(rows[schema]()))
                require_arrived(session, sent, schema, keys, self._server.subject)
                record_load(session, schema, self._table, token=token, keys=keys, rows=count)
                loaded, size = loaded + count, None if out is None or size is None else size + out
            names = ", ".join(f"{schema}.{self._table.name}" for schema in self._groups)
            written = Written(names, loaded, size, {"load_token": str(token)})
            try:
                session.commit()
            except DRIVER_ERRORS:
                session.close()
                self._doubtful = token, written
                if self._committed() is None:
                    raise
        return written

    def _committed(self) -> Written | None:
        """What an earlier attempt wrote, where its COMMIT arrived; None where none is in doubt any more."""
        if self._doubtful is None:
            return None
        token, written = self._doubtful
        if not self._is_committed(token):
            self._doubtful = None
            return None
        _log.warning("%s: the answer to COMMIT was lost, but load %s is there", self._server.subject, token)
        return written

    def _is_committed(self, token: uuid.UUID) -> bool:
        """Asked once: while nobody answers, the next attempt asks again before it does anything else."""
        schema = next(iter(self._groups))
        try:
            with self._server.connect() as connection:
                self._server.begin(connection, self._role(schema))
                # Once the locks are ours the doubtful transaction has ended, one way or the other.
                lock_partitions(connection, self._names)
                return has_load(connection, schema, token)
        except StorageUnavailableError as error:
            raise StorageUnavailableError(
                f"{self._server.subject} table {schema}.{self._table.name}",
                found=f"the answer to COMMIT was lost and its outcome cannot be asked ({error.found})",
                expected=f"load {token} in {schema}._loads, or its absence",
                next_step="run the partition again: either outcome leads to the same table",
                service=error.service,
            ) from None

    def _open(self, stack: ExitStack) -> Connection | ArrowSession:
        """A transaction, closed with `stack`, that alone may write the partitions and has emptied them."""
        with ExitStack() as opened:
            session: Connection | ArrowSession
            session = connection = opened.enter_context(self._server.connect())
            for schema in self._groups:
                self._prepare(connection, schema)
            if needs_arrow_driver(self._table):
                opened.close()
                session = opened.enter_context(connect_session(self._server))
            self._server.begin(session, None)
            lock_partitions(session, self._names)
            for schema, keys in self._groups.items():
                become(session, self._role(schema))
                _delete(session, self._table, schema, keys)
            stack.push(opened.pop_all())
        return session

    def _prepare(self, connection: Connection, schema: str) -> None:
        self._server.begin(connection, self._role(schema))
        if not is_prepared(connection, self._table, schema, self._server.subject):
            prepare(connection, self._table, schema, self._server.subject)
        connection.commit()

    @property
    def _names(self) -> list[tuple[str, str, PartitionKey]]:
        return [(schema, self._table.name, key) for schema, keys in self._groups.items() for key in keys]


def _append(
    session: Connection | ArrowSession, table: Table, schema: str, batches: Iterable[pa.RecordBatch]
) -> tuple[int, int | None]:
    if isinstance(session, ArrowSession):
        return session.ingest(table, schema, batches), None
    return copy_rows(session, table, schema, batches)


def _delete(session: PostgresSession, table: Table, schema: str, keys: Sequence[PartitionKey]) -> None:
    condition, values = where_partitions(table, keys)
    statement = f"DELETE FROM {qualify(schema, table.name, 'postgres')} WHERE {condition}"  # noqa: S608 - checked names, bound values
    session.execute(statement.encode(), values)
