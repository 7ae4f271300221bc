"""Arrow types as Polars can hold them without loss, and a row of typed values as JSON text.

Belongs here: types. Not here: files.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa

from etl_platform.readers.records import shorten

# Polars holds decimals of 128 bits.
_MOST_DIGITS = 38
# Days since 1970 of the years 1 to 9999.
_DAYS = (-719_162, 2_932_896)
_PER_DAY = {"ms": 86_400 * 10**3, "us": 86_400 * 10**6, "ns": 86_400 * 10**9}


def exact_type(held: pa.DataType) -> pa.DataType:
    """The type to read a column as: itself, or one that holds every value of it and that Polars knows."""
    if pa.types.is_dictionary(held):
        return exact_type(held.value_type)
    if pa.types.is_decimal(held):
        if held.precision > _MOST_DIGITS or held.scale < 0 or held.scale > held.precision:
            return pa.string()
        return pa.decimal128(held.precision, held.scale)
    if pa.types.is_date64(held):
        return pa.date32()
    if pa.types.is_timestamp(held) and held.tz and not _is_known(held.tz):
        return pa.timestamp(held.unit, "UTC")
    return _exact_within(held) if pa.types.is_nested(held) else held


@lru_cache(maxsize=1_000)
def _is_known(zone: str) -> bool:
    """Whether Polars knows `zone`: not `+05:30`, `Z` or `UTC+01:00`. It is a label, the stored instant is in UTC."""
    try:
        pl.from_arrow(pa.array([], pa.timestamp("us", zone)))
    except pl.exceptions.PolarsError:
        return False
    return True


def _exact_within(held: pa.DataType) -> pa.DataType:
    """Nested types alike: one odd type in a column that nobody asked for is no reason to refuse a file."""
    if pa.types.is_struct(held):
        return pa.struct(
            [held.field(index).with_type(exact_type(held.field(index).type)) for index in range(held.num_fields)]
        )
    if pa.types.is_map(held):
        return pa.map_(exact_type(held.key_type), held.item_field.with_type(exact_type(held.item_type)))
    if not (pa.types.is_list(held) or pa.types.is_large_list(held) or pa.types.is_fixed_size_list(held)):
        return held
    value = held.value_field.with_type(exact_type(held.value_type))
    if pa.types.is_fixed_size_list(held):
        return pa.list_(value, held.list_size)
    return pa.large_list(value) if pa.types.is_large_list(held) else pa.list_(value)


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
    packed = rows.select(plain_json(pl.col(name), dtype).alias(name) for name, dtype in rows.schema.items())
    return shorten(packed.select(pl.struct(pl.all()).struct.json_encode()).to_series())


def plain_json(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """What Polars can write as JSON without error or panic, and what stays visible in it."""
    if dtype == pl.Binary():
        return column.bin.encode("hex")
    if isinstance(dtype, pl.Date | pl.Datetime):
        return instant_text(column, dtype)
    # NaN and infinity have no JSON number: as text they stay visible.
    if dtype.is_float() or dtype == pl.Time():
        return column.cast(pl.String)
    return _plain_within(column, dtype) if dtype.is_nested() else column


def _plain_within(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Map):
        # A JSON object has text for keys; other keys are shown as pairs.
        pair = pl.Struct({"key": dtype.key, "value": dtype.value})
        value = _instance(dtype.value)
        is_object = dtype.key == pl.String and (value.is_integer() or value in (pl.String, pl.Boolean))
        return column if is_object else plain_json(column.map.entries(), pl.List(pair))
    if isinstance(dtype, pl.List):
        return column.list.eval(plain_json(pl.element(), _instance(dtype.inner)))
    if isinstance(dtype, pl.Array):
        return column.arr.to_list().list.eval(plain_json(pl.element(), _instance(dtype.inner)))
    if isinstance(dtype, pl.Struct) and dtype.fields:
        fields = [plain_json(column.struct.field(f.name), _instance(f.dtype)).alias(f.name) for f in dtype.fields]
        return pl.when(column.is_not_null()).then(pl.struct(fields))
    return column


def instant_text(column: pl.Expr, dtype: pl.Date | pl.Datetime) -> pl.Expr:
    """Dates and timestamps as text; beyond the calendar, where Polars panics, the bare number that is stored."""
    number = column.to_physical().cast(pl.Int64)
    per_day = _PER_DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
    is_shown = number.is_between(_DAYS[0] * per_day, (_DAYS[1] + 1) * per_day - 1)
    return pl.when(is_shown).then(column).cast(pl.String).fill_null(number.cast(pl.String))


def _instance(dtype: Any) -> pl.DataType:
    """Polars keeps some inner types as classes."""
    instance: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return instance
