"""What a sender is seen to send: observed types of text, types of Parquet, and what one wrong value does not change."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.drift.columns import CONTRACT, find_drift
from etl_platform.limits import OBSERVED_ROWS
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import SenderFormat, map_columns
from etl_platform.transforms.observe import Observation, Sight
from etl_platform.transforms.sender_schema import SenderSchema, sender_schema, spell

SWISS = Dialect(decimal=",", thousands=".")


@pytest.mark.parametrize(
    ("values", "dialect", "kind"),
    [
        (["1", "-20", " 300 "], Dialect(), "integer"),
        (["1", "2.5", "3.25"], Dialect(), "decimal"),
        ([".5", "1e-7"], Dialect(), "decimal"),
        (["1.234,50", "7,25"], SWISS, "decimal"),
        (["1.234", "5"], SWISS, "integer"),
        (["1.234", "1.5"], Dialect(decimal=","), "text"),
        (["2025-01-15", "15.01.2025"], Dialect(), "date"),
        (["2025-01-15T10:00:00Z", "15.01.2025 10:00:00", "1/15/2025 4:00 PM"], Dialect(), "timestamp"),
        (["AAPL", "MSFT"], Dialect(), "text"),
        (["1", "2", "n/a"], Dialect(), "integer"),
        (["1", "x", "y"], Dialect(), "text"),
        ([], Dialect(), "empty"),
    ],
)
def test_text_is_what_at_least_half_of_it_looks_like(values: list[str], dialect: Dialect, kind: str) -> None:
    assert look_like([values], dialect) == [kind]


def test_columns_of_any_lengths_together_look_as_each_alone() -> None:
    samples = [["1", "2", "x"], [], ["2025-01-15"], ["a", "1"], ["1.5"] * 5, []]
    kinds = ["integer", "empty", "date", "integer", "decimal", "empty"]
    assert look_like(samples, Dialect()) == kinds == [look_like([text], Dialect())[0] for text in samples]


def test_names_that_are_patterns_are_names() -> None:
    seen = observed({"^.*$": ["1", None], "*": ["", "x"], "": [None, "2025-01-15"], "v": [None, None]})
    assert [(column.name, column.type) for column in seen.columns] == [
        ("^.*$", "integer"), ("*", "text"), ("", "date"), ("v", "empty"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (pl.Int64(), "int64"),
        (pl.Decimal(18, 4), "decimal(18, 4)"),
        (pl.Datetime("us", "UTC"), "timestamp(us, UTC)"),
        (pl.Datetime("ns"), "timestamp(ns)"),
        (pl.String(), "text"),
        (pl.Null(), "empty"),
    ],
)
def test_parquet_types_are_spelled_for_people(dtype: pl.DataType, name: str) -> None:
    assert spell(dtype) == name


def look_like(columns: list[list[str]], dialect: Dialect) -> list[str]:
    """What each column looks like, in a frame as high as the longest."""
    height = max(len(values) for values in columns)
    data: dict[str, list[object]] = {
        f"column {number}": [*values, *[None] * (height - len(values))] for number, values in enumerate(columns)
    }
    frame = pl.DataFrame(data, schema=dict.fromkeys(data, pl.String))
    return [column.type for column in schema_of([frame], "csv", SenderFormat(dialect=dialect)).columns]


def observed(
    *frames: dict[str, list[object]], file_format: str = "csv", sender: SenderFormat | None = None
) -> SenderSchema:
    return schema_of([pl.DataFrame(data) for data in frames], file_format, sender or SenderFormat())


def schema_of(frames: list[pl.DataFrame], file_format: str, sender: SenderFormat) -> SenderSchema:
    contract, seen = BUILT_IN["prices"], Observation()
    names: list[str] = []
    for frame in frames:
        names += [name for name in frame.columns if name not in names]
        sight = Sight(contract, sender, map_columns(names, contract, sender), file_format)
        seen += Observation(samples=sight.samples(frame), types=sight.types(frame))
    schema = sender_schema(seen, map_columns(names, contract, sender), contract, file_format)
    assert schema is not None
    return schema


def types(schema: SenderSchema) -> dict[str, str]:
    return {column.name: column.type for column in schema.columns}


def test_columns_keep_the_senders_order_and_know_what_they_feed() -> None:
    schema = observed(
        {"Ticker": ["A"], "venue": ["X"], "CLOSE": ["1.5"]}, sender=SenderFormat(columns={"Ticker": "symbol"})
    )
    assert [(c.name, c.target) for c in schema.columns] == [("Ticker", "symbol"), ("venue", None), ("CLOSE", "close")]


def test_null_texts_and_blanks_are_no_values() -> None:
    schema = observed(
        {"close": ["NULL", "", "1.5"], "venue": ["NULL", "", None]}, sender=SenderFormat(null_texts=("NULL",))
    )
    assert types(schema) == {"close": "decimal", "venue": "empty"}


def test_a_column_that_begins_empty_is_looked_at_again() -> None:
    schema = observed({"venue": [None, None]}, {"venue": ["7", "8"], "late": ["x", "y"]}, {"venue": ["text", "text"]})
    assert types(schema) == {"venue": "integer", "late": "text"}


def test_the_first_values_of_a_file_decide_however_it_is_cut() -> None:
    """A column that begins with one odd value is not that value's type for a whole file."""
    values: list[object] = ["x", *["7"] * OBSERVED_ROWS, *["text"] * OBSERVED_ROWS]
    whole = observed({"venue": values})
    cut = observed(
        {"venue": values[:1]}, {"venue": values[1:500]}, {"venue": values[500:1500]}, {"venue": values[1500:]}
    )
    assert types(whole) == {"venue": "integer"} and cut == whole
    texts, numbers = values[-OBSERVED_ROWS:], values[1:500] * 4
    assert types(observed({"venue": texts}, {"venue": numbers})) == {"venue": "text"}


