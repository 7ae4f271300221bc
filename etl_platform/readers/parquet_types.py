"""Arrow types as Polars can hold them without loss, and a row of typed values as JSON text.

Belongs here: types. Not here: files.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from etl_platform.readers.records import shorten

# Polars holds decimals of 128 bits.
_MOST_DIGITS = 38


def exact_type(held: pa.DataType) -> pa.DataType:
    """The type to read a column as: itself, or one that holds every value of it and that Polars knows."""
    if pa.types.is_dictionary(held):
        return exact_type(held.value_type)
    if pa.types.is_decimal(held):
        if held.precision > _MOST_DIGITS or held.scale < 0 or held.scale > held.precision:
            return pa.string()
        return pa.decimal128(held.precision, held.scale)
    if pa.types.is_float16(held):
        return pa.float32()
    if pa.types.is_date64(held):
        return pa.date32()
    return held


def is_text(held: pa.DataType) -> bool:
    """True for text and bytes of any length, also as a dictionary."""
    if pa.types.is_dictionary(held):
        return is_text(held.value_type)
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(kind(held) for kind in kinds)


def row_as_json(frame: pl.DataFrame, indices: pl.Series) -> pl.Series:
    """The rows at `indices` as JSON objects: the raw text of a format that has none."""
    rows = frame.select(pl.all().gather(indices))
    if not rows.width:
        return pl.repeat("{}", len(indices), dtype=pl.String, eager=True)
    packed = rows.select(_plain(pl.col(name), dtype) for name, dtype in rows.schema.items())
    return shorten(packed.select(pl.struct(pl.all()).struct.json_encode()).to_series())


def _plain(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Binary():
        return column.bin.encode("hex")
    # NaN and infinity have no JSON number: as text they stay visible.
    if dtype.is_float() or (dtype.is_temporal() and not isinstance(dtype, pl.Duration)):
        return column.cast(pl.String)
    return column
