"""Loads over the Arrow driver, for tables with a type that the faster encoder of `copy.py` does not know.

Belongs here: when that driver is needed, and a load's transaction and rows through it. Not here: reading (`read.py`),
which types Postgres holds (`contracts/ddl.py`). The driver has a connection of its own, so such a load runs over it
from the first lock to COMMIT.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pgpq
import pyarrow as pa

from etl_platform.contracts.table import Table
from etl_platform.stores.postgres.connection import Server
from etl_platform.stores.postgres.encode import require_storable

if TYPE_CHECKING:
    import adbc_driver_postgresql.dbapi as arrow_driver


class ArrowSession:
    """A transaction of the Arrow driver behind the few calls of `Session`."""

    def __init__(self, connection: arrow_driver.Connection) -> None:
        self._connection = connection

    def execute(self, query: bytes, params: Sequence[Any] | None = None, /) -> None:
        """Run one statement; `%s` are places of values, as for psycopg."""
        self._run(query, params)

    def fetch_row(self, query: bytes, params: Sequence[Any] | None = None, /) -> list[object]:
        """The first row of a query's result."""
        return list(self._run(query, params)[0])

    def ingest(self, table: Table, schema: str, batches: Iterable[pa.RecordBatch]) -> int:
        """Append the rows of `batches` in the open transaction; how many."""
        rows = 0
        with self._connection.cursor() as cursor:
            # One COPY per batch: an error of the asset crosses no C code on its way up, and keeps its type.
            for batch in batches:
                for name, values in zip(batch.schema.names, batch.columns, strict=True):
                    require_storable(f"table {table.layer}/{table.name} column {name}", values)
                cursor.adbc_ingest(table.name, batch, mode="append", db_schema_name=schema)
                rows += batch.num_rows
        return rows

    def _run(self, query: bytes, params: Sequence[Any] | None) -> list[tuple[object, ...]]:
        numbers = iter(range(1, len(params or ()) + 1))
        numbered = re.sub("%s", lambda _: f"${next(numbers)}", query.decode())
        with self._connection.cursor() as cursor:
            cursor.execute(numbered, params or None)
            # The statement is only done when its result has been taken.
            found: list[tuple[object, ...]] = cursor.fetchall()
        return found

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def needs_arrow_driver(table: Table) -> bool:
    """Whether the table has a type that the encoder of COPY BINARY does not know."""
    try:
        pgpq.ArrowToPostgresBinaryEncoder(table.arrow_schema)
    except ValueError:
        return True
    return False


@contextmanager
def connect_session(server: Server) -> Iterator[ArrowSession]:
    """A transaction for one load, in which each statement sees what was committed before it."""
    with server.connect_for_arrow("READ COMMITTED") as connection:
        yield ArrowSession(connection)
