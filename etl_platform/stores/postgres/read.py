"""Rows out of a table, streamed as Arrow batches in the table's exact types.

The Arrow driver reads COPY BINARY itself, in C. It knows no decimals: those of up to 18 digits travel as the
integers they are scaled from (measured twice as fast as text), wider ones as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import psycopg
import pyarrow as pa

from etl_platform.contracts.ddl import sql_type
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey, Table
from etl_platform.limits import POSTGRES_BATCH_BYTES

if TYPE_CHECKING:
    import adbc_driver_postgresql.dbapi as arrow_driver

_INTEGER_DIGITS = 18


def select_rows(
    connection: arrow_driver.Connection,
    table: Table,
    schema: str,
    keys: Sequence[PartitionKey],
    *,
    wanted: pa.Schema,
    stored: Mapping[str, object],
) -> Iterator[pa.RecordBatch]:
    """The rows of exactly `keys`, restricted to the columns of `wanted`; a column not in `stored` is null."""
    selected = ", ".join(_selected(table, field, stored) for field in wanted)
    with connection.cursor(
        adbc_stmt_kwargs={"adbc.postgresql.batch_size_hint_bytes": str(POSTGRES_BATCH_BYTES)}
    ) as cursor:
        condition = _bind(cursor, table, keys)
        source = qualify(schema, table.name, "postgres")
        cursor.execute(f"SELECT {selected} FROM {source} WHERE {condition}")  # noqa: S608 - checked names, bound values
        for batch in _received(cursor.fetch_record_batch()):
            if batch.num_rows:
                arrays = [_exact(values, field.type) for values, field in zip(batch.columns, wanted, strict=True)]
                yield pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _received(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches. Once rows flow, Arrow tells of the driver's troubles in errors of its own: here as a driver's."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except OSError as error:
            raise psycopg.OperationalError(str(error)) from None
        except pa.ArrowException as error:
            raise psycopg.DataError(str(error)) from None
        yield batch


def _selected(table: Table, field: pa.Field, stored: Mapping[str, object]) -> str:
    name = quote(field.name, "postgres")
    if field.name not in stored:
        # A column that the contract gained later is null until the table is written again.
        name = f"NULL::{sql_type(table.polars_schema[field.name], 'postgres')}"
    if _travels_as_integer(field.type):
        return f"({name} * {10**field.type.scale})::bigint AS {quote(field.name, 'postgres')}"
    return f"{name} AS {quote(field.name, 'postgres')}"


def _bind(cursor: arrow_driver.Cursor, table: Table, keys: Sequence[PartitionKey]) -> str:
    """A condition for exactly `keys` of one schema. COPY takes no parameters, so the values are bound to settings."""
    dates = "{" + ",".join(key.business_date.isoformat() for key in keys) + "}"
    _set(cursor, "etl.dates", dates)
    condition = f"{quote(BUSINESS_DATE, 'postgres')} = ANY (current_setting('etl.dates')::date[])"
    if table.shared:
        return condition
    _set(cursor, "etl.institution", keys[0].institution or "")
    return f"{condition} AND {quote(INSTITUTION, 'postgres')} = current_setting('etl.institution')"


def _set(cursor: arrow_driver.Cursor, name: str, value: str) -> None:
    cursor.execute("SELECT pg_catalog.set_config($1, $2, true)", (name, value))
    cursor.fetchall()


def _travels_as_integer(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_decimal128(dtype) and dtype.precision <= _INTEGER_DIGITS)


def _exact(values: pa.Array, dtype: pa.DataType) -> pa.Array:
    if _travels_as_integer(dtype):
        whole = values.cast(pa.decimal128(19, 0))
        # The same digits, read at the column's scale.
        return pa.Array.from_buffers(dtype, len(whole), whole.buffers(), whole.null_count, whole.offset)
    if isinstance(values, pa.ExtensionArray):
        return values.storage.cast(dtype)
    return values.cast(dtype)
