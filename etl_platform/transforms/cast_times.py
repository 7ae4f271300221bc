"""Dates and timestamps, exactly or not at all: text in a sender's formats, and a file's own temporal types.

Belongs here: which formats are tried, what is not held exactly. Not here: reading one format (`contracts/
time_formats.py`), numbers (`cast_numbers.py`), which cast serves which type (`casts.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

import polars as pl

from etl_platform.contracts.declared.time_formats import in_calendar, localise, read_date, read_datetime
from etl_platform.transforms.dialect import Dialect

_ISO_DATETIMES = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d",
)  # fmt: skip
_ISO_DATES = ("%Y-%m-%d",)
_FINER_THAN_MICROSECONDS = r"[.,]\d{6}0*[1-9]"
"""More than six fractional digits, not all zero: the type cannot hold them."""
_LEAP_SECOND = r"[0-9](:[0-5][0-9]:|\.[0-5][0-9]\.)60([^0-9]|$)|(^|[^0-9.,])([0-9]{8})?[0-9]{4}60([^0-9]|$)"
"""Second 60, which the parser makes the next minute. A fraction `.60` looks alike and is told apart by its value."""


def to_date(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as Date; null for a day that does not exist and for a timestamp that is not midnight."""
    if values.dtype == pl.Date:
        return in_calendar(values)
    if isinstance(values.dtype, pl.Datetime):
        held = in_calendar(values)
        at_midnight = pl.col("v").dt.time() == pl.time(0)
        return held.to_frame("v").select(pl.when(at_midnight).then(pl.col("v").dt.date())).to_series()
    text = values.cast(pl.String).str.strip_chars()
    return _first_format(text, dialect.date_formats or _ISO_DATES, read_date)


def to_datetime(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as Datetime in UTC microseconds; null where an instant is not certain or not held exactly."""
    if isinstance(values.dtype, pl.Datetime):
        zone = values.dtype.time_zone
        held = _microseconds(in_calendar(values), values.dtype)
        return held.dt.convert_time_zone("UTC") if zone else localise(held, dialect.time_zone)
    if values.dtype == pl.Date:
        return localise(in_calendar(values).cast(pl.Datetime("us")), dialect.time_zone)
    text = values.cast(pl.String).to_frame("v").select(_held_text()).to_series()
    formats = dialect.datetime_formats or _likely_first(_ISO_DATETIMES, text)
    read = _first_format(text, formats, lambda t, f: read_datetime(t, f, dialect.time_zone))
    return _without_leap_seconds(read, text)


@cache
def _held_text() -> pl.Expr:
    stripped = pl.col("v").str.strip_chars()
    return pl.when(~stripped.str.contains(_FINER_THAN_MICROSECONDS)).then(stripped)


def _without_leap_seconds(read: pl.Series, text: pl.Series) -> pl.Series:
    suspects = text.str.contains("60", literal=True)
    if not suspects.any():
        return read
    value = pl.col("v")
    is_leap = (value.dt.second() == 0) & (value.dt.microsecond() != 600_000) & pl.col("t").str.contains(_LEAP_SECOND)
    frame = pl.DataFrame({"v": read, "t": text}).filter(suspects)
    return read.scatter(suspects.arg_true(), frame.select(pl.when(~is_leap).then("v")).to_series())


def _microseconds(values: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Timestamps in microseconds, null where nanoseconds would be lost."""
    exact = values.cast(pl.Datetime("us", dtype.time_zone))
    if dtype.time_unit != "ns":
        return exact
    frame = pl.DataFrame({"v": exact, "n": values.to_physical()})
    return frame.select(pl.when(pl.col("n") % 1_000 == 0).then("v")).to_series()


def _likely_first(formats: tuple[str, ...], text: pl.Series) -> tuple[str, ...]:
    """Formats of which no text reads in two, those with the parts of the first value in front: one try, not nine."""
    first = cast(str | None, text.first(ignore_nulls=True))
    if first is None:
        return formats
    time = first[10:]  # behind the date
    has = {"T": "T" in time, "%H": ":" in time, "%S": time.count(":") > 1, "%#z": any(mark in time for mark in "Z+-")}
    return tuple(sorted(formats, key=lambda fmt: sum((part in fmt) is not found for part, found in has.items())))


def _first_format(text: pl.Series, formats: tuple[str, ...], read: Callable[[pl.Series, str], pl.Series]) -> pl.Series:
    """Each value by the first format that reads it; a further format is tried only while values are left."""
    result = read(text, formats[0])
    for fmt in formats[1:]:
        if result.null_count() == text.null_count():
            break
        left = result.is_null() & text.is_not_null()
        result = result.scatter(left.arg_true(), read(text.filter(left), fmt))
    return result
