"""Text (or a file's own type) to a contract's type, exactly or not at all.

Each cast returns an expression that is null where the value does not read exactly as the type: a digit too many,
a date that does not exist, a local time that the clocks skipped. Nothing is rounded, wrapped or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import polars as pl

SCIENTIFIC = r"^[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d{1,3}$"
_TRUE, _FALSE = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")
_ISO_DATETIMES = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M", "%Y-%m-%d",
)  # fmt: skip
_EARLIEST_YEAR = 1000
_MICROSECONDS_ONLY = r"[.,]\d{6}0*[1-9]"
"""More than six fractional digits, not all zero: the type cannot hold them."""


@dataclass(frozen=True)
class Dialect:
    """How text stands for values: number marks, date and time formats, and the zone of times without offset."""

    decimal: str = "."
    thousands: str = ""
    datetime_formats: tuple[str, ...] = ()
    date_formats: tuple[str, ...] = ()
    time_zone: str = "UTC"


def cast_series(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as `dtype`; null where a value does not fit exactly (and where it was null)."""
    if values.dtype == dtype:
        return _finite(values)
    if values.dtype.is_float() and not isinstance(dtype, pl.Float64):
        values = _shortest_text(values) if not isinstance(dtype, pl.Int64 | pl.Int32) else _whole(values)
        dialect = Dialect(time_zone=dialect.time_zone)
    elif values.dtype.is_decimal() or values.dtype.is_integer():
        dialect = Dialect(time_zone=dialect.time_zone)  # a typed number has no marks of its own
    for kind, cast in _CASTS.items():
        if isinstance(dtype, kind):
            return cast(values, dtype, dialect)
    raise TypeError(f"no exact cast to {dtype}")


def _finite(values: pl.Series) -> pl.Series:
    return values if not values.dtype.is_float() else pl.select(pl.when(values.is_finite()).then(values)).to_series()


def _shortest_text(values: pl.Series) -> pl.Series:
    """A binary float as the shortest decimal text with 15 significant digits: all that a double guarantees, so
    that 104.06000000000002 reads as the 104.06 that was meant."""
    finite = _finite(values.cast(pl.Float64))
    return finite.to_frame("v").select(pl.col("v").round_sig_figs(15).cast(pl.String)).to_series()


def _whole(values: pl.Series) -> pl.Series:
    """Floats that are whole numbers within 2**53 (beyond it a double skips integers), else null."""
    frame = values.cast(pl.Float64).to_frame("v")
    exact = (pl.col("v").is_finite()) & (pl.col("v") == pl.col("v").round(0)) & (pl.col("v").abs() <= 2**53)
    return frame.select(pl.when(exact).then(pl.col("v")).cast(pl.Int64, strict=False)).to_series()


def _plain_number(values: pl.Series, dialect: Dialect) -> pl.Series:
    """Number text with `.` as decimal mark and no thousands marks, surrounding blanks dropped."""
    column = pl.col("v").str.strip_chars()
    if dialect.thousands:
        mark = re.escape(dialect.thousands)
        grouped = rf"^[+-]?\d{{1,3}}({mark}\d{{3}})+({re.escape(dialect.decimal)}\d*)?$"
        bare = column.str.replace_all(dialect.thousands, "", literal=True)
        # 1.23 with `.` as thousands mark is no grouping: it stays as it is and fails the cast.
        column = pl.when(column.str.contains(grouped)).then(bare).otherwise(column)
        column = pl.when(column.str.contains(dialect.thousands, literal=True)).then(None).otherwise(column)
    if dialect.decimal != ".":
        column = (
            pl.when(column.str.contains(".", literal=True))
            .then(None)
            .otherwise(column.str.replace(dialect.decimal, ".", literal=True))
        )
    text = values.cast(pl.String).to_frame("v").select(column).to_series()
    return _without_exponents(text)


def _without_exponents(text: pl.Series) -> pl.Series:
    """`1.5e3` as `1500`: rare, so only those values leave the vectorised path."""
    marked = text.str.contains("[eE]")
    if not marked.any():
        return text
    found = text.filter(marked & text.str.contains(SCIENTIFIC)).unique()
    plain = {value: _expand(value) for value in found}
    return text.replace_strict(plain, default=text) if plain else text


def _expand(value: str) -> str | None:
    try:
        return format(Decimal(value), "f")
    except InvalidOperation:
        return None


