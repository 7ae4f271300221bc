"""Casts: every value reads exactly as its type or is null, in every dialect and from every source type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from etl_platform.contracts.declared.time_formats import require_formats
from etl_platform.transforms.cast_numbers import _checked_decimal, _quick_decimal, digits_of_bare
from etl_platform.transforms.casts import Dialect, cast_columns, cast_series, shown_text

PLAIN = Dialect()
GERMAN = Dialect(decimal=",", thousands=".")
FRENCH = Dialect(decimal=",", thousands=" ")
SWISS = Dialect(decimal=".", thousands="'")
AMERICAN = Dialect(decimal=".", thousands=",")
PRICE, AMOUNT = pl.Decimal(18, 8), pl.Decimal(18, 4)
INSTANT = pl.Datetime("us", "UTC")
TYPES = (PRICE, pl.Decimal(38, 0), pl.Int64(), pl.Int32(), pl.Float64(), pl.String(), pl.Boolean(), pl.Date(), INSTANT)


def cast(values: Sequence[Any], dtype: pl.DataType, dialect: Dialect = PLAIN, source: Any = None) -> list[Any]:
    result = cast_series(pl.Series("x", values, dtype=source or (pl.String if not values else None)), dtype, dialect)
    assert (result.dtype, len(result), result.name) == (dtype, len(values), "x")
    return result.to_list()


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]


def exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


DECIMALS: dict[str, tuple[Dialect, dict[str, str | None]]] = {
    "plain": (PLAIN, {
        "1": "1", "1.5": "1.5", " 1.5 ": "1.5", "\t1\n": "1", "+1.5": "1.5", "-1.5": "-1.5", "1.": "1", ".5": "0.5",
        "-.5": "-0.5", "-0": "0", "-0.0": "0", "007": "7", "0" * 40 + "1.5": "1.5",
        "--1": None, "+-1": None, "- 1": None, "1.5-": None, "(1.5)": None, "+": None, "-": None, ".": None, "": None,
        "  ": None, "1,5": None, "1,000": None, "1 000": None, "1'000": None, "1_000": None, "1.5.5": None,
        "0x10": None, "$1.5": None, "1.5%": None, "NaN": None, "nan": None, "inf": None, "-inf": None, "N/A": None,
        "null": None, "true": None, "١٢": None, "½": None, "1\x1f": None, "1\u00a0000": None,
        "1e3": "1000", "1.5E-3": "0.0015", "1e+3": "1000", "1e-8": "0.00000001", "0e400": "0",
        "1e-9": None, "1e-400": None, "1e400": None, "1e": None, "e5": None, "1e 3": None, "1.5e3.5": None,
        "1.12345678": "1.12345678", "1.123456780": "1.12345678", "1.12345678" + "0" * 20: "1.12345678",
        "1.123456789": None, "1.12345678" + "0" * 20 + "1": None, "0.000000001": None,
        "9999999999.99999999": "9999999999.99999999", "-9999999999.99999999": "-9999999999.99999999",
        "10000000000": None, "-10000000000": None, "1" * 39: None,
    }),
    "German": (GERMAN, {
        "1,5": "1.5", "1.234,5": "1234.5", "1.234": "1234", "-1.234.567,89": "-1234567.89", "1,000": "1", ",5": "0.5",
        "1,5e3": "1500", "1234,5": "1234.5",
        "1.5": None, "1.23": None, "12.34,5": None, "1.2345": None, "1,234.5": None, "1,2,3": None, ".5": None,
        "1.234,567.8": None, "1234.567": None, "1..234": None, ".234": None,
    }),
    "French": (FRENCH, {"1 000": "1000", "1 234 567,8": "1234567.8", " 1 000 ": "1000", "1 00": None, "1.5": None}),
    "Swiss": (SWISS, {"1'000'000.5": "1000000.5", "12'34": None, "1'0000": None, "1.5": "1.5", "1,5": None}),
    "American": (AMERICAN, {"1,000": "1000", "1,000.5": "1000.5", "1,00,000": None, "1,5": None, "1,0000": None}),
}  # fmt: skip


@pytest.mark.parametrize("name", DECIMALS)
def test_decimal_text_reads_digit_by_digit_or_not_at_all(name: str) -> None:
    dialect, golden = DECIMALS[name]
    expected = [exact(text) for text in golden.values()]
    assert dict(zip(golden, cast(list(golden), PRICE, dialect), strict=True)) == dict(
        zip(golden, expected, strict=True)
    )
    # And each alone: what is rare must not depend on its neighbours.
    assert [cast([text], PRICE, dialect)[0] for text in golden] == expected


@pytest.mark.parametrize(
    ("precision", "scale", "text", "fits"),
    [
        (38, 8, "9" * 30 + "." + "9" * 8, True), (38, 8, "1" + "0" * 30, False), (38, 8, "9" * 30 + ".999999990", True),
        (38, 0, "9" * 38, True), (38, 0, "-" + "9" * 38, True), (38, 0, "1" + "0" * 38, False), (38, 0, "12.0", True),
        (38, 0, "12.5", False), (38, 38, "0." + "9" * 38, True), (38, 38, "1", False), (38, 38, "0", True),
        (38, 38, ".5", True), (38, 38, "0." + "9" * 39, False), (38, 30, "12345678." + "9" * 30, True),
        (38, 30, "123456789", False), (36, 4, "9" * 32 + ".9999", True), (1, 0, "9", True), (1, 0, "10", False),
        (1, 1, "0.9", True), (1, 1, "1", False), (1, 1, "0.95", False),
    ],
)  # fmt: skip
def test_decimals_reach_their_last_digit(precision: int, scale: int, text: str, fits: bool) -> None:
    assert cast([text, None], pl.Decimal(precision, scale)) == [Decimal(text) if fits else None, None]


def test_floats_read_as_the_decimal_that_was_meant_or_not_at_all() -> None:
    golden: dict[float, str | None] = {
        104.06: "104.06", 104.06000000000002: "104.06", 0.1 + 0.2: "0.3", 1e-8: "0.00000001", -0.0: "0",
        9999999999.0: "9999999999", 10000.00000001: "10000.00000001", 1e5: "100000",
        1e-9: None, 1e22: None, 99999.123456789: None, 1234567.891234561: None, 123456789.12345678: None,
        float("nan"): None, float("inf"): None, float("-inf"): None,
    }  # fmt: skip
    assert cast(list(golden), PRICE) == [exact(text) for text in golden.values()]
    # Fifteen digits would make the first .346: a cent too much, without a word.
    assert cast([123456789012.3456, 123456789012.34567, 1e13], AMOUNT) == [
        Decimal("123456789012.3456"), None, Decimal("1e13"),
    ]  # fmt: skip
    singles = [104.06, 1.5, 16777216.0, 123456789.0, 12345.67]
    assert cast(singles, PRICE, source=pl.Float32) == [Decimal("104.06"), Decimal("1.5"), None, None, None]


@settings(max_examples=200)
@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 8))
def test_every_decimal_of_fifteen_digits_survives_a_double(unscaled: int, scale: int) -> None:
    value = Decimal(unscaled).scaleb(-scale)
    read = cast([float(value)], pl.Decimal(38, 8))[0]
    assert read == value


@settings(max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False, width=64), st.sampled_from([PRICE, AMOUNT, pl.Decimal(38, 10)]))
def test_a_double_reads_as_a_decimal_that_rounds_to_it_or_is_noise_away(value: float, dtype: pl.Decimal) -> None:
    read = cast([value], dtype)[0]
    if read is not None:
        assert abs(Decimal(value) - read) <= abs(Decimal(value)) * Decimal("5e-15")


def test_decimals_of_another_scale_are_taken_when_no_digit_is_lost() -> None:
    fine = pl.Decimal(30, 12)
    assert cast([Decimal("1.5"), Decimal("1.123456789"), None], PRICE, source=fine) == [Decimal("1.5"), None, None]
    assert cast([Decimal("12345678901.5"), Decimal("1.5")], PRICE, source=pl.Decimal(38, 2)) == [None, Decimal("1.5")]
    # A typed number has no marks of its own: the dialect of the sender's text is not applied to it.
    assert cast([Decimal("1234.5")], PRICE, GERMAN) == [Decimal("1234.5")]
    assert cast([1234.5, 1.234], PRICE, GERMAN) == [Decimal("1234.5"), Decimal("1.234")]
    assert cast([1234], PRICE, GERMAN) == [Decimal(1234)]


INTEGERS = {
    "12": 12, "12.0": 12, "12.": 12, "+12": 12, " 12 ": 12, "-12": -12, "0012": 12, "1e3": 1000, "1.5e1": 15, "-0": 0,
    "9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63), "9223372036854775807.0": 2**63 - 1,
    "9.223372036854775807e18": 2**63 - 1, "9223372036854775808": None, "-9223372036854775809": None, "12.5": None,
    "1.5e0": None, "": None, "--1": None, "+-1": None, "-+1": None, "1,000": None, "1_0": None, "0x1": None,
    "NaN": None, "true": None, "1e19": None, "12.0.0": None, "٣": None,
}  # fmt: skip


def test_integer_text_reads_to_the_edge_of_64_bits() -> None:
    assert dict(zip(INTEGERS, cast(list(INTEGERS), pl.Int64()), strict=True)) == INTEGERS
    assert cast(["1.000", "1.000,0", "1,0", "1.000,5", "1.5"], pl.Int64(), GERMAN) == [1000, 1000, 1, None, None]
    assert cast(["2147483647", "2147483648", "-2147483648", "2147483648.0"], pl.Int32()) == [
        2**31 - 1, None, -(2**31), None,
    ]  # fmt: skip


def test_typed_numbers_become_integers_only_where_they_are_whole_and_certain() -> None:
    assert cast([2**63 - 1, 2**63, 2**64 - 1], pl.Int64(), source=pl.UInt64) == [2**63 - 1, None, None]
    assert cast([2**31, 7], pl.Int32(), source=pl.Int64) == [None, 7]
    floats = [1.0, 1.5, 2.0**53, 2.0**53 + 2, float("nan"), float("inf"), -0.0, None, 1e300]
    assert cast(floats, pl.Int64()) == [1, None, None, None, None, None, 0, None, None]
    assert cast([2.0**53 - 1, 1 - 2.0**53], pl.Int64()) == [2**53 - 1, 1 - 2**53]
    assert cast([2.0**24 - 1, 2.0**24, 2.0**24 + 2], pl.Int64(), source=pl.Float32) == [2**24 - 1, None, None]
    assert cast([2047.0, 2048.0, 0.5], pl.Int64(), source=pl.Float16) == [2047, None, None]
    assert cast([Decimal("12.00"), Decimal("12.50")], pl.Int64()) == [12, None]
    assert cast([True, None], pl.Int64()) == [None, None]


def test_float_columns_hold_finite_values_only() -> None:
    texts = ["1.5", " 1 ", "1e5", "NaN", "inf", "-inf", "Infinity", "1e400", "1_0", "0x1", "", "1,5"]
    assert cast(texts, pl.Float64()) == [1.5, 1.0, 1e5, *[None] * 9]
    assert cast(["1.234,5", "1,5", "1.5"], pl.Float64(), GERMAN) == [1234.5, 1.5, None]
    assert cast([1.5, float("nan"), float("inf"), None], pl.Float64()) == [1.5, None, None, None]
    assert cast([Decimal("1.5")], pl.Float64()) == [1.5]


INSTANTS: dict[str, dt.datetime | None] = {
    "2025-01-15T10:00:00Z": utc(2025, 1, 15, 10), "2025-01-15T10:00:00+01:00": utc(2025, 1, 15, 9),
    "2025-01-15T10:00:00+0100": utc(2025, 1, 15, 9), "2025-01-15T10:00:00-00:30": utc(2025, 1, 15, 10, 30),
    "2025-01-15 10:00:00.123456Z": utc(2025, 1, 15, 10, 0, 0, 123456), "2025-01-15T10:00Z": utc(2025, 1, 15, 10),
    "2025-01-15 10:00:00.123456000": utc(2025, 1, 15, 10, 0, 0, 123456), "2025-01-15T10:00": utc(2025, 1, 15, 10),
    "2025-01-15 10:00": utc(2025, 1, 15, 10), "2025-01-15": utc(2025, 1, 15), " 2025-01-15 ": utc(2025, 1, 15),
    "2024-02-29": utc(2024, 2, 29), "2025-01-15T10:00:00.60Z": utc(2025, 1, 15, 10, 0, 0, 600_000),
    "2060-01-15T10:00:00Z": utc(2060, 1, 15, 10), "9999-12-31T23:59:59": utc(9999, 12, 31, 23, 59, 59),
    "2025-01-15 10:00:00.1234567": None, "2025-01-15 10:00:00.123456789Z": None, "2025-02-29": None,
    "2025-13-01": None, "2025-01-32": None, "25-01-15": None, "0025-01-15": None, "10000-01-01": None,
    "2025-01-15T24:00:00": None, "2025-01-15T23:59:60Z": None, "2025-01-15 23:59:60": None, "2025-01-15T10:60": None,
    "2025-01-15T10:00:00+25:00": None, "15.01.2025": None, "01/15/2025": None, "1736935200": None,
    "1736935200000": None, "20250115": None, "2025-01-15T10:00:00Europe": None, "": None, "now": None,
}  # fmt: skip


def test_iso_timestamps_become_the_instant_they_name() -> None:
    assert dict(zip(INSTANTS, cast(list(INSTANTS), INSTANT), strict=True)) == INSTANTS
    assert [cast([text], INSTANT)[0] for text in INSTANTS] == list(INSTANTS.values())


def test_local_times_are_null_where_the_clocks_skip_or_repeat_them() -> None:
    swiss = Dialect(datetime_formats=("%d.%m.%Y %H:%M:%S",), time_zone="Europe/Zurich")
    golden = {
        "15.01.2025 10:00:00": utc(2025, 1, 15, 9), "15.07.2025 10:00:00": utc(2025, 7, 15, 8),
        "30.03.2025 01:59:59": utc(2025, 3, 30, 0, 59, 59), "30.03.2025 02:30:00": None,
        "30.03.2025 03:00:00": utc(2025, 3, 30, 1), "26.10.2025 01:59:59": utc(2025, 10, 25, 23, 59, 59),
        "26.10.2025 02:30:00": None, "26.10.2025 03:00:00": utc(2025, 10, 26, 2), "15.01.25 10:00:00": None,
        "29.02.2025 00:00:00": None, "15.01.2025": None, "2025-01-15T10:00:00Z": None, "15.01.2025 10:00:60": None,
    }  # fmt: skip
    assert dict(zip(golden, cast(list(golden), INSTANT, swiss), strict=True)) == golden
    offsets = Dialect(time_zone="Europe/Zurich")
    assert cast(["2025-01-15T10:00:00", "2025-01-15T10:00:00Z"], INSTANT, offsets) == [
        utc(2025, 1, 15, 9), utc(2025, 1, 15, 10),
    ]  # fmt: skip


def test_formats_are_tried_in_their_order() -> None:
    both = Dialect(datetime_formats=("%d.%m.%Y %H:%M", "%Y%m%d"), date_formats=("%d.%m.%y", "%Y-%m-%d"))
    assert cast(["15.01.2025 10:00", "20250115", "x", None], INSTANT, both) == [
        utc(2025, 1, 15, 10), utc(2025, 1, 15), None, None,
    ]  # fmt: skip
    assert cast(["15.01.25", "2025-01-15"], pl.Date(), both) == [dt.date(2025, 1, 15)] * 2


@pytest.mark.parametrize(
    ("fmt", "golden"),
    [
        # 5 November or 15 January, 12:03 or 1:23: whoever drops zeros, as spreadsheets do, has not said which.
        ("%Y%m%d", {"20250115": (1, 15), "2025115": None, "202501 5": None, "2025 1 15": None, "20251105": (11, 5)}),
        ("%d%m%Y", {"15012025": (1, 15), "1512025": None}),
        ("%d%m%y", {"150125": (1, 15), "15125": None}),
        ("%Y%j", {"2025015": (1, 15), "202515": None}),
        ("%d%b%Y", {"15Jan2025": (1, 15), "5JAN2025": (1, 5)}),
        ("%d.%m.%Y", {"15.01.2025": (1, 15), "15.1.2025": (1, 15)}),
    ],
)
def test_dates_without_separators_have_all_their_digits(fmt: str, golden: dict[str, tuple[int, int] | None]) -> None:
    expected = [None if day is None else dt.date(2025, *day) for day in golden.values()]
    assert cast(list(golden), pl.Date(), Dialect(date_formats=(fmt,))) == expected


@pytest.mark.parametrize(
    ("fmt", "golden"),
    [
        ("%Y-%m-%d %H%M", {"2025-01-15 0935": (9, 35), "2025-01-15 123": None, "2025-1-15 0123": (1, 23)}),
        ("%Y%m%d %H%M%S", {"20250115 093000": (9, 30), "2025115 093000": None, "20250115 93000": None}),
        ("%Y%m%dT%H%M%S%.f%z", {"20250115T093000.0+0000": (9, 30), "20250115T93000.0+0000": None}),
        ("%Y%m%d%H:%M", {"202501159:30": None, "2025011509:30": (9, 30)}),
        ("%Y%m%d%H%M%S%3f", {"20250115093000000": (9, 30), "2025011593000000": None}),
        ("%d%b%Y %I%M%p", {"15Jan2025 0930AM": (9, 30), "15Jan2025 930AM": None}),
    ],
)
def test_times_without_separators_have_all_their_digits(fmt: str, golden: dict[str, tuple[int, int] | None]) -> None:
    expected = [None if at is None else utc(2025, 1, 15, *at) for at in golden.values()]
    assert cast(list(golden), INSTANT, Dialect(datetime_formats=(fmt,))) == expected


def test_typed_timestamps_keep_every_digit_or_are_null() -> None:
    nanoseconds = pl.Series("x", [1_736_935_200_000_000_001, 1_736_935_200_000_001_000, None]).cast(
        pl.Datetime("ns", "UTC")
    )
    assert cast_series(nanoseconds, INSTANT, PLAIN).to_list() == [None, utc(2025, 1, 15, 10, 0, 0, 1), None]
    local = pl.Series("x", ["2025-01-15 10:00", "2025-03-30 02:30"]).str.to_datetime("%Y-%m-%d %H:%M", time_unit="ms")
    assert cast_series(local, INSTANT, Dialect(time_zone="Europe/Zurich")).to_list() == [utc(2025, 1, 15, 9), None]
    new_york = local.head(1).dt.replace_time_zone("America/New_York")
    assert cast_series(new_york, INSTANT, PLAIN).to_list() == [utc(2025, 1, 15, 15)]
    assert cast([dt.date(2025, 1, 15)], INSTANT, Dialect(time_zone="Europe/Zurich")) == [utc(2025, 1, 14, 23)]


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Zurich"])
def test_instants_beyond_the_calendar_are_null_and_no_panic(unit: Any, zone: str | None) -> None:
    stored = pl.Series("x", [2**62, -(2**62), 0]).cast(pl.Datetime(unit, zone))
    for dtype in (INSTANT, pl.Date(), pl.Datetime(unit, zone)):
        if dtype == INSTANT or isinstance(dtype, pl.Date):
            assert cast_series(stored, dtype, PLAIN).is_null().to_list()[:2] == [True, True]
    days = pl.Series("x", [2**31 - 1, -(2**31)], dtype=pl.Int32).cast(pl.Date)
    assert cast_series(days, pl.Date(), PLAIN).to_list() == cast_series(days, INSTANT, PLAIN).to_list() == [None, None]


def test_dates_are_days_that_exist() -> None:
    texts = [
        "2025-01-15",
        " 2025-01-15 ",
        "9999-12-31",
        "2025-02-30",
        "25-01-15",
        "15.01.2025",
        "20250115",
        "20103",
        "",
    ]
    expected = [dt.date(2025, 1, 15), dt.date(2025, 1, 15), dt.date(9999, 12, 31), *[None] * 6]
    assert cast(texts, pl.Date()) == expected
    assert cast([utc(2025, 1, 15), utc(2025, 1, 15, 1)], pl.Date()) == [dt.date(2025, 1, 15), None]
    assert cast([20250115, 20103], pl.Date()) == [None, None]
    assert cast([1_736_935_200, 0], INSTANT) == cast([1_736_935_200.0, 0.0], INSTANT) == [None, None]


def test_booleans_are_the_known_words() -> None:
    yes, no = ["true", "T", "1", "YES", " y "], ["false", "F", "0", "No", "n"]
    assert cast([*yes, *no, "maybe", "", "1.0", None], pl.Boolean()) == [True] * 5 + [False] * 5 + [None] * 4
    assert cast([1, 0, 2], pl.Boolean()) == [True, False, None]
    assert cast([1.0], pl.Boolean()) == [None]


def test_text_stays_as_it_is() -> None:
    assert cast(["", " a ", None, "N/A"], pl.String()) == ["", " a ", None, "N/A"]
    assert cast(["a", None], pl.String(), source=pl.Categorical) == ["a", None]
    assert cast(["1.5", "x", None], PRICE, GERMAN, source=pl.Categorical) == [None, None, None]
    assert cast(["1,5", "x", None], PRICE, GERMAN, source=pl.Categorical) == [Decimal("1.5"), None, None]
    # Parquet writers without the text annotation give bytes.
    assert cast([b"AAPL", "Zürich".encode(), None], pl.String()) == ["AAPL", "Zürich", None]
    assert cast([b"1.5", b"\xff", b"a\0b"], pl.String()) == ["1.5", None, None]
    assert cast([b"a\0b"], pl.String()) == [None]


def test_a_number_becomes_the_digits_of_an_identifier_or_nothing() -> None:
    """A double of 2**53 is also what 2**53 + 1 was rounded to: two bookings would be one."""
    doubles = [7203.0, -3.0, -0.0, 2.0**53 - 1, 2.0**53, 2.0**53 + 2, 1.5, 1e22, float("nan"), float("inf"), None]
    digits = ["7203", "-3", "0", str(2**53 - 1), *[None] * 7]
    assert cast(doubles, pl.String()) == digits
    singles = [16777215.0, 16777216.0, 16777218.0, 0.5]
    assert cast(singles, pl.String(), source=pl.Float32) == ["16777215", None, None, None]
    assert cast([2047.0, 2048.0], pl.String(), source=pl.Float16) == ["2047", None]
    assert cast([7203, -1], pl.String()) == ["7203", "-1"]
    decimals = [Decimal("7203.0000"), Decimal("100.0000"), Decimal("0"), Decimal("7203.5")]
    assert cast(decimals, pl.String(), source=pl.Decimal(38, 4)) == ["7203", "100", "0", "7203.5000"]
    assert cast([Decimal("7200")], pl.String(), source=pl.Decimal(38, 0)) == ["7200"]


@pytest.mark.parametrize(
    ("sent", "digits"),
    [
        ("1001.0", "1001"), ("-7.00", "-7"), ("1e3", "1000"), ("1.001E+3", "1001"), ("0.0", "0"),
        ("9007199254740991.0", "9007199254740991"), ("9007199254740992.0", None), ("1.2345678901234568e16", None),
        ("1001.5", None), ("1e-3", None), ("1.00000000000000000001", None), ("1e400", None), ("1e9999", None),
        ("12345678901234567890", "12345678901234567890"), ("007", "007"), ("true", "true"), ("[1.0]", "[1.0]"),
    ],
)  # fmt: skip
def test_a_bare_number_becomes_the_digits_that_a_double_would(sent: str, digits: str | None) -> None:
    values = pl.Series([sent, sent, None])
    assert digits_of_bare(values, pl.Series([True, False, True])).to_list() == [digits, sent, None]
    assert values.to_list() == [sent, sent, None]


def test_a_half_float_stands_for_the_decimals_that_it_can_tell_apart() -> None:
    assert cast([1.5, 0.1, 2048.0], PRICE, source=pl.Float16) == [Decimal("1.5"), None, None]


ODD = {
    "null": pl.Series("x", [None, None]), "list": pl.Series("x", [[1], [2]]), "struct": pl.Series("x", [{"a": 1}]),
    "array": pl.Series("x", [[1, 2]], dtype=pl.Array(pl.Int64, 2)), "duration": pl.Series("x", [dt.timedelta(1)]),
    "bytes": pl.Series("x", [b"\xff"]), "huge": pl.Series("x", [2**100], dtype=pl.Int128),
    "time": pl.Series("x", [dt.time(1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_no_type_of_a_file_ends_a_run(name: str, dtype: pl.DataType) -> None:
    source = ODD[name]
    result = cast_series(source, dtype, PLAIN)
    assert (result.dtype, len(result), result.name) == (dtype, len(source), "x")
    if name in ("null", "list", "struct", "array", "duration", "bytes"):
        assert result.null_count() == len(source)
    assert shown_text(source).dtype == pl.String
    empty = cast_series(source.clear(), dtype, PLAIN)
    assert (empty.dtype, len(empty)) == (dtype, 0)


@st.composite
def written_decimals(draw: st.DrawFn) -> tuple[pl.Decimal, Decimal, Dialect, str]:
    """A decimal that fits its type, and its text in a dialect."""
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(0, precision))
    unscaled = draw(st.integers(-(10**precision) + 1, 10**precision - 1))
    # `scaleb` would round to the 28 digits of Python's default context.
    value = Decimal(f"{unscaled}e-{scale}")
    dialect = draw(st.sampled_from([PLAIN, GERMAN, FRENCH, SWISS, AMERICAN]))
    grouped = bool(dialect.thousands) and draw(st.booleans())
    text = format(value, f"{',' if grouped else ''}.{scale + draw(st.integers(0, 3))}f")
    text = text.replace(",", "\0").replace(".", dialect.decimal).replace("\0", dialect.thousands)
    sign = draw(st.sampled_from(["", "+"])) if value >= 0 else ""
    return pl.Decimal(precision, scale), value, dialect, draw(st.sampled_from(["", " "])) + sign + text


@settings(max_examples=300)
@given(written_decimals())
def test_every_decimal_reads_back_equal_from_every_dialect(case: tuple[pl.Decimal, Decimal, Dialect, str]) -> None:
    dtype, value, dialect, text = case
    assert cast([text], dtype, dialect) == [value]


@settings(max_examples=300)
@given(st.decimals(-(10**14), 10**14, places=12), st.integers(0, 8), st.integers(1, 38))
def test_a_decimal_that_does_not_fit_is_null_and_never_another_value(value: Decimal, scale: int, whole: int) -> None:
    dtype = pl.Decimal(min(whole + scale, 38), scale)
    read = cast([format(value, "f")], dtype)[0]
    assert read is None or read == value
    fits = value == value.quantize(Decimal(1).scaleb(-scale)) and abs(value) < Decimal(10) ** (dtype.precision - scale)
    assert (read is not None) == fits


@settings(max_examples=300)
@given(
    st.lists(st.text("0123456789.+-eE, _\u0663", max_size=24), min_size=1, max_size=20),
    st.sampled_from([PRICE, AMOUNT, pl.Decimal(38, 8), pl.Decimal(28, 0), pl.Decimal(30, 28)]),
)
@example(["1e-400"], PRICE)
@example(["1e-30", "5E-99"], AMOUNT)
def test_the_quick_path_never_disagrees_with_the_careful_one(texts: list[str], dtype: pl.Decimal) -> None:
    series = pl.Series(texts, dtype=pl.String)
    quick, careful = _quick_decimal(series, dtype), _checked_decimal(series, dtype, PLAIN)
    decided = quick.is_not_null()
    assert quick.filter(decided).to_list() == careful.filter(decided).to_list()
    assert cast_series(series, dtype, PLAIN).to_list() == careful.to_list()


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.text("0123456789.+-eE, ", max_size=24), st.text("0123456789.,e", max_size=12)), max_size=9)
)
def test_columns_together_read_as_each_alone(rows: list[tuple[str, str]]) -> None:
    one, other = (pl.Series(name, [row[at] for row in rows], dtype=pl.String) for at, name in enumerate("vx"))
    number = pl.Series("n", range(len(rows)), dtype=pl.Int64)
    columns: list[tuple[pl.Series, pl.DataType, Dialect]] = [
        (one, PRICE, PLAIN), (other, pl.Decimal(38, 8), PLAIN), (other, AMOUNT, GERMAN), (one, pl.Int64(), PLAIN),
        (one, AMOUNT, PLAIN), (number, PRICE, PLAIN), (one.rename("w").cast(pl.Binary), PRICE, PLAIN),
    ]  # fmt: skip
    together, alone = cast_columns(columns), [cast_series(*column) for column in columns]
    assert [(s.name, s.dtype, s.to_list()) for s in together] == [(s.name, s.dtype, s.to_list()) for s in alone]


def test_a_local_time_whose_instant_lies_outside_the_calendar_is_null() -> None:
    last, first = "9999-12-31T23:59:59", "1000-01-01T00:00:00"
    west, east = Dialect(time_zone="America/Sao_Paulo"), Dialect(time_zone="Australia/Lord_Howe")
    assert cast([last, first], INSTANT, west) == [None, utc(1000, 1, 1, 3, 6, 28)]
    assert cast([last, first], INSTANT, east) == [utc(9999, 12, 31, 12, 59, 59), None]
    assert cast([dt.datetime(9999, 12, 31, 23, 59, 59)], INSTANT, west) == [None]  # noqa: DTZ001 - a local time
    assert cast([dt.date(1000, 1, 1)], INSTANT, east) == [None]


SENT = st.one_of(
    st.none(),
    st.text("0123456789.+-eE, tfTZ:", max_size=12),
    st.builds(dt.datetime.combine, st.dates(dt.date(1000, 1, 1)), st.times()).map(str),
    st.sampled_from(
        ["2025-01-15", "2025-01-15T09:30:60", "2025-01-15T09:30:00Z", "2025-01-15 09:30", "20250115", "15.01.2025",
         "2025-03-30 02:30:00", "2025-01-15T09:30:00.1234567", "1", "-7", " true ", "1.50", "1e400", "9" * 20, ""],
    ),
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(st.tuples(SENT, SENT, SENT), min_size=1, max_size=9))
def test_columns_cast_in_one_read_as_each_alone(rows: list[tuple[str | None, ...]]) -> None:
    """Columns of the same type, one below the other: no value changes what another becomes."""
    german = Dialect(date_formats=("%d.%m.%Y", "%Y-%m-%d"), datetime_formats=(), time_zone="Europe/Berlin")
    dtypes: tuple[pl.DataType, ...] = (pl.Int64(), pl.Int32(), pl.Float64(), pl.Boolean(), pl.Date(), INSTANT)
    columns = [
        (pl.Series(f"{at} {dtype}", [row[at] for row in rows], dtype=pl.String), dtype, dialect)
        for dtype in dtypes
        for dialect in (PLAIN, german)
        for at in range(3)
    ]
    together, alone = cast_columns(columns), [cast_series(*column) for column in columns]
    assert [(s.name, s.dtype, s.to_list()) for s in together] == [(s.name, s.dtype, s.to_list()) for s in alone]


@settings(max_examples=200)
@given(st.dates(dt.date(1000, 1, 1), dt.date(9999, 12, 31)), st.times(), st.sampled_from(["T", " "]))
@example(dt.date(2060, 6, 6), dt.time(0, 0, 0, 160), "T")
@example(dt.date(2025, 1, 15), dt.time(23, 59, 0, 600_000), " ")
@example(dt.date(2025, 1, 15), dt.time(23, 59, 0, 235_960), " ")
def test_every_microsecond_reads_back_equal(date: dt.date, time: dt.time, between: str) -> None:
    value = dt.datetime.combine(date, time)
    text = value.isoformat(between, "microseconds")
    assert cast([text, text + "Z"], INSTANT) == [value.replace(tzinfo=dt.UTC)] * 2


@pytest.mark.parametrize(
    "fmt", ["%d.%m.%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y%m%d", "%d/%b/%Y:%H:%M:%S %z", "%j.%Y"]
)
def test_formats_that_read_a_whole_date_are_accepted(fmt: str) -> None:
    require_formats([fmt], are_dates=False)


@pytest.mark.parametrize("fmt", ["", "x", "%Y", "%d.%m", "%H:%M", "%Q", "%Y-%m-%d %H:%M %Z", "%s", "%I:%M %d.%m.%Y"])
def test_formats_that_guess_are_refused_with_the_format_named(fmt: str) -> None:
    with pytest.raises(ValueError, match=r"found .*; expected ") as failure:
        require_formats([fmt], are_dates=False)
    assert repr(fmt) in str(failure.value)


def test_two_formats_may_not_read_one_text_differently() -> None:
    require_formats(["%d.%m.%Y", "%Y-%m-%d", "%d.%m.%y"], are_dates=True)
    with pytest.raises(ValueError, match="differently"):
        require_formats(["%d/%m/%Y", "%m/%d/%Y"], are_dates=True)
