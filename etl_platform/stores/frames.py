"""The frame types that assets give and take, to and from Arrow batches in a table's schema.

Belongs here: one function per type and direction, and the registries that route to them. Not here: Dagster
(`defs/io_manager.py`), which rows may be written (`partition_guard.py`).
Column order is free. Missing, extra and differently typed columns are refused together, by name; a type is
widened only where every value stays the same (`exact_types.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from etl_platform.contracts.table import Table
from etl_platform.errors import SchemaMismatchError, UnsupportedTypeError
from etl_platform.limits import TABLE_BATCH_BYTES, TABLE_BATCH_ROWS
from etl_platform.stores.exact_types import cast_exactly, is_exact

Batches = Iterator[pa.RecordBatch]
Read = Callable[[Sequence[str] | None], Batches]
"""`read(columns)`: a fresh stream of the wanted rows, of all or of some columns."""


def to_batches(value: object, table: Table, subject: str) -> Batches:
    """The rows of `value` in `table.arrow_schema`. The type and columns are checked before this returns.

    Raises UnsupportedTypeError, SchemaMismatchError. `subject` names the asset in messages.
    """
    for known, convert in _GIVEN.items():
        if isinstance(value, known):
            return convert(value, table, subject)
    raise UnsupportedTypeError(
        subject,
        found="no value (None)" if value is None else f"a value of type {_name(type(value))}",
        expected=" or ".join(map(_name, _GIVEN)),
        next_step="return one of these from the asset" + (", or annotate it `-> None`" if value is None else ""),
    )


def from_batches(wanted: object, table: Table, columns: Sequence[str] | None, read: Read, subject: str) -> Any:
    """The rows of `read` as the annotated type `wanted`; a parameter without annotation gets a pl.DataFrame.

    Raises UnsupportedTypeError.
    """
    kind = pl.DataFrame if wanted is Any or wanted is None else wanted
    for known, convert in _TAKEN.items():
        if kind is known:
            return convert(table, list(columns or table.arrow_schema.names), read)
    raise UnsupportedTypeError(
        subject,
        found=f"a parameter annotated {_name(wanted)}",
        expected=" or ".join(map(_name, _TAKEN)),
        next_step="annotate the parameter with one of these",
    )


def align(schema: pa.Schema, batch: pa.RecordBatch, subject: str) -> pa.RecordBatch:
    """`batch` with the columns of `schema` in its order and types. Raises SchemaMismatchError for an inexact value."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    names = schema.names
    columns = batch.columns if batch.schema.names == names else [batch.column(name) for name in names]
    arrays = []
    for field, values in zip(schema, columns, strict=True):
        try:
            arrays.append(cast_exactly(values, field.type))
        except pa.ArrowInvalid as error:
            raise SchemaMismatchError(
                f"{subject} column {field.name}",
                found=f"{values.type} with a value that {field.type} does not hold exactly ({error})",
                expected=str(field.type),
                next_step="round or convert the column in the asset, where the rule for it is known",
            ) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def require_columns(table: Table, found: pa.Schema, subject: str) -> None:
    """Raises SchemaMismatchError that names every missing, extra and differently typed column."""
    names = found.names
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    differences = [f"two columns of one name: {name}" for name in twice] or _differences(table.arrow_schema, found)
    if differences:
        raise SchemaMismatchError(
            subject,
            found="; ".join(differences),
            expected=f"the columns of table {table.layer}/{table.name}",
            next_step="select and cast the columns in the asset, or change the contract",
        )


def _differences(expected: pa.Schema, found: pa.Schema) -> list[str]:
    # `Schema.names` makes a list of all of them at each look.
    wanted, given = ({field.name: field.type for field in schema} for schema in (expected, found))
    differences = [f"missing {name} ({kind})" for name, kind in wanted.items() if name not in given]
    differences += [f"extra {name} ({kind})" for name, kind in given.items() if name not in wanted]
    differences += [
        f"{name} is {given[name]} instead of {kind}"
        for name, kind in wanted.items()
        if name in given and not is_exact(given[name], kind)
    ]
    return differences


def _aligned(batches: Batches, table: Table, subject: str) -> Batches:
    return (align(table.arrow_schema, part, subject) for batch in batches for part in _cut(batch))


def _cut(batch: pa.RecordBatch) -> Batches:
    # Known at once; what a part of larger buffers takes is not.
    if batch.num_rows and batch.num_rows <= TABLE_BATCH_ROWS and batch.get_total_buffer_size() <= TABLE_BATCH_BYTES:
        yield batch
        return
    step = _rows_at_once(batch.num_rows, batch.nbytes)
    yield from (batch.slice(start, step) for start in range(0, batch.num_rows, step))


