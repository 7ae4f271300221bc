"""Groups of quarantined rows, and which of them are in silver by now."""

from __future__ import annotations

import datetime as dt

import polars as pl

from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.transforms.quarantine_view import Chosen, count_moved, grouped

SEEN = dt.datetime(2025, 1, 16, tzinfo=dt.UTC)


def refused(*rows: tuple[str, str, int | None, list[str]]) -> pl.DataFrame:
    schema = {**quarantine_table("prices").polars_schema, "dataset": pl.String()}
    lines = [
        {
            "kind": kind,
            "_source_file": file,
            "_source_row": row,
            "rules": rules,
            "columns": [],
            "reason": "",
            "_processed_at": SEEN,
            "business_date": dt.date(2025, 1, 15),
            "institution": "first",
            "dataset": "prices",
        }
        for kind, file, row, rules in rows
    ]
    return pl.DataFrame(lines, schema=schema)


ROWS = refused(
    ("row", "a", 2, ["low_is_lowest", "high_is_highest"]),
    ("row", "a", 3, ["low_is_lowest"]),
    ("file", "b", None, ["x"]),
)


def test_a_row_counts_under_every_rule_it_breaks() -> None:
    seen = pl.DataFrame({"_source_file": ["a", "a"], "first_seen_at": [SEEN, SEEN + dt.timedelta(days=1)]})
    groups = grouped(ROWS, seen).select("rows", "rule", "_source_file", "first_seen_at").rows()
    assert groups == [(2, "low_is_lowest", "a", SEEN), (1, "high_is_highest", "a", SEEN), (1, "x", "b", None)]


def test_rows_are_chosen_by_rule_and_file() -> None:
    assert Chosen().of(ROWS).height == 3
    assert Chosen(rule="high_is_highest").of(ROWS)["_source_row"].to_list() == [2]
    assert Chosen(file="b").of(ROWS)["kind"].to_list() == ["file"]


def test_moved_rows_are_counted_by_line_and_by_file_once_refused() -> None:
    silver = pl.DataFrame({"_source_file": ["a", "a", "b", "b"], "_source_row": [2, 9, 2, 3]})
    assert count_moved(ROWS, silver) == 3
    assert count_moved(ROWS.clear(), silver) == 0
