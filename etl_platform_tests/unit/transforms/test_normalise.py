"""Sender's columns to the contract's: nothing is picked silently, nothing is guessed, every finding is a failure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.errors import FileRefusedError
from etl_platform.readers.parquet.types import row_as_json
from etl_platform.transforms.casts import Dialect
from etl_platform.transforms.normalise import (
    Mapped,
    Normalised,
    SenderFormat,
    map_columns,
    normalise,
    require_columns,
    require_unambiguous,
)

PRICES, TRANSACTIONS = BUILT_IN["prices"], BUILT_IN["transactions"]
NAMES = tuple(c.name for c in PRICES.columns)
ROW = {
    "symbol": "AAPL", "timestamp": "2025-01-15T14:30:00Z", "open": "1", "high": "2", "low": "0.5", "close": "1.5",
    "volume": "10",
}  # fmt: skip


def mapped(names: Sequence[str], **sender: Any) -> Mapped:
    return map_columns(names, PRICES, SenderFormat(**sender))


def normalised(rows: Sequence[Mapping[str, Any]], **sender: Any) -> Normalised:
    raw = pl.DataFrame(rows)
    return normalise(raw, PRICES, SenderFormat(**sender), mapped(raw.columns, **sender))


def test_the_contracts_own_names_map_whatever_their_case_and_order() -> None:
    names = [" Volume", "CLOSE ", *(n for n in reversed(NAMES) if n not in ("volume", "close")), "Note"]
    found = mapped(names)
    assert set(found.sources) == set(NAMES)
    assert (found.sources["volume"], found.sources["close"]) == (" Volume", "CLOSE ")
    assert (found.missing, found.extra, found.rivals) == ((), ("Note",), {})


def test_configured_names_are_taken_as_written_blanks_aside() -> None:
    found = mapped(
        ["Kürzel", " Zeit ", "hoch", "open"], columns={"Kürzel": "symbol", "Zeit": "timestamp", "Hoch": "high"}
    )
    assert found.sources == {"symbol": "Kürzel", "timestamp": " Zeit ", "open": "open"}
    assert (found.missing, found.extra) == (("high", "low", "close", "volume"), ("hoch",))


@pytest.mark.parametrize(
    ("names", "columns", "rivals"),
    [
        (["symbol", "Symbol"], {}, {"symbol": ("symbol", "Symbol")}),
        (["close", "close "], {}, {"close": ("close", "close ")}),
        (["Last", "Final"], {"Last": "close", "Final": "close"}, {"close": ("Last", "Final")}),
        # What the configuration says is no guess: the sender's own "close" may be yesterday's.
        (["close", "Last"], {"Last": "close"}, {}), (["Last", "close"], {"Last": "close"}, {}),
        (["close", "Close", "Last"], {"Last": "close"}, {}),
        # One name now, another earlier: both may be configured.
        (["Last"], {"Last": "close", "Final": "close"}, {}),
    ],
)  # fmt: skip
def test_two_columns_of_equal_right_refuse_the_file(
    names: list[str], columns: dict[str, str], rivals: dict[str, tuple[str, ...]]
) -> None:
    found = mapped(names, columns=columns)
    assert found.rivals == rivals
    if not rivals:
        require_unambiguous(found, "file x")
        assert set(names) - {found.sources["close"]} == set(found.extra)
        return
    with pytest.raises(FileRefusedError) as refusal:
        require_unambiguous(found, "file x")
    assert refusal.value.rule == "columns_are_unambiguous"
    (target, rival_names), *_ = rivals.items()
    assert all(repr(name) in refusal.value.found for name in rival_names) and target in refusal.value.found


def test_an_accent_is_one_letter_however_it_is_stored() -> None:
    contract = BUILT_IN["prices"]
    assert map_columns(["CLOSÉ"], contract, SenderFormat()).extra == ("CLOSÉ",)
    found = map_columns(["Cafe\u0301"], contract, SenderFormat(columns={"Cafe\u0301": "close"}))
    assert found.sources == {"close": "Cafe\u0301"}


def test_a_missing_required_column_refuses_the_file_and_a_missing_optional_one_does_not() -> None:
    names = [n for n in NAMES if n not in ("open", "volume")]
    with pytest.raises(FileRefusedError) as refusal:
        require_columns(mapped(names), names, PRICES, "file x")
    assert refusal.value.rule == "file_has_required_columns"
    assert "open, volume" in refusal.value.expected and "symbol" in refusal.value.found
    optional = [c.name for c in TRANSACTIONS.columns if not c.nullable]
    found = map_columns(optional, TRANSACTIONS, SenderFormat())
    require_columns(found, optional, TRANSACTIONS, "file x")
    assert found.missing == ("description",)


def test_what_key_or_configuration_supplies_is_not_missing_and_is_cast_like_any_text() -> None:
    rows = [{k: v for k, v in ROW.items() if k not in ("symbol", "volume")}] * 2
    supplied = {"symbol": "MSFT", "volume": "1.200"}
    result = normalised(rows, supplied=supplied, dialect=Dialect(decimal=",", thousands="."))
    assert result.frame.get_column("symbol").to_list() == ["MSFT", "MSFT"]
    assert result.frame.get_column("volume").to_list() == [1200, 1200]
    # A column of the file that is supplied all the same is extra, not lost from sight.
    both = mapped(NAMES, supplied={"symbol": "MSFT"})
    assert both.extra == ("symbol",) and both.missing == ()


def test_frames_have_exactly_the_contracts_columns_and_types() -> None:
    frame = normalised([ROW]).frame
    assert frame.schema == pl.Schema({c.name: c.dtype for c in PRICES.columns})
    assert frame.row(0) == (
        "AAPL",
        dt.datetime(2025, 1, 15, 14, 30, tzinfo=dt.UTC),
        *(Decimal(text) for text in ("1", "2", "0.5", "1.5")),
        10,
    )


def test_an_empty_frame_keeps_its_schema() -> None:
    raw = pl.DataFrame(schema=dict.fromkeys(NAMES, pl.String))
    result = normalise(raw, PRICES, SenderFormat(), mapped(NAMES))
    assert result.frame.schema == pl.Schema({c.name: c.dtype for c in PRICES.columns})
    assert result.frame.is_empty() and result.failures.is_empty()


def test_values_that_do_not_read_are_failures_with_what_was_found() -> None:
    rows = [ROW, {**ROW, "open": "1,5", "volume": "12.5"}, {**ROW, "timestamp": "15.01.2025", "open": "x" * 300}]
    failures = normalised(rows).failures.sort("index", "rule")
    assert failures.select("index", "rule", "column").rows() == [
        (1, "open_is_typed", "open"), (1, "volume_is_typed", "volume"),
        (2, "open_is_typed", "open"), (2, "timestamp_is_typed", "timestamp"),
    ]  # fmt: skip
    assert failures.get_column("found").to_list() == ["1,5", "12.5", "x" * 200, "15.01.2025"]


def test_a_missing_value_is_no_type_failure_and_empty_text_is_no_missing_value() -> None:
    rows: list[dict[str, Any]] = [{**ROW, "open": None, "symbol": ""}, {**ROW, "open": ""}]
    result = normalised(rows)
    assert result.failures.select("index", "rule").rows() == [(1, "open_is_typed")]
    assert result.frame.get_column("symbol").to_list() == ["", "AAPL"]


def test_null_texts_stand_for_no_value_exactly_as_written() -> None:
    rows = [{**ROW, "open": text, "symbol": text} for text in ("NULL", "-", "null", "", " - ")]
    result = normalised(rows, null_texts=("NULL", "-", ""))
    assert result.frame.get_column("symbol").to_list() == [None, None, "null", None, " - "]
    assert result.failures.get_column("index").to_list() == [2, 4]


def test_columns_of_any_parquet_type_end_in_failures_and_not_in_a_crash() -> None:
    odd = pl.DataFrame([ROW]).with_columns(
        open=pl.Series([[1.0]]), high=pl.Series([{"a": 1}]), low=pl.Series([dt.timedelta(1)]),
        close=pl.Series([b"\xff"]), volume=pl.Series([True]), timestamp=pl.Series([2**62]).cast(pl.Datetime("ms")),
    )  # fmt: skip
    result = normalise(odd, PRICES, SenderFormat(), mapped(odd.columns))
    assert set(result.failures.get_column("column")) == {"open", "high", "low", "close", "volume", "timestamp"}
    found = dict(result.failures.select("column", "found").rows())
    assert "List" in found["open"] and "Struct" in found["high"] and found["close"] == "ff"


def test_a_mapped_column_that_this_batch_lacks_is_null_in_it() -> None:
    later = pl.DataFrame([{**ROW, "open": None}]).drop("open")
    result = normalise(later, PRICES, SenderFormat(), mapped(NAMES))
    assert result.frame.get_column("open").to_list() == [None] and result.failures.is_empty()


def test_the_raw_text_of_any_parquet_row_can_be_written() -> None:
    instant = pl.Series([2**62, 0]).cast(pl.Datetime("ms", "UTC"))
    odd = pl.DataFrame(
        {
            "instant": instant, "day": pl.Series([2**31 - 1, 0], dtype=pl.Int32).cast(pl.Date),
            "bytes": [b"\xff", b"a"], "list": [[b"\xff"], None], "struct": [{"a": b"x", "b": float("nan")}, None],
            "instants": pl.DataFrame({"i": instant}).select(pl.concat_list("i")).to_series(),
        }
    )  # fmt: skip
    first, second = row_as_json(odd, pl.Series([0, 1], dtype=pl.UInt32))
    assert json.loads(first) == {
        "instant": str(2**62), "day": str(2**31 - 1), "bytes": "ff", "list": ["ff"], "struct": {"a": "78", "b": "NaN"},
        "instants": [str(2**62)],
    }  # fmt: skip
    assert json.loads(second)["instant"].startswith("1970-01-01 00:00:00") and json.loads(second)["struct"] is None
