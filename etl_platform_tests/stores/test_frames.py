"""Frames in and out, type by type: what is widened exactly, and what is refused by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.io.plugins import register_io_source

from etl_platform.contracts.table import Column, Table
from etl_platform.errors import SchemaMismatchError
from etl_platform.limits import TABLE_BATCH_BYTES, TABLE_BATCH_ROWS
from etl_platform.stores.frames import from_batches, to_batches
from etl_platform_tests.stores.tables import SAMPLES, key, rows

DAY = dt.date(2025, 1, 13)


def table_of(dtype: pl.DataType, *, nullable: bool = True) -> Table:
    return Table("silver", "one", "", (Column("value", dtype, nullable, ""),))


def given(value: Any, dtype: pl.DataType) -> list[Any]:
    """What arrives in the store of a column `value` of the target type."""
    table = table_of(dtype)
    batches = list(to_batches(value, table, "asset one"))
    assert all(batch.schema == table.arrow_schema for batch in batches)
    return [item for batch in batches for item in batch.column(0).to_pylist()]


INSTANT = dt.datetime(2025, 1, 13, 9, 30, 0, 123_456, tzinfo=dt.UTC)
BERLIN = pa.timestamp("ns", "Europe/Berlin")
LARGE_LIST = pa.large_list(pa.large_string())
WIDENED: list[tuple[str, Any, pl.DataType, list[Any]]] = [
    ("int32 to int64", pl.DataFrame({"value": [1, None]}, schema={"value": pl.Int32}), pl.Int64(), [1, None]),
    ("uint32 to int64", pl.DataFrame({"value": [2**32 - 1]}, schema={"value": pl.UInt32}), pl.Int64(), [2**32 - 1]),
    ("float32 to float64", pl.DataFrame({"value": [0.5]}, schema={"value": pl.Float32}), pl.Float64(), [0.5]),
    ("null to anything", pl.DataFrame({"value": [None]}), pl.Decimal(18, 8), [None]),
    ("categorical", pl.DataFrame({"value": ["a", None]}, schema={"value": pl.Categorical}), pl.String(), ["a", None]),
    ("string view", pa.table({"value": pa.array(["a", ""], pa.string_view())}), pl.String(), ["a", ""]),
    (
        "decimal that fits",
        pl.DataFrame({"value": [Decimal("1.50")]}, schema={"value": pl.Decimal(38, 10)}),
        pl.Decimal(18, 8),
        [Decimal("1.50000000")],
    ),
    ("zone and unit", pa.table({"value": pa.array([INSTANT], BERLIN)}), pl.Datetime("us", "UTC"), [INSTANT]),
    ("large list", pa.table({"value": pa.array([["a"], []], LARGE_LIST)}), pl.List(pl.String()), [["a"], []]),
    ("pandas Int64", pd.DataFrame({"value": pd.array([2**62 + 1, None], "Int64")}), pl.Int64(), [2**62 + 1, None]),
    ("pandas int64", pd.DataFrame({"value": [1, 2]}), pl.Int64(), [1, 2]),
    ("pandas text", pd.DataFrame({"value": ["", None, "ü"]}), pl.String(), ["", None, "ü"]),
    ("pandas category", pd.DataFrame({"value": pd.Categorical(["a", None])}), pl.String(), ["a", None]),
    ("pandas decimals", pd.DataFrame({"value": [Decimal("0.1"), None]}), pl.Decimal(18, 8), [Decimal("0.1"), None]),
    ("pandas dates", pd.DataFrame({"value": [DAY, None, dt.date.max]}), pl.Date(), [DAY, None, dt.date.max]),
    ("pandas instants", pd.DataFrame({"value": [INSTANT, None]}), pl.Datetime("us", "UTC"), [INSTANT, None]),
    ("pandas lists", pd.DataFrame({"value": [["a"], None, []]}), pl.List(pl.String()), [["a"], None, []]),
    ("pandas booleans", pd.DataFrame({"value": pd.array([True, None], "boolean")}), pl.Boolean(), [True, None]),
    ("pandas index", pd.DataFrame({"value": [1, 2]}, index=[7, 9]), pl.Int64(), [1, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "dtype", "expected"), [case[1:] for case in WIDENED], ids=[c[0] for c in WIDENED])
def test_a_type_is_widened_where_every_value_stays(value: Any, dtype: pl.DataType, expected: list[Any]) -> None:
    assert given(value, dtype) == expected


REFUSED: list[tuple[str, Any, pl.DataType]] = [
    ("int64 to int32", pl.DataFrame({"value": [1]}), pl.Int32()),
    ("uint64 to int64", pl.DataFrame({"value": [2**63]}, schema={"value": pl.UInt64}), pl.Int64()),
    ("float to decimal", pl.DataFrame({"value": [2.675]}), pl.Decimal(18, 8)),
    ("float to int", pl.DataFrame({"value": [1.0]}), pl.Int64()),
    ("int to float", pl.DataFrame({"value": [2**53 + 1]}), pl.Float64()),
    ("text to date", pl.DataFrame({"value": ["2025-01-13"]}), pl.Date()),
    ("bool to int", pl.DataFrame({"value": [True]}), pl.Int64()),
    ("naive time", pl.DataFrame({"value": [dt.datetime(2025, 1, 13)]}), pl.Datetime("us", "UTC")),  # noqa: DTZ001
    ("date to instant", pl.DataFrame({"value": [DAY]}), pl.Datetime("us", "UTC")),
    ("nanoseconds", pa.table({"value": pa.array([1], pa.timestamp("ns", "UTC"))}), pl.Datetime("us", "UTC")),
    ("scale", pl.DataFrame({"value": [Decimal("0.123456789")]}), pl.Decimal(18, 8)),
    ("precision", pl.DataFrame({"value": [Decimal("99999999999.0")]}), pl.Decimal(18, 8)),
    ("list of ints", pl.DataFrame({"value": [[1]]}), pl.List(pl.String())),
    ("pandas floats for ints", pd.DataFrame({"value": [1, None]}), pl.Int64()),
    ("pandas mixed", pd.DataFrame({"value": ["a", 1]}), pl.String()),
    ("pandas time among dates", pd.DataFrame({"value": [DAY, dt.datetime(2025, 1, 13, 5)]}), pl.Date()),  # noqa: DTZ001
    ("pandas float among decimals", pd.DataFrame({"value": [Decimal(1), 0.1]}), pl.Decimal(18, 8)),
]


@pytest.mark.parametrize(("value", "dtype"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_would_change_a_value_is_refused_with_the_column(value: Any, dtype: pl.DataType) -> None:
    with pytest.raises(SchemaMismatchError, match=r"value.*next step"):
        given(value, dtype)


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(SchemaMismatchError, match="two columns of one name: value"):
        given(pa.table([pa.array([1]), pa.array([2])], names=["value", "value"]), pl.Int64())
    with pytest.raises(SchemaMismatchError, match="two columns of one name: value"):
        given(pd.DataFrame([[1, 2]], columns=["value", "value"]), pl.Int64())


def test_batches_are_bounded_in_rows_and_bytes() -> None:
    table = table_of(pl.String())
    many = pl.DataFrame({"value": ["x"] * (3 * TABLE_BATCH_ROWS + 1)})
    for value in (many, many.lazy(), many.to_arrow(), many.to_arrow().to_reader()):
        sizes = [batch.num_rows for batch in to_batches(value, table, "asset one")]
        assert sum(sizes) == many.height and max(sizes) <= TABLE_BATCH_ROWS
    wide = pa.table({"value": ["x" * 2**20] * 200})
    assert all(batch.nbytes <= 1.1 * TABLE_BATCH_BYTES for batch in to_batches(wide, table, "asset one"))


def test_a_frame_of_many_chunks_is_one_batch() -> None:
    frame = pl.concat([rows(key(day)) for day in range(5)], rechunk=False)
    [batch] = to_batches(frame, SAMPLES, "asset x")
    assert pl.DataFrame(batch).equals(frame)


def test_a_lazy_frame_is_streamed_only_a_little_ahead_of_the_store() -> None:
    produced = 0

    def source(*_: object) -> Iterator[pl.DataFrame]:
        nonlocal produced
        for _batch in range(200):
            produced += 1
            yield pl.DataFrame({"value": range(TABLE_BATCH_ROWS)})

    frame = register_io_source(source, schema={"value": pl.Int64()})
    batches = to_batches(frame.with_columns(pl.col("value") + 1), table_of(pl.Int64()), "asset one")
    assert not produced, "the query must not start before the store asks for rows"
    taken = 0
    for batch in batches:
        taken += batch.num_rows
        assert produced - taken // TABLE_BATCH_ROWS < 64  # measured: 29
    assert (taken, produced) == (200 * TABLE_BATCH_ROWS, 200)


def test_a_lazy_result_asks_the_store_for_its_columns_alone() -> None:
    table = Table("silver", "two", "", (Column("a", pl.Int64(), True, ""), Column("b", pl.String(), True, "")))
    asked: list[Sequence[str] | None] = []

    def read(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        asked.append(columns)
        data = pa.record_batch({"a": [1, 2], "b": ["x", "y"]})
        yield data.select(list(columns) if columns is not None else ["a", "b"])

    frame = from_batches(pl.LazyFrame, table, None, read, "input two")
    assert asked == []
    assert frame.filter(pl.col("a") > 1).select("a").collect()["a"].to_list() == [2]
    assert asked == [["a"]]


@pytest.mark.parametrize("wanted", [pl.DataFrame, pl.LazyFrame, pa.Table, pd.DataFrame])
def test_no_rows_have_all_types(wanted: type) -> None:
    table = table_of(pl.Decimal(18, 8))
    frame = from_batches(wanted, table, None, lambda _: iter(()), "input one")
    value = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    assert len(value) == 0
    if isinstance(value, pl.DataFrame):
        assert value.schema == table.polars_schema
    elif isinstance(value, pa.Table):
        assert value.schema == table.arrow_schema
    else:
        assert list(value.columns) == ["value"]
