"""What is stored, read back: each thing that can be wrong with it is a number and a sample."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.rules import type_rule
from etl_platform.limits import STORED_SAMPLE_ROWS
from etl_platform.transforms.stored import checkable_rules, inspect

PRICES = BUILT_IN["prices"]
NOON = dt.datetime(2025, 1, 15, 12, tzinfo=dt.UTC)


def stored(rows: int, first: int = 0, **changes: Any) -> pl.DataFrame:
    price = Decimal(10)
    row = {
        "symbol": "AAPL", "open": price, "high": price, "low": price, "close": price, "volume": 1, "_source_file": "f",
        "_row_hash": 1, "_processed_at": NOON + dt.timedelta(hours=20), "business_date": dt.date(2025, 1, 15),
        "institution": "acme",
    }  # fmt: skip
    found = [
        {**row, "timestamp": NOON + dt.timedelta(seconds=n), "_source_row": n, **changes}
        for n in range(first, first + rows)
    ]
    return pl.DataFrame(found, schema=PRICES.silver.polars_schema)


def test_what_is_right_gives_rows_and_nothing_else() -> None:
    found = inspect([stored(3), stored(2, first=3)], PRICES)
    assert (found.rows, found.broken, found.samples, found.repeated_keys, found.schema_differences) == (
        5,
        {},
        {},
        0,
        [],
    )


def test_nothing_stored_is_right_too() -> None:
    assert inspect([], PRICES).rows == inspect([PRICES.silver.empty()], PRICES).rows == 0


def test_broken_rules_are_counted_over_all_frames_with_a_few_rows_each() -> None:
    frames = [
        stored(4, volume=-1),
        stored(2, first=4),
        stored(4, first=6, volume=-2, symbol="x"),
        stored(1, 10, symbol=None),
    ]
    found = inspect(frames, PRICES)
    assert found.broken == {"volume_is_not_negative": 8, "symbol_is_well_formed": 4, "symbol_is_present": 1}
    sample = found.samples["volume_is_not_negative"]
    assert sample.height == STORED_SAMPLE_ROWS and sample.get_column("volume").to_list() == [-1, -1, -1, -1, -2]
    assert found.samples["symbol_is_well_formed"].get_column("symbol").to_list() == ["x"] * 4


def test_keys_repeat_across_frames() -> None:
    assert inspect([stored(3), stored(3, first=1)], PRICES).repeated_keys == 2
    keyless = replace(PRICES, key=())
    assert inspect([stored(3)], keyless).repeated_keys == 2, "three rows of one hash"


def test_differences_of_the_schema_are_sentences_once_each_and_no_crash() -> None:
    bent = stored(2).drop("low").with_columns(pl.col("volume").cast(pl.Int32), more=1)
    found = inspect([bent, bent, stored(1)], PRICES)
    assert found.schema_differences == [
        "volume is Int32, expected Int64", "low (Decimal(precision=18, scale=8)) is missing", "more (Int32) is extra",
    ]  # fmt: skip
    assert (found.rows, found.broken) == (5, {})


def test_every_rule_that_typed_rows_can_break_is_checkable() -> None:
    names = {rule.name for rule in checkable_rules(PRICES)}
    assert names == {rule.name for rule in PRICES.rules} - {type_rule(c.name) for c in PRICES.columns}
