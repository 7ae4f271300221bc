"""Text (or a file's own type) to a contract's type, exactly or not at all.

Each cast gives null where the value does not read exactly as the type: a digit too many, a date that does not exist,
a local time that the clocks skipped. Nothing is rounded, wrapped or guessed.

Belongs here: which cast serves which type, text and booleans. Not here: numbers (`cast_numbers.py`), dates and
timestamps (`cast_times.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from etl_platform.limits import CAST_CELLS, SHORT_ROWS
from etl_platform.readers.parquet.types import instant_text
from etl_platform.transforms.cast_numbers import (
    are_plain_decimals,
    digits_of,
    finite,
    to_decimal,
    to_decimals,
    to_float,
    to_integer,
)
from etl_platform.transforms.cast_times import to_date, to_datetime
from etl_platform.transforms.dialect import Dialect

__all__ = ["Dialect", "cast_columns", "cast_series", "shown_text"]

_TOGETHER = (pl.Int64, pl.Int32, pl.Float64, pl.Boolean, pl.Date, pl.Datetime)
_TRUE, _FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


def cast_series(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as `dtype`; null where a value does not fit exactly (and where it was null)."""
    return _cast(values, dtype, dialect).alias(values.name)


def cast_columns(columns: Sequence[tuple[pl.Series, pl.DataType, Dialect]]) -> list[pl.Series]:
    """Columns of one frame with their type and dialect, each as `cast_series` gives it."""
    plain = {
        at: (values, dtype)
        for at, (values, dtype, dialect) in enumerate(columns)
        if isinstance(dtype, pl.Decimal) and are_plain_decimals(values.dtype, dtype, dialect)
    }
    found = dict(zip(plain, to_decimals(list(plain.values())), strict=True)) if plain else {}
    for alike in _alike(columns):
        found |= _cast_in_one([columns[at] for at in alike], alike)
    return [
        found[at].alias(column[0].name) if at in found else cast_series(*column) for at, column in enumerate(columns)
    ]


def _alike(columns: Sequence[tuple[pl.Series, pl.DataType, Dialect]]) -> list[list[int]]:
    """Places of short columns of text that are cast in the same way, where there are several."""
    groups: dict[tuple[pl.DataType, Dialect], list[int]] = {}
    for at, (values, dtype, dialect) in enumerate(columns):
        if values.dtype == pl.String and isinstance(dtype, _TOGETHER) and len(values) <= SHORT_ROWS:
            groups.setdefault((dtype, dialect), []).append(at)
    most = CAST_CELLS // SHORT_ROWS
    parts = [alike[start : start + most] for alike in groups.values() for start in range(0, len(alike), most)]
    return [part for part in parts if len(part) > 1]


def _cast_in_one(
    columns: Sequence[tuple[pl.Series, pl.DataType, Dialect]], places: Sequence[int]
) -> dict[int, pl.Series]:
    """Columns that are cast in the same way, one below the other: what becomes of a value rests on that value alone."""
    rows = len(columns[0][0])
    _, dtype, dialect = columns[0]
    joined = _cast(pl.concat([values.alias("") for values, _, _ in columns]), dtype, dialect)
    return {at: joined.slice(number * rows, rows) for number, at in enumerate(places)}


def _cast(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    if _has_no_text(values.dtype):
        return pl.repeat(None, len(values), dtype=dtype, eager=True)
    if values.dtype == pl.Binary:
        values = _decoded(values)
    if values.dtype == dtype and not dtype.is_temporal():
        return finite(values) if dtype.is_float() else values
    if values.dtype.is_numeric():
        dialect = Dialect(time_zone=dialect.time_zone)  # a typed number has no marks of its own
    for kind, cast in _CASTS.items():
        if isinstance(dtype, kind):
            return cast(values, dtype, dialect)
    raise TypeError(f"no exact cast to {dtype}")


def _has_no_text(dtype: pl.DataType) -> bool:
    """Whether values of this type (lists, structs, durations) stand for no single value of a contract."""
    return dtype.is_nested() or dtype in (pl.Duration, pl.Object)


def shown_text(values: pl.Series) -> pl.Series:
    """`values` as text for people, whatever their type."""
    if _has_no_text(values.dtype):
        return pl.repeat(f"a value of type {values.dtype}", len(values), dtype=pl.String, eager=True)
    if isinstance(values.dtype, pl.Date | pl.Datetime):
        return values.to_frame("v").select(instant_text(pl.col("v"), values.dtype)).to_series()
    return values.bin.encode("hex") if values.dtype == pl.Binary else values.cast(pl.String)


def _decoded(values: pl.Series) -> pl.Series:
    """Bytes as the UTF-8 text they hold (older Parquet writers store text so), null where they are none.

    A NUL is refused as the readers refuse it in text: no database stores it.
    """
    try:
        text = values.cast(pl.String)
    except pl.exceptions.ComputeError:
        text = pl.Series([_text_or_none(value) for value in values], dtype=pl.String)
    return text.to_frame("v").select(pl.when(~pl.col("v").str.contains("\0", literal=True)).then("v")).to_series()


def _text_or_none(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _to_string(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    return digits_of(values) if values.dtype.is_numeric() else values.cast(pl.String)


def _to_boolean(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    text = pl.col("v").str.strip_chars().str.to_lowercase()
    decided = pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False)
    return values.cast(pl.String).to_frame("v").select(decided).to_series()


_CASTS: dict[type[pl.DataType], Callable[[pl.Series, pl.DataType, Dialect], pl.Series]] = {
    pl.Decimal: to_decimal,
    pl.Int64: to_integer,
    pl.Int32: to_integer,
    pl.Float64: to_float,
    pl.String: _to_string,
    pl.Boolean: _to_boolean,
    pl.Date: to_date,
    pl.Datetime: to_datetime,
}
