"""Parquet: typed columns kept exactly, damage and bombs refused."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_platform.readers import ParquetOptions, ReadLimits
from etl_platform_tests.unit.readers.reading import read, refusal

PARQUET = ParquetOptions()


def written(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("values", "kind", "dtype", "expected"),
    [
        ([Decimal("1.50"), None], pa.decimal128(38, 2), pl.Decimal(38, 2), Decimal("1.50")),
        ([Decimal("1.50")], pa.decimal256(20, 2), pl.Decimal(20, 2), Decimal("1.50")),
        ([Decimal("9" * 58 + ".12")], pa.decimal256(60, 2), pl.String(), "9" * 58 + ".12"),
        ([1], pa.timestamp("ns"), pl.Datetime("ns"), dt.datetime(1970, 1, 1)),  # noqa: DTZ001 - a time without zone
        ([1], pa.timestamp("us", "UTC"), pl.Datetime("us", "UTC"), dt.datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        ([1], pa.date32(), pl.Date(), dt.date(1970, 1, 2)),
        ([1.5, None], pa.float16(), pl.Float16(), 1.5),
        ([2**63], pa.uint64(), pl.UInt64(), 2**63),
        (["007"], pa.large_string(), pl.String(), "007"),
        ([b"\xff"], pa.binary(), pl.Binary(), b"\xff"),
        ([None], pa.null(), pl.Null(), None),
        ([[1, 2]], pa.list_(pa.int8()), pl.List(pl.Int8), [1, 2]),
        ([[Decimal("1.5")], None], pa.list_(pa.decimal256(60, 1)), pl.List(pl.String), ["1.5"]),
        ([[Decimal("1.5")]], pa.large_list(pa.decimal256(60, 1)), pl.List(pl.String), ["1.5"]),
        ([[Decimal("1.5")]], pa.list_(pa.decimal256(60, 1), 1), pl.Array(pl.String, 1), ["1.5"]),
        (
            [{"a": [Decimal("1.5")]}, None],
            pa.struct([("a", pa.list_(pa.decimal256(60, 1)))]),
            pl.Struct({"a": pl.List(pl.String)}),
            {"a": ["1.5"]},
        ),
        (
            [[("k", Decimal("1.5"))]],
            pa.map_(pa.string(), pa.decimal256(60, 1)),
            pl.Map(pl.String, pl.String),
            {"k": "1.5"},
        ),
    ],
)
def test_types_are_kept_or_widened_exactly(
    values: list[Any], kind: pa.DataType, dtype: pl.DataType, expected: Any
) -> None:
    out = read(written(pa.table({"a": pa.array(values, kind)})), PARQUET)
    assert out.columns.schema == {"a": dtype}
    assert out.columns["a"].to_list()[0] == expected
    assert len(out.rows) == len(values)


@pytest.mark.parametrize("zone", ["+05:30", "-03:30", "+01:00", "Z", "UTC+01:00", "+0545", "Europe/zurich", "+26:00"])
def test_a_zone_is_a_label_the_instant_is_in_the_file(zone: str) -> None:
    """Also in columns that nobody maps, and inside others."""
    instants = pa.array([0, None], pa.int64()).cast(pa.timestamp("us", zone))
    within = pa.StructArray.from_arrays([pa.ListArray.from_arrays([0, 1, 2], instants)], ["a"])
    out = read(written(pa.table({"t": instants, "n": within, "d": instants.dictionary_encode()})), PARQUET)
    start = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    assert out.columns["t"].to_list() == out.columns["d"].to_list() == [start, None]
    assert out.columns["n"].to_list() == [{"a": [start]}, {"a": [None]}]


FAR = [
    dt.datetime(9999, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001 - INT96 has no zone
    dt.datetime(1, 1, 1),  # noqa: DTZ001
    None,
    dt.datetime(2025, 1, 15, 10),  # noqa: DTZ001
]


def int96(*values: dt.datetime | None, more: int = 0) -> bytes:
    """INT96 timestamps, then a column of numbers, in row groups of two; `more`: nanoseconds beyond the microseconds."""
    data = written(
        pa.table({"t": pa.array(values, pa.timestamp("us")), "n": range(len(values))}),
        use_deprecated_int96_timestamps=True, row_group_size=2, use_dictionary=False, compression="none",
    )  # fmt: skip
    if more:
        (at,) = (n for n in range(len(data)) if data[n : n + 8] == _OF_DAY.to_bytes(8, "little"))
        data = data[:at] + (_OF_DAY + more).to_bytes(8, "little") + data[at + 8 :]
    return data


_OF_DAY = 86_399_999_999_000
"""Nanoseconds of the day of 23:59:59.999999."""


@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_int96_timestamps_are_what_the_file_says_beyond_the_range_of_nanoseconds(batch_rows: int) -> None:
    out = read(int96(*FAR), PARQUET, batch_rows=batch_rows)
    assert [row[0] for row in out.rows] == FAR
    assert json.loads(out.raw[0])["t"] == "9999-12-31 23:59:59.999999"
    assert read(int96(FAR[3], None), PARQUET).columns["t"].dtype == pl.Datetime("ns")


def test_an_int96_timestamp_finer_than_microseconds_keeps_its_digits_as_text() -> None:
    out = read(int96(*FAR, more=1), PARQUET, batch_rows=2)
    assert [row[0] for row in out.rows] == [
        "9999-12-31 23:59:59.999999001", "0001-01-01 00:00:00", None, "2025-01-15 10:00:00",
    ]  # fmt: skip


def test_an_int96_day_beyond_the_calendar_is_shown_as_it_is() -> None:
    stored = (36_000 * 10**9).to_bytes(8, "little") + (2_440_588 + 20_103).to_bytes(4, "little")
    beyond = stored[:8] + (2**31 - 1).to_bytes(4, "little")
    out = read(int96(FAR[3]).replace(stored, beyond), PARQUET)
    days = 2**31 - 1 - 2_440_588
    assert out.rows[0][0] == f"{days * 86_400_000 + 36_000_000}.000000 ms from 1970-01-01"


def test_dictionaries_become_their_values() -> None:
    table = pa.table(
        {"s": pa.array(["x", None, "x"]).dictionary_encode(), "n": pa.array([5, 5, 6]).dictionary_encode()}
    )
    out = read(written(table), PARQUET)
    assert out.columns.schema == {"s": pl.String(), "n": pl.Int64()}
    assert out.rows == [("x", 5), (None, 5), ("x", 6)]


def test_source_row_is_the_record_number_and_raw_its_json() -> None:
    table = pa.table({"n": range(1, 8), "f": [float("nan")] * 7, "b": [b"\xff"] * 7, "d": [dt.date(2025, 1, 15)] * 7})
    out = read(written(table, row_group_size=3), PARQUET, batch_rows=2)
    assert out.source_rows == [1, 2, 3, 4, 5, 6, 7]
    assert json.loads(out.raw[6]) == {"n": 7, "f": "NaN", "b": "ff", "d": "2025-01-15"}
    assert max(out.heights) == 2


def test_text_with_nul_is_rejected_alone() -> None:
    out = read(written(pa.table({"a": ["x", "y\0", None], "b": ["1", "2", "3"]})), PARQUET)
    assert out.rows == [("x", "1"), (None, "3")]
    assert out.source_rows == [1, 3]
    assert out.verdicts == [(2, "text_has_no_nul")]


def test_no_rows_still_tell_their_columns() -> None:
    out = read(written(pa.table({"a": pa.array([], pa.string()), "b": pa.array([], pa.decimal256(60, 2))})), PARQUET)
    assert out.columns.schema == {"a": pl.String(), "b": pl.String()}


GOOD = written(pa.table({"a": list(range(5000)), "b": [f"text {n}" for n in range(5000)]}), write_page_checksum=True)


@pytest.mark.parametrize("size", [4, 8, 11, 12, len(GOOD) // 2, len(GOOD) - 8, len(GOOD) - 1])
def test_truncated_file_is_refused(size: int) -> None:
    assert refusal(GOOD[:size], PARQUET).rule == "file_is_readable"


def test_flipped_bit_under_a_checksum_is_refused() -> None:
    damaged = bytearray(GOOD)
    damaged[len(GOOD) // 3] ^= 1
    assert refusal(bytes(damaged), PARQUET).rule == "file_is_readable"


def test_invalid_text_is_refused() -> None:
    raw = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    assert refusal(written(pa.table({"a": raw})), PARQUET).rule == "file_is_readable"


def test_repeated_names_are_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert refusal(written(table), PARQUET).rule == "header_names_are_unique"


@pytest.mark.parametrize(
    "limits",
    [ReadLimits(columns=1), ReadLimits(cells=9_999), ReadLimits(decompressed_bytes=20_000), ReadLimits(field_bytes=5)],
)
def test_file_beyond_a_limit_is_refused(limits: ReadLimits) -> None:
    assert refusal(GOOD, PARQUET, limits=limits).rule == "file_is_within_limits"