def test_values_that_do_not_read_as_the_contracts_type_are_seen() -> None:
    schema = observed({"close": ["ten", "eleven"], "volume": ["1.5", "2.5"], "open": ["1", "2"]})
    assert {column.name: column.reads for column in schema.columns} == {"close": False, "volume": False, "open": True}


def test_a_single_wrong_value_is_no_other_type() -> None:
    assert [(c.type, c.reads) for c in observed({"close": ["n/a"]}).columns] == [("unclear", True)]


def test_parquet_columns_have_the_files_types() -> None:
    data: dict[str, list[object]] = {
        "close": [Decimal("1.50")],
        "volume": [1.5],
        "timestamp": [dt.datetime(2025, 1, 15, tzinfo=dt.UTC)],
        "symbol": ["7"],
    }
    expected = {"close": "decimal(38, 2)", "volume": "float64", "timestamp": "timestamp(us, UTC)", "symbol": "text"}
    found = types(observed(data, file_format="parquet"))
    assert {**found, "close": "decimal(38, 2)"} == expected and found["close"].startswith("decimal(")


def test_numbers_that_may_have_lost_digits_are_another_type_than_text_from_the_first_delivery_on() -> None:
    cases: list[tuple[list[object], bool]] = [([7.0], True), ([7], False), ([None], False)]
    for values, is_drift in cases:
        schema = observed({"symbol": values}, file_format="parquet")
        (column,) = schema.columns
        assert column.reads is not is_drift
        retyped = [d for d in find_drift(schema, BUILT_IN["prices"]) if d.change == "retyped"]
        assert [(d.before, d.after, d.against) for d in retyped] == [("text", "float64", (CONTRACT,))] * is_drift


def test_a_schema_survives_the_ledgers_json() -> None:
    schema = observed({"close": ["ten", "eleven"], "venue": ["X", "Y"]})
    assert SenderSchema.from_json("csv", [column.as_json() for column in schema.columns]) == schema
