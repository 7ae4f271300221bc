"""Dates and timestamps, exactly or not at all: text in a sender's formats, and a file's own temporal types.

Belongs here: dates, timestamps, time zones, and whether a configured format can be read without guessing
(`hold_formats`). Not here: numbers (`cast_numbers.py`), which cast serves which type (`casts.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import cast

import polars as pl

from etl_platform.transforms.dialect import Dialect

_ISO_DATETIMES = (
    "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d",
)  # fmt: skip
_ISO_DATES = ("%Y-%m-%d",)
# `%Y` also takes two digits and makes 25 the year 25: nobody means that. No database and no Python holds year 10000.
_FIRST, _LAST = dt.date(1000, 1, 1), dt.date(9999, 12, 31)
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
_FINER_THAN_MICROSECONDS = r"[.,]\d{6}0*[1-9]"
"""More than six fractional digits, not all zero: the type cannot hold them."""
_LEAP_SECOND = r"[0-9](:[0-5][0-9]:|\.[0-5][0-9]\.)60([^0-9]|$)|(^|[^0-9.,])([0-9]{8})?[0-9]{4}60([^0-9]|$)"
"""Second 60, which the parser makes the next minute. A fraction `.60` looks alike and is told apart by its value."""


def to_date(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as Date; null for a day that does not exist and for a timestamp that is not midnight."""
    if values.dtype == pl.Date:
        return _in_calendar(values)
    if isinstance(values.dtype, pl.Datetime):
        held = _in_calendar(values)
        at_midnight = pl.col("v").dt.time() == pl.time(0)
        return held.to_frame("v").select(pl.when(at_midnight).then(pl.col("v").dt.date())).to_series()
    text = values.cast(pl.String).str.strip_chars()
    return _first_format(text, dialect.date_formats or _ISO_DATES, _read_date)


