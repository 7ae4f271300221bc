"""`_extra` loses nothing of the columns that the contract lacks, whatever their types."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import polars as pl

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
    assert "List(Binary)" in found["blobs"]
