"""Tables in Postgres: the warehouse.

Belongs here: the order of steps of a replace and of a read. Not here: connections (`connection.py`), roles
(`roles.py`), the form of tables (`tables.py`), rows in (`copy.py`) and out (`read.py`), Dagster (`base.py`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import pyarrow as pa
from pydantic import SecretStr

from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey, Table
from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.io_managers.guard import checked, distinct, spooled
from etl_platform.io_managers.postgres.adbc import ArrowSession, connect_session, needs_arrow_driver
from etl_platform.io_managers.postgres.connection import Connection, Server, Session, become
from etl_platform.io_managers.postgres.copy import copy_rows
from etl_platform.io_managers.postgres.errors import DRIVER_ERRORS
from etl_platform.io_managers.postgres.loads import has_load, record_load
from etl_platform.io_managers.postgres.locks import lock_partitions
from etl_platform.io_managers.postgres.read import select_rows
from etl_platform.io_managers.postgres.roles import create_schemas, missing_schemas, role_of
from etl_platform.io_managers.postgres.schemas import Schemas
from etl_platform.io_managers.postgres.tables import is_prepared, prepare, stored_columns
from etl_platform.io_managers.store import Written
from etl_platform.resources.object_store_types import Retries

_log = logging.getLogger(__name__)

_ONE_MOMENT = "REPEATABLE READ READ ONLY"

Groups = Mapping[str, Sequence[PartitionKey]]
"""Partition keys by the schema that holds them."""


class PostgresStore:
    """Tables in one Postgres database. `schemas`: institution code to schema; shared tables are in `shared`.

    roles: every transaction acts as the schema's own role, which `initialise` creates. Without, the URL's user must
    own the schemas, and nothing but this code keeps tenants apart. lock_seconds: see `Server`.
    """

    kind = "postgres"

    def __init__(
        self,
        url: SecretStr,
        schemas: Mapping[str, str],
        *,
        roles: bool = True,
        retries: Retries | None = None,
        lock_seconds: float = 60,
        scratch: Path | None = None,
    ) -> None:
        self._server = Server(url, retries or Retries(), lock_seconds)
        self._schemas = Schemas(schemas)
        self._roles = roles
        self._scratch = scratch

    def __repr__(self) -> str:
        return f"PostgresStore({self._server.subject}, schemas={', '.join(self._schemas.all)})"

    def initialise(self, login: str | None = None) -> None:
        """Create schemas, roles and grants. Run as an administrator; `login` is the user that the platform loads as
        (default: the URL's own); before Postgres 16 it becomes NOINHERIT. Running it again changes nothing."""
        create_schemas(self._server, self._schemas.all, roles=self._roles, login=login)

    def check(self) -> str:
        """One line for a person: where the warehouse is and that it can be used. Raises where it cannot."""
        with self._server.connect() as connection:
            missing = missing_schemas(connection, self._schemas.all, roles=self._roles)
            version = connection.info.parameter_status("server_version")
        if missing:
            raise StorageError(
                self._server.subject,
                found=f"no schema, or no right to write it: {', '.join(missing)}",
                expected=f"schemas {', '.join(self._schemas.all)}" + (" with their roles" if self._roles else ""),
                next_step="run `etl-platform warehouse init` as an administrator",
            )
        return f"{self._server.subject}, version {version}, schemas {', '.join(self._schemas.all)}"

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """See `TableStore.replace`; all partitions of all institutions in one transaction.

        What goes wrong before the first row is taken is tried again; after, the rows are gone and the run is what
        is tried again.
        """
        keys = distinct(table, partitions)
        groups = self._schemas.group(keys)
        if len(groups) == 1:
            return self._load(table, groups, {schema: checked(table, keys, batches) for schema in groups})
        # Each institution's rows are sent under its own role, so they are told apart before any are sent.
        with spooled(table, keys, batches, self._scratch) as spools:
            streams = {
                schema: chain.from_iterable(spools[key].batches() for key in members)
                for schema, members in groups.items()
            }
            return self._load(table, groups, streams) if groups else Written("no table", 0)

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableStore.read`; all partitions as of one moment, streamed."""
        # Brings pandas: 55 MB that a loader does without.
        from etl_platform.io_managers.frames import subset

        groups = self._schemas.group(distinct(table, partitions))
        stored = self._server.call(lambda: self._stored(table, groups)) if groups else {}
        if not any(stored.values()):
            return
        wanted = subset(table, columns)
        with ExitStack() as stack:
            connection = self._server.call(lambda: stack.enter_context(self._server.connect_for_arrow(_ONE_MOMENT)))
            for schema, keys in groups.items():
                if stored[schema]:
                    if role := self._role(schema):
                        with connection.cursor() as cursor:
                            cursor.execute(f"SET LOCAL ROLE {quote(role, 'postgres')}")
                    yield from select_rows(connection, table, schema, keys, wanted=wanted, stored=stored[schema])

    def _stored(self, table: Table, groups: Groups) -> dict[str, Mapping[str, object]]:
        with self._server.connect() as connection:
            return {schema: stored_columns(connection, table, schema, self._server.subject) for schema in groups}

    def _load(self, table: Table, groups: Groups, streams: Mapping[str, Iterable[pa.RecordBatch]]) -> Written:
        token = uuid.uuid4()
        rows = 0
        size: int | None = 0
        with ExitStack() as stack:
            session = self._server.call(lambda: self._open(stack, table, groups))
            for schema, keys in groups.items():
                become(session, self._role(schema))
                loaded, sent = _append(session, table, schema, streams[schema])
                record_load(session, schema, table, token=token, keys=keys, rows=loaded)
                rows, size = rows + loaded, None if sent is None or size is None else size + sent
            try:
                session.commit()
            except DRIVER_ERRORS:
                session.close()
                if not self._is_committed(table, groups, token):
                    raise
                _log.warning("%s: the answer to COMMIT was lost, but load %s is there", self._server.subject, token)
        names = ", ".join(f"{schema}.{table.name}" for schema in groups)
        return Written(names, rows, size, {"load_token": str(token)})

    def _open(self, stack: ExitStack, table: Table, groups: Groups) -> Connection | ArrowSession:
        """A transaction, closed with `stack`, that alone may write the partitions and has emptied them."""
        with ExitStack() as opened:
            session: Connection | ArrowSession
            session = connection = opened.enter_context(self._server.connect())
            for schema in groups:
                self._prepare(connection, table, schema)
            if needs_arrow_driver(table):
                opened.close()
                session = opened.enter_context(connect_session(self._server))
            self._server.begin(session, None)
            lock_partitions(session, _names(table, groups))
            for schema, keys in groups.items():
                become(session, self._role(schema))
                _delete(session, table, schema, keys)
            stack.push(opened.pop_all())
        return session

    def _prepare(self, connection: Connection, table: Table, schema: str) -> None:
        self._server.begin(connection, self._role(schema))
        if not is_prepared(connection, table, schema, self._server.subject):
            prepare(connection, table, schema, self._server.subject)
        connection.commit()

    def _is_committed(self, table: Table, groups: Groups, token: uuid.UUID) -> bool:
        schema = next(iter(groups))

        def ask() -> bool:
            with self._server.connect() as connection:
                self._server.begin(connection, self._role(schema))
                # Once the locks are ours the doubtful transaction has ended, one way or the other.
                lock_partitions(connection, _names(table, groups))
                return has_load(connection, schema, token)

        try:
            return self._server.call(ask)
        except StorageUnavailableError as error:
            raise StorageUnavailableError(
                f"{self._server.subject} table {schema}.{table.name}",
                found=f"the answer to COMMIT was lost and its outcome cannot be asked ({error.found})",
                expected=f"load {token} in {schema}._loads, or its absence",
                next_step="run the partition again: either outcome leads to the same table",
            ) from None

    def _role(self, schema: str) -> str | None:
        return role_of(schema) if self._roles else None


def _names(table: Table, groups: Groups) -> list[tuple[str, str, PartitionKey]]:
    return [(schema, table.name, key) for schema, keys in groups.items() for key in keys]


def _append(
    session: Connection | ArrowSession, table: Table, schema: str, batches: Iterable[pa.RecordBatch]
) -> tuple[int, int | None]:
    if isinstance(session, ArrowSession):
        return session.ingest(table, schema, batches), None
    return copy_rows(session, table, schema, batches)


def _delete(session: Session, table: Table, schema: str, keys: Sequence[PartitionKey]) -> None:
    # A schema holds one institution, so its dates alone name its partitions exactly.
    condition = f"{quote(BUSINESS_DATE, 'postgres')} = ANY (%s)"
    values: list[object] = [[key.business_date for key in keys]]
    if not table.shared:
        condition += f" AND {quote(INSTITUTION, 'postgres')} = %s"
        values.append(keys[0].institution)
    statement = f"DELETE FROM {qualify(schema, table.name, 'postgres')} WHERE {condition}"  # noqa: S608 - checked names, bound values
    session.execute(statement.encode(), values)