def to_datetime(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as Datetime in UTC microseconds; null where an instant is not certain or not held exactly."""
    if isinstance(values.dtype, pl.Datetime):
        zone = values.dtype.time_zone
        held = _microseconds(_in_calendar(values), values.dtype)
        return held.dt.convert_time_zone("UTC") if zone else _localise(held, dialect.time_zone)
    if values.dtype == pl.Date:
        return _localise(_in_calendar(values).cast(pl.Datetime("us")), dialect.time_zone)
    stripped = pl.col("v").str.strip_chars()
    exact = pl.when(~stripped.str.contains(_FINER_THAN_MICROSECONDS)).then(stripped)
    text = values.cast(pl.String).to_frame("v").select(exact).to_series()
    formats = dialect.datetime_formats or _likely_first(_ISO_DATETIMES, text)
    read = _first_format(text, formats, lambda t, f: _read_datetime(t, f, dialect.time_zone))
    return _without_leap_seconds(read, text)


def _without_leap_seconds(read: pl.Series, text: pl.Series) -> pl.Series:
    suspects = text.str.contains("60", literal=True)
    if not suspects.any():
        return read
    value = pl.col("v")
    is_leap = (value.dt.second() == 0) & (value.dt.microsecond() != 600_000) & pl.col("t").str.contains(_LEAP_SECOND)
    frame = pl.DataFrame({"v": read, "t": text}).filter(suspects)
    return read.scatter(suspects.arg_true(), frame.select(pl.when(~is_leap).then("v")).to_series())


def hold_formats(formats: Sequence[str], *, are_dates: bool) -> None:
    """Raise ValueError for a format that reads no whole date or drops a zone, and for two that disagree on a text."""
    texts = {fmt: _written(fmt) for fmt in formats}
    for fmt, text in texts.items():
        found = _read_one(text, fmt, are_dates=are_dates)
        if "%Z" in fmt or "%s" in fmt or found is None or (found.year, found.month, found.day) != _SAMPLE[:3]:
            raise ValueError(
                f"found {fmt!r}; expected year, month and day, e.g. '%d.%m.%Y'; no %Z (a zone's name: use %z), no %s"
            )
    for fmt in formats:
        for other, text in texts.items():
            if _read_one(text, fmt, are_dates=are_dates) not in {None, _read_one(text, other, are_dates=are_dates)}:
                raise ValueError(f"found {other!r} and {fmt!r}, which read {text!r} differently; expected one of them")


_SAMPLE = (2001, 2, 3, 4, 5, 6)
"""Year, month, day, hour, minute and second all differ, so that two of them exchanged show."""


def _written(fmt: str) -> str:
    """The sample as text of this format; empty where the format is none. `#` only widens what is read."""
    sample = pl.Series([dt.datetime(*_SAMPLE, tzinfo=dt.UTC)])
    try:
        return str(sample.dt.to_string(fmt.replace("%#z", "%z")).item())
    except pl.exceptions.ComputeError:
        return ""


def _read_one(text: str, fmt: str, *, are_dates: bool) -> dt.date | None:
    series = pl.Series([text])
    try:
        read = _read_date(series, fmt) if are_dates else _read_datetime(series, fmt, "UTC")
    except pl.exceptions.PolarsError:
        return None
    found: dt.date | None = read.item()
    return found


def _read_date(text: pl.Series, fmt: str) -> pl.Series:
    return _in_calendar(text.str.to_date(fmt, strict=False))


def _read_datetime(text: pl.Series, fmt: str, time_zone: str) -> pl.Series:
    if "%z" in fmt or "%#z" in fmt or "%:z" in fmt:
        return _in_calendar(text.str.to_datetime(fmt, time_unit="us", time_zone="UTC", strict=False))
    return _localise(_in_calendar(text.str.to_datetime(fmt, time_unit="us", strict=False)), time_zone)


def _localise(naive: pl.Series, time_zone: str) -> pl.Series:
    """Local civil times as UTC; null in the hour that the clocks skip and in the hour that they repeat."""
    if time_zone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    zoned = naive.dt.replace_time_zone(time_zone, ambiguous="null", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def _in_calendar(values: pl.Series) -> pl.Series:
    """Null for instants outside the years 1000 to 9999, decided on the bare integers: the calendar's own functions
    panic on what they cannot show."""
    per_day = _PER_SECOND[values.dtype.time_unit] * 86_400 if isinstance(values.dtype, pl.Datetime) else 1
    epoch = dt.date(1970, 1, 1)
    first, beyond = (_FIRST - epoch).days * per_day, ((_LAST - epoch).days + 1) * per_day
    numbers = values.to_physical().cast(pl.Int64)
    least, most = cast(int | None, numbers.min()), cast(int | None, numbers.max())
    if least is None or most is None or (first <= least and most < beyond):
        return values
    frame = pl.DataFrame({"v": values, "n": numbers})
    return frame.select(pl.when((pl.col("n") >= first) & (pl.col("n") < beyond)).then("v")).to_series()


def _microseconds(values: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Timestamps in microseconds, null where nanoseconds would be lost."""
    exact = values.cast(pl.Datetime("us", dtype.time_zone))
    if dtype.time_unit != "ns":
        return exact
    frame = pl.DataFrame({"v": exact, "n": values.to_physical()})
    return frame.select(pl.when(pl.col("n") % 1_000 == 0).then("v")).to_series()


def _likely_first(formats: tuple[str, ...], text: pl.Series) -> tuple[str, ...]:
    """Formats of which no text reads in two, those with the parts of the first value in front: one try, not nine."""
    if (row := text.is_not_null().arg_max()) is None or (first := text[row]) is None:
        return formats
    time = first[10:]  # behind the date
    has = {"T": "T" in time, "%H": ":" in time, "%S": time.count(":") > 1, "%#z": any(mark in time for mark in "Z+-")}
    return tuple(sorted(formats, key=lambda fmt: sum((part in fmt) is not found for part, found in has.items())))


def _first_format(text: pl.Series, formats: tuple[str, ...], read: Callable[[pl.Series, str], pl.Series]) -> pl.Series:
    """Each value by the first format that reads it; a further format is tried only while values are left."""
    result = read(text, formats[0])
    for fmt in formats[1:]:
        left = result.is_null() & text.is_not_null()
        if not left.any():
            break
        result = result.zip_with(~left, read(text, fmt))
    return result
