"""Tables in Postgres: the warehouse.

Belongs here: from partitions to schemas, and reading. Not here: one load (`load.py`), connections (`connection.py`),
roles (`roles.py`), the form of tables (`tables.py`), rows in (`copy.py`) and out (`read.py`), Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path

import pyarrow as pa
from pydantic import SecretStr

from etl_platform.contracts.ddl import column_definition
from etl_platform.contracts.identifiers import quote
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.errors import StorageError
from etl_platform.limits import POSTGRES_LOCK_SECONDS
from etl_platform.retries import Retries, asking
from etl_platform.stores.canary import KEY, TABLE, canary_rows, require_unchanged
from etl_platform.stores.partition_guard import checked, distinct, spooled
from etl_platform.stores.postgres.connection import Server
from etl_platform.stores.postgres.copy import copy_rows
from etl_platform.stores.postgres.load import Groups, PostgresLoad, Rows
from etl_platform.stores.postgres.proof import require_arrived
from etl_platform.stores.postgres.read import select_rows
from etl_platform.stores.postgres.roles import create_schemas, missing_schemas, role_of
from etl_platform.stores.postgres.schemas import Schemas
from etl_platform.stores.postgres.tables import stored_columns
from etl_platform.stores.proof.sent import Sent
from etl_platform.stores.replay import Rereading
from etl_platform.stores.store import Written

_ONE_MOMENT = "REPEATABLE READ READ ONLY"


class PostgresStore:
    """Tables in one Postgres database. `schemas`: institution code to schema; those across institutions in `shared`.

    roles: every transaction acts as the schema's own role, which `initialise` creates. Without, the URL's user must
    own the schemas, and nothing but this code keeps tenants apart. lock_seconds: see `Server`.
    """

    def __init__(
        self,
        url: SecretStr,
        schemas: Mapping[str, str],
        *,
        roles: bool = True,
        retries: Retries | None = None,
        lock_seconds: float = POSTGRES_LOCK_SECONDS,
        scratch: Path | None = None,
        service: str = "warehouse",
    ) -> None:
        self.service = service
        self._server = Server(url, retries or Retries(), lock_seconds, service)
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

    def canary(self) -> str:
        """See `WarehouseStore.canary`."""
        schema, sent = "pg_temp", Sent(TABLE)
        columns = ", ".join(column_definition(column, "postgres") for column in TABLE.columns)
        names = ", ".join(quote(name, "postgres") for name in TABLE.arrow_schema.names)
        allowed = "SELECT pg_catalog.has_database_privilege(current_database(), 'TEMPORARY')"
        with asking(self.service), self._server.connect() as connection:
            self._server.begin(connection, None)
            if connection.execute(allowed.encode()).fetchone() != (True,):
                return "not sent: this user may not make temporary tables (GRANT TEMPORARY ON DATABASE)"
            # Never committed: the table goes with the transaction.
            connection.execute(f"CREATE TEMPORARY TABLE {quote(TABLE.name, 'postgres')} ({columns})".encode())
            copy_rows(connection, TABLE, schema, sent.watch([canary_rows()]))
            require_arrived(connection, sent, schema, [KEY], self._server.subject)
            query = f"SELECT {names} FROM {schema}.{quote(TABLE.name, 'postgres')}"  # noqa: S608 - checked names
            return require_unchanged(self._server.subject, connection.execute(query.encode()).fetchall())

    def probe(self) -> None:
        """See `TableStore.probe`."""
        self._server.probe()

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """See `TableStore.replace`; all partitions of all institutions in one transaction.

        What may pass is tried again with all rows, in a transaction of its own.
        """
        keys = distinct(table, partitions)
        groups = self._schemas.group(keys)
        load = PostgresLoad(self._server, table, groups, self._role)
        if len(groups) == 1:
            (schema,) = groups
            rows = Rereading(table.arrow_schema, checked(table, keys, batches), self._scratch)
            with asking(self.service), closing(rows):
                return load.run({schema: rows.batches}, has_rows=lambda: not rows.failed)
        # Each institution's rows are sent under its own role, so they are told apart before any are sent.
        with asking(self.service), spooled(table, keys, batches, self._scratch) as spools:

            def rows_of(members: Sequence[PartitionKey]) -> Rows:
                return lambda: chain.from_iterable(spools[key].batches(keep=True) for key in members)

            return load.run({schema: rows_of(members) for schema, members in groups.items()})

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableStore.read`; all partitions as of one moment, streamed.

        What may pass is tried again until the first rows are there. After that a second try would show another moment.
        """
        # Brings pandas: 55 MB that a loader does without.
        from etl_platform.stores.frames import subset

        groups = self._schemas.group(distinct(table, partitions))
        if not groups:
            return
        wanted = subset(table, columns)
        with ExitStack() as stack:

            def begin() -> tuple[Iterator[pa.RecordBatch], pa.RecordBatch | None]:
                with ExitStack() as opened:
                    batches = self._select(opened, table, groups, wanted)
                    first = next(batches, None)
                    stack.push(opened.pop_all())
                return batches, first

            batches, first = self._server.call(begin)
            if first is not None:
                yield first
                yield from batches

    def _select(self, stack: ExitStack, table: Table, groups: Groups, wanted: pa.Schema) -> Iterator[pa.RecordBatch]:
        stored = self._stored(table, groups)
        if not any(stored.values()):
            return
        connection = stack.enter_context(self._server.connect_for_arrow(_ONE_MOMENT))
        for schema, keys in groups.items():
            if stored[schema]:
                # The block around the connection explains what goes wrong only where it is left: not here.
                with self._server.explained():
                    if role := self._role(schema):
                        with connection.cursor() as cursor:
                            cursor.execute(f"SET LOCAL ROLE {quote(role, 'postgres')}")
                    yield from select_rows(connection, table, schema, keys, wanted=wanted, stored=stored[schema])

    def _stored(self, table: Table, groups: Groups) -> dict[str, Mapping[str, object]]:
        with self._server.connect() as connection:
            return {schema: stored_columns(connection, table, schema, self._server.subject) for schema in groups}

    def _role(self, schema: str) -> str | None:
        return role_of(schema) if self._roles else None
