"""`_row_hash` is written in tables for years: golden values, and no two different rows with one text."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

import pandera.polars as pa
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.transforms.casts import Dialect, cast_series
from etl_platform.transforms.row_hash import row_hash


class Everything(ContractModel):
    """One column of each type."""

    text: pl.String = pa.Field(nullable=True)
    other: pl.String = pa.Field(nullable=True)
    price: Annotated[pl.Decimal, 18, 8] = pa.Field(nullable=True)
    count: pl.Int64 = pa.Field(nullable=True)
    share: pl.Float64 = pa.Field(nullable=True)
    flag: pl.Boolean = pa.Field(nullable=True)
    day: pl.Date = pa.Field(nullable=True)
    instant: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(nullable=True)


EVERYTHING = Contract.from_model("everything", Everything, key=("text",))
SCHEMA = {c.name: c.dtype for c in EVERYTHING.columns}
FULL = {
    "text": "AAPL", "other": "é", "price": Decimal("104.06"), "count": -7, "share": 0.1, "flag": True,
    "day": dt.date(2025, 1, 15), "instant": dt.datetime(2025, 1, 15, 9, 30, 0, 1, dt.UTC),
}  # fmt: skip


def hashes(rows: list[dict[str, Any]]) -> list[int]:
    return pl.DataFrame(rows, schema=SCHEMA).select(row_hash(EVERYTHING)).to_series().to_list()


def test_the_hash_of_a_row_never_changes() -> None:
    # Confirmed with another implementation of XXH3 over the text that the module describes.
    assert hashes([FULL, {}, {"text": ""}, {"text": "a\x1fb"}]) == [
        -1335166558618644276, -1699747818859835118, -8759537310766727059, -7880032451192890659,
    ]  # fmt: skip
    bar = {
        "symbol": "AAPL", "timestamp": dt.datetime(2025, 1, 15, 14, 30, tzinfo=dt.UTC), "open": Decimal("104.06"),
        "high": Decimal("105"), "low": Decimal("104"), "close": Decimal("104.5"), "volume": 1200,
    }  # fmt: skip
    prices = BUILT_IN["prices"]
    frame = pl.DataFrame([bar], schema={c.name: c.dtype for c in prices.columns})
    assert frame.select(row_hash(prices)).item() == -6994016555332784099


def test_equal_values_hash_equal_whatever_they_came_from() -> None:
    price = pl.Decimal(18, 8)
    sources = [
        pl.Series(["104.06"]), pl.Series(["104.0600000"]), pl.Series([" 1.0406E2"]), pl.Series([104.06]),
        pl.Series([104.06000000000002]), pl.Series([Decimal("104.06")]), pl.Series([104.06], dtype=pl.Float32),
    ]  # fmt: skip
    read = [cast_series(s, price, Dialect()).item() for s in sources]
    read.append(cast_series(pl.Series(["104,06"]), price, Dialect(decimal=",")).item())
    assert len(set(hashes([{"price": value} for value in read]))) == 1
    assert len(set(hashes([{"share": 0.0}, {"share": -0.0}]))) == 1


def test_each_column_counts_and_so_does_its_place() -> None:
    changed = [
        {**FULL, "text": "AAPM"}, {**FULL, "price": Decimal("104.06000001")}, {**FULL, "count": 7},
        {**FULL, "share": 0.10000000000000002}, {**FULL, "flag": False}, {**FULL, "day": dt.date(2025, 1, 16)},
        {**FULL, "instant": dt.datetime(2025, 1, 15, 9, 30, 0, 2, dt.UTC)}, *({**FULL, name: None} for name in FULL),
        {**FULL, "text": "é", "other": "AAPL"}, FULL,
    ]  # fmt: skip
    assert len(set(hashes(changed))) == len(changed)


HOSTILE = st.none() | st.text("a\x1f\x01", max_size=4)


@given(st.lists(st.tuples(HOSTILE, HOSTILE), min_size=2, max_size=40, unique=True))
def test_no_text_can_pass_for_two_columns_or_for_null(rows: list[tuple[str | None, str | None]]) -> None:
    found = hashes([{"text": text, "other": other} for text, other in rows])
    assert len(set(found)) == len(rows)
