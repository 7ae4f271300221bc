"""Date and time formats (strftime): reading text by one of them, and whether one can be read without guessing.

Belongs here: one format, time zones, the calendar. Not here: which formats a column has (`transforms/cast_times.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import cast

import polars as pl

from etl_platform.contracts.declared.compact_times import with_all_digits

# `%Y` also takes two digits and makes 25 the year 25: nobody means that. No database and no Python holds year 10000.
_FIRST, _LAST = dt.date(1000, 1, 1), dt.date(9999, 12, 31)
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}


def require_formats(formats: Sequence[str], *, are_dates: bool) -> None:
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
        read = read_date(series, fmt) if are_dates else read_datetime(series, fmt, "UTC")
    except pl.exceptions.PolarsError:
        return None
    found: dt.date | None = read.item()
    return found


def read_date(text: pl.Series, fmt: str) -> pl.Series:
    """Dates; null where the format does not read the text."""
    return in_calendar(with_all_digits(text, fmt).str.to_date(fmt, strict=False))


def read_datetime(text: pl.Series, fmt: str, time_zone: str) -> pl.Series:
    """Instants in UTC; null where the format does not read the text. Without offset they are times of `time_zone`."""
    text = with_all_digits(text, fmt)
    if "%z" in fmt or "%#z" in fmt or "%:z" in fmt:
        return in_calendar(text.str.to_datetime(fmt, time_unit="us", time_zone="UTC", strict=False))
    return localise(in_calendar(text.str.to_datetime(fmt, time_unit="us", strict=False)), time_zone)


def localise(naive: pl.Series, time_zone: str) -> pl.Series:
    """Local civil times as UTC; null in the hour that the clocks skip and in the hour that they repeat, and where the
    instant lies outside the calendar: the last second of 9999 in Sao Paulo is one of year 10000 in UTC."""
    if time_zone == "UTC":
        return naive.dt.replace_time_zone("UTC")
    zoned = naive.dt.replace_time_zone(time_zone, ambiguous="null", non_existent="null")
    return in_calendar(zoned.dt.convert_time_zone("UTC"))


def in_calendar(values: pl.Series) -> pl.Series:
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