def _rows_at_once(rows: int, size: int) -> int:
    return max(1, min(TABLE_BATCH_ROWS, TABLE_BATCH_BYTES * rows // max(size, 1)))


def _given_arrow(reader: pa.RecordBatchReader, table: Table, subject: str) -> Batches:
    require_columns(table, reader.schema, subject)
    return _aligned(iter(reader), table, subject)


def _given_arrow_table(data: pa.Table, table: Table, subject: str) -> Batches:
    return _given_arrow(data.to_reader(TABLE_BATCH_ROWS), table, subject)


def _given_polars(frame: pl.DataFrame, table: Table, subject: str) -> Batches:
    if frame.columns != list(table.polars_schema) or frame.dtypes != list(table.polars_schema.values()):
        require_columns(table, _arrow_schema(tuple(frame.schema.items())), subject)
    # Sliced before it is converted: the Arrow copy of a whole frame would double its memory.
    step = _rows_at_once(frame.height, int(frame.estimated_size()))
    return _aligned(map(_to_arrow, frame.iter_slices(step)), table, subject)


def _given_lazy(frame: pl.LazyFrame, table: Table, subject: str) -> Batches:
    require_columns(table, _arrow_schema(tuple(frame.collect_schema().items())), subject)

    def collected() -> Batches:
        # `lazy` starts the query at the first request; polars then stays a few chunks ahead of the store at most.
        for part in frame.select(table.arrow_schema.names).collect_batches(
            chunk_size=TABLE_BATCH_ROWS, maintain_order=True, lazy=True, engine="streaming"
        ):
            yield _to_arrow(part)

    return _aligned(collected(), table, subject)


def _given_pandas(frame: pd.DataFrame, table: Table, subject: str) -> Batches:
    # By position: pandas allows two columns of one name, and gives both for it.
    names = [str(name) for name in frame.columns]
    arrays = [_from_series(frame.iloc[:, n], subject) for n in range(len(names))]
    return _given_arrow_table(pa.table(arrays, names=names), table, subject)


def _from_series(series: pd.Series[Any], subject: str) -> pa.Array | pa.ChunkedArray:
    try:
        values = pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SchemaMismatchError(
            f"{subject} column {series.name}",
            found=f"values of mixed types ({error})",
            expected="one type per column",
            next_step="convert the values in the asset",
        ) from None
    if pa.types.is_date32(values.type) and series.dtype == object:
        # Arrow takes datetimes among dates and drops their time of day.
        instants = pd.to_datetime(series.dropna())
        if not instants.equals(instants.dt.normalize()):
            return pa.array(pd.to_datetime(series), from_pandas=True)
    return values


def _take_arrow(table: Table, columns: list[str], read: Read) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(subset(table, columns), read(columns))


def _take_arrow_table(table: Table, columns: list[str], read: Read) -> pa.Table:
    return _take_arrow(table, columns, read).read_all()


def _take_polars(table: Table, columns: list[str], read: Read) -> pl.DataFrame:
    return pl.DataFrame(_take_arrow_table(table, columns, read))


def _take_lazy(table: Table, columns: list[str], read: Read) -> pl.LazyFrame:
    schema = pl.Schema({name: table.polars_schema[name] for name in columns})

    def stream(
        wanted: list[str] | None, predicate: pl.Expr | None, rows: int | None, batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        left = rows
        for batch in read(columns if wanted is None else wanted):
            frame = pl.DataFrame(batch)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if left == 0:
                return

    return register_io_source(stream, schema=schema, is_pure=True)


def _take_pandas(table: Table, columns: list[str], read: Read) -> pd.DataFrame:
    # Nullable integers and booleans whatever the rows hold: pandas would turn them into floats at the first null.
    types = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = _take_arrow_table(table, columns, read).to_pandas(types_mapper=types.get, date_as_object=True)
    return frame


def subset(table: Table, columns: Sequence[str] | None) -> pa.Schema:
    """The Arrow schema of `columns` of the table, in the given order; all of them for None."""
    schema = table.arrow_schema
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


@lru_cache(maxsize=256)
def _arrow_schema(columns: tuple[tuple[str, pl.DataType], ...]) -> pa.Schema:
    return _to_arrow(pl.DataFrame(schema=dict(columns))).schema


def _to_arrow(frame: pl.DataFrame) -> pa.RecordBatch:
    """`frame` in one piece: a frame of many partitions is often one of many chunks, and a batch costs the same for one
    row as for thousands. Column by column: `DataFrame.to_arrow` wakes all threads of Polars even for a single row."""
    columns = [column.to_arrow(compat_level=pl.CompatLevel.oldest()) for column in frame.get_columns()]
    return pa.RecordBatch.from_arrays(columns, names=frame.columns)


def _name(kind: object) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}" if isinstance(kind, type) else str(kind)


_GIVEN: dict[type, Callable[[Any, Table, str], Batches]] = {
    pl.DataFrame: _given_polars,
    pl.LazyFrame: _given_lazy,
    pa.Table: _given_arrow_table,
    pa.RecordBatchReader: _given_arrow,
    pd.DataFrame: _given_pandas,
}
_TAKEN: dict[type, Callable[[Table, list[str], Read], Any]] = {
    pl.DataFrame: _take_polars,
    pl.LazyFrame: _take_lazy,
    pa.Table: _take_arrow_table,
    pa.RecordBatchReader: _take_arrow,
    pd.DataFrame: _take_pandas,
}
