"""The cheap look at one value that comes before a cast turns no column away that the cast reads."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.transforms.casts import Dialect, cast_series
from etl_platform.transforms.infer_types import DATE_FORMATS, TIMESTAMP_FORMATS, Guess, guess_column

DATES, TIMES = [(fmt, pl.Date()) for fmt in DATE_FORMATS], [(f, pl.Datetime("us", "UTC")) for f in TIMESTAMP_FORMATS]
MOMENTS = st.datetimes(dt.datetime(1901, 1, 1), dt.datetime(2099, 1, 1))  # noqa: DTZ001 - as files without zone hold it


@pytest.mark.parametrize(("fmt", "dtype"), [*DATES, *TIMES])
@given(moment=MOMENTS, seen=st.sampled_from(["{}", " {}", "{} "]))
def test_every_format_is_tried_on_what_it_reads(fmt: str, dtype: pl.DataType, moment: dt.datetime, seen: str) -> None:
    values = pl.Series("column", [seen.format(pl.Series([moment]).dt.to_string(fmt)[0])] * 3)
    own = Dialect(date_formats=(fmt,), datetime_formats=(fmt,))
    assert cast_series(values, dtype, own).null_count() == 0
    found = guess_column(Guess("column", "column"), values, Dialect())
    assert found.type == ("date" if dtype == pl.Date else "timestamp")


@given(moment=MOMENTS, text=st.sampled_from(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+02:00", "%Y-%m-%dT%H:%M"]))
def test_iso_times_are_found(moment: dt.datetime, text: str) -> None:
    values = pl.Series([pl.Series([moment]).dt.to_string(text)[0]] * 3)
    assert guess_column(Guess("column", "column"), values, Dialect()).type == "timestamp"


def test_a_column_of_which_only_the_first_values_are_times_is_text() -> None:
    values = pl.Series([f"2025-01-{n % 28 + 1:02}" for n in range(40)] + ["none of these"])
    assert guess_column(Guess("column", "column"), values, Dialect()).type == "string"