def _to_decimal(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    assert isinstance(dtype, pl.Decimal)
    source = values.dtype
    if isinstance(source, pl.Decimal) and source.scale <= dtype.scale and _digits(source) <= _digits(dtype):
        return values.cast(dtype)
    if values.dtype == pl.String and (dialect.decimal, dialect.thousands) == (".", ""):
        return _rest_by(values, _quick_decimal(values, dtype), lambda rest: _checked_decimal(rest, dtype, dialect))
    return _checked_decimal(values, dtype, dialect)


def _quick_decimal(text: pl.Series, dtype: pl.Decimal) -> pl.Series:
    """Eight times cheaper than the pattern: read nine decimals more than the type has and see that they are zero.

    Text longer than those decimals could hide a digit behind them, so it is left (null) to the pattern.
    """
    wide = pl.Decimal(38, dtype.scale + 9)
    short = pl.when(pl.col("v").str.len_bytes() <= dtype.scale + 9).then(pl.col("v"))
    frame = text.to_frame("v").select(wide=short.cast(wide, strict=False))
    limit = pl.lit(10 ** _digits(dtype)).cast(wide)
    fits = pl.col("wide").abs() < limit
    narrow = frame.with_columns(narrow=pl.when(fits).then(pl.col("wide")).cast(dtype, strict=False))
    return narrow.select(pl.when(pl.col("narrow").cast(wide) == pl.col("wide")).then(pl.col("narrow"))).to_series()


def _rest_by(values: pl.Series, quick: pl.Series, careful: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`quick` where it decided; `careful` for the values that it left."""
    left = quick.is_null() & values.is_not_null()
    if not left.any():
        return quick
    return quick.scatter(left.arg_true(), careful(values.filter(left)))


def _checked_decimal(values: pl.Series, dtype: pl.Decimal, dialect: Dialect) -> pl.Series:
    text = _plain_number(values, dialect)
    # A cast rounds surplus decimals without a word and raises beyond the precision: the pattern decides first.
    fits = rf"^[+-]?0*(\d{{1,{max(1, _digits(dtype))}}}(\.\d{{0,{dtype.scale}}}0*)?|\.\d{{1,{dtype.scale}}}0*)$"
    exact = pl.when(pl.col("v").str.contains(fits)).then(pl.col("v"))
    # 18 digits and more of fraction overflow the parser although the surplus is zeros: drop them first.
    trimmed = exact.str.replace(rf"(\.\d{{{dtype.scale}}})0+$", "${1}")
    return text.to_frame("v").select(trimmed.cast(dtype, strict=False)).to_series()


def _digits(dtype: pl.Decimal) -> int:
    """Digits before the decimal mark."""
    return (dtype.precision or 38) - dtype.scale


def _to_integer(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    if values.dtype.is_integer():
        return values.cast(dtype, strict=False)
    if values.dtype == pl.Boolean:
        return pl.Series(values.name, [None] * len(values), dtype)
    if values.dtype == pl.String:
        quick = values.cast(dtype, strict=False)
        return _rest_by(values, quick, lambda rest: _checked_integer(rest, dtype, dialect))
    return _checked_integer(values, dtype, dialect)


def _checked_integer(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    text = _plain_number(values, dialect)
    whole = pl.when(pl.col("v").str.contains(r"^[+-]?\d+(\.0*)?$")).then(pl.col("v").str.replace(r"\.0*$", ""))
    return text.to_frame("v").select(whole.str.strip_prefix("+").cast(dtype, strict=False)).to_series()


def _to_float(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    if values.dtype.is_numeric():
        return _finite(values.cast(dtype))
    text = _plain_number(values, dialect) if dialect.decimal != "." or dialect.thousands else values.cast(pl.String)
    return _finite(text.str.strip_chars().cast(dtype, strict=False))


def _to_string(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    return values.cast(pl.String)


def _to_boolean(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    text = pl.col("v").str.strip_chars().str.to_lowercase()
    decided = pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False)
    return values.cast(pl.String).to_frame("v").select(decided).to_series()


def _to_date(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        at_midnight = pl.col("v").dt.time() == pl.time(0)
        return values.to_frame("v").select(pl.when(at_midnight).then(pl.col("v").dt.date())).to_series()
    text = values.cast(pl.String).str.strip_chars()
    return _first_format(text, dialect.date_formats or ("%Y-%m-%d",), lambda s, f: s.str.to_date(f, strict=False))


def _to_datetime(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        exact = pl.col("v").cast(pl.Datetime("us", values.dtype.time_zone))
        lossless = exact.cast(values.dtype) == pl.col("v")
        held = values.to_frame("v").select(pl.when(lossless).then(exact)).to_series()
        return held.dt.convert_time_zone("UTC") if values.dtype.time_zone else _localise(held, dialect.time_zone)
    if values.dtype == pl.Date:
        return _localise(values.cast(pl.Datetime("us")), dialect.time_zone)
    column = pl.col("v").str.strip_chars()
    text = values.cast(pl.String).to_frame("v").select(
        pl.when(~column.str.contains(_MICROSECONDS_ONLY)).then(column)
    ).to_series()  # fmt: skip

    def parse(series: pl.Series, fmt: str) -> pl.Series:
        if "%z" in fmt or "%#z" in fmt or "%:z" in fmt:
            return series.str.to_datetime(fmt, time_unit="us", time_zone="UTC", strict=False)
        return _localise(series.str.to_datetime(fmt, time_unit="us", strict=False), dialect.time_zone)

    return _first_format(text, dialect.datetime_formats or _ISO_DATETIMES, parse)


def _localise(naive: pl.Series, time_zone: str) -> pl.Series:
    """Local civil times as UTC; null in the hour that the clocks skip and in the hour that they repeat."""
    if time_zone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    zoned = naive.dt.replace_time_zone(time_zone, ambiguous="null", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def _first_format(text: pl.Series, formats: tuple[str, ...], parse: Callable[[pl.Series, str], pl.Series]) -> pl.Series:
    """Each value by the first format that reads it; a further format is tried only while values are left."""
    result = parse(text, formats[0])
    for fmt in formats[1:]:
        left = result.is_null() & text.is_not_null()
        if not left.any():
            break
        result = result.zip_with(~left, parse(text, fmt))
    # `%Y` also takes two digits and makes 25 the year 25: nobody means that.
    return result.to_frame("v").select(pl.when(pl.col("v").dt.year() >= _EARLIEST_YEAR).then(pl.col("v"))).to_series()


_CASTS: dict[type[pl.DataType], Callable[[pl.Series, pl.DataType, Dialect], pl.Series]] = {
    pl.Decimal: _to_decimal,
    pl.Int64: _to_integer,
    pl.Int32: _to_integer,
    pl.Float64: _to_float,
    pl.String: _to_string,
    pl.Boolean: _to_boolean,
    pl.Date: _to_date,
    pl.Datetime: _to_datetime,
}
