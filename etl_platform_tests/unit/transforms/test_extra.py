"""`_extra` loses nothing of the columns that the contract lacks, whatever their types."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import polars as pl
import pyarrow as pa

from etl_platform.readers.parquet.types import row_as_json
from etl_platform.transforms.extra import extra_columns


def test_values_keep_their_digits_as_text() -> None:
    frame = pl.DataFrame(
        {
            "amount": [Decimal("1.50")],
            "count": [2**63 - 1],
            "share": [0.1],
            "at": [dt.datetime(2025, 1, 15, 10, tzinfo=dt.UTC)],
            'na"me': ['x"y\n\u20ac'],
            "none": [None],
            "kept": ["not asked for"],
        }
    )
    (text,) = extra_columns(frame, frame.columns[:-1])
    assert json.loads(text) == {
        "amount": "1.50",
        "count": "9223372036854775807",
        "share": "0.1",
        "at": "2025-01-15 10:00:00.000000+00:00",
        'na"me': 'x"y\n\u20ac',
        "none": None,
    }


def test_a_row_without_any_extra_value_has_none() -> None:
    frame = pl.DataFrame({"a": [None, "1"], "b": pl.Series([None, None], dtype=pl.String)})
    assert extra_columns(frame, ["a", "b"]).to_list() == [None, '{"a":"1","b":null}']
    assert extra_columns(frame, []).to_list() == [None, None]


def test_nested_values_and_bytes_do_not_end_the_run() -> None:
    frame = pl.DataFrame({"tags": [["a", "b"]], "place": [{"x": 1}], "bytes": [b"\x00\xff"], "blobs": [[b"\x00"]]})
    (text,) = extra_columns(frame, frame.columns)
    found = json.loads(text)
    assert (found["tags"], found["place"], found["bytes"]) == (["a", "b"], {"x": 1}, "00ff")
    assert found["blobs"] == ["00"]


def test_maps_and_nested_instants_do_not_end_the_run() -> None:
    by_day = pa.array([[(dt.date(2025, 1, 1), float("nan"))], None], pa.map_(pa.date32(), pa.float64()))
    by_name = pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8()))
    blobs = pa.array([[("a", b"\xff")], None], pa.map_(pa.string(), pa.binary()))
    beyond = pa.array([[2**62], None], pa.list_(pa.timestamp("ms")))
    table = pa.table({"by_day": by_day, "by_name": by_name, "blobs": blobs, "beyond": beyond})
    frame = pl.DataFrame(table)
    expected = {
        "by_day": [{"key": "2025-01-01", "value": "NaN"}],
        "by_name": {"a": 1},
        "blobs": [{"key": "a", "value": "ff"}],
        "beyond": [str(2**62)],
    }
    first, second = extra_columns(frame, frame.columns)
    assert (json.loads(first), second) == (expected, None)
    raw = row_as_json(frame, pl.Series([0, 1], dtype=pl.UInt32))
    assert [json.loads(text) for text in raw] == [expected, dict.fromkeys(expected)]
