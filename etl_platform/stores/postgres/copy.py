"""Rows into a table: Arrow batches, encoded here, sent by a second thread as one COPY.

Making the next rows, encoding them and waiting for the server overlap; what waits between is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.copy import QueuedLibpqWriter

from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import Table
from etl_platform.limits import ENCODED_ROWS, QUEUED_PIECES
from etl_platform.stores.postgres.connection import Connection
from etl_platform.stores.postgres.encode import Encoder


class _BoundedWriter(QueuedLibpqWriter):
    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        super().__init__(cursor)
        self._queue = type(self._queue)(maxsize=QUEUED_PIECES)


def copy_rows(connection: Connection, table: Table, schema: str, batches: Iterable[pa.RecordBatch]) -> tuple[int, int]:
    """Append the rows of `batches` in the open transaction; how many rows and bytes went out."""
    # pgpq writes by position, so the columns are always spelled out.
    columns = ", ".join(quote(name, "postgres") for name in table.arrow_schema.names)
    statement = f"COPY {qualify(schema, table.name, 'postgres')} ({columns}) FROM STDIN WITH (FORMAT BINARY)"
    rows = size = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(statement.encode(), writer=_BoundedWriter(cursor)) as copy,
    ):
        for count, data in _encoded(table, batches):
            copy.write(data)
            rows, size = rows + count, size + len(data)
    return rows, size


def _encoded(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, bytes]]:
    """The stream in pieces, each with the number of rows that went into it."""
    encoder = Encoder(table)
    yield 0, encoder.begin()
    for batch in batches:
        for start in range(0, batch.num_rows, ENCODED_ROWS):
            part = batch.slice(start, ENCODED_ROWS)
            yield part.num_rows, encoder.encode(part)
    yield 0, encoder.end()
