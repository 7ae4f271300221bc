"""Rows of partitions, streamed as Arrow in exactly the types of the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from etl_platform.contracts.table import Table
from etl_platform.errors import SchemaMismatchError
from etl_platform.stores.frames import subset
from etl_platform.stores.snowflake.account import SnowflakeSession
from etl_platform.stores.snowflake.errors import translate
from etl_platform.stores.snowflake.files import StageTarget
from etl_platform.stores.snowflake.schema import stored_columns
from etl_platform.stores.snowflake.statements import qualified, select, where_partitions


def read_target(
    session: SnowflakeSession, table: Table, target: StageTarget, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """The rows of one schema's partitions; none where the table was never written."""
    import snowflake.connector.errors as connector

    stored = stored_columns(session, table, target.schema)
    if not stored:
        return
    wanted = subset(table, columns)
    # A column that the contract gained later is null until the table is written again.
    there = [name for name in wanted.names if name.upper() in stored]
    condition, values = where_partitions(table, target.partitions)
    where = f"{session.subject} table {qualified(target.schema, table.name)}"
    # Some column keeps the number of rows when none of the wanted ones is stored yet.
    cursor = session.execute(select(table, target.schema, there or [table.columns[0].name], condition), *values)
    try:
        for chunk in cursor.fetch_arrow_batches():
            yield from _exactly(chunk, wanted, where).to_batches()
    except (connector.Error, OSError) as error:
        raise translate(error, session.subject, session.account.redact) from error


def _exactly(chunk: pa.Table, wanted: pa.Schema, where: str) -> pa.Table:
    names = [name.lower() for name in chunk.schema.names]
    arrays = []
    for field in wanted:
        if field.name not in names:
            arrays.append(pa.chunked_array([pa.nulls(chunk.num_rows, field.type)]))
            continue
        values = chunk.column(names.index(field.name))
        try:
            arrays.append(_cast(values, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatchError(
                f"{where} column {field.name}", found=f"{values.type}: {error}", expected=f"values of {field.type}"
            ) from error
    return pa.table(arrays, schema=wanted)


def _cast(values: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_decimal(target) and pa.types.is_floating(values.type):
        raise pa.ArrowInvalid("the connector sent binary floats for decimals (arrow_number_to_decimal is off)")
    if pa.types.is_list(target):
        # An ARRAY travels as JSON text.
        texts = pl.Series(values.cast(pa.string()).combine_chunks())
        decoded = texts.str.json_decode(pl.List(pl.String())).to_arrow(compat_level=pl.CompatLevel.oldest())
        return pa.chunked_array([decoded]).cast(target)
    return values.cast(target, safe=True)
