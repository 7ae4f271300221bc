"""Unknown references are counted by rows and by values, over any number of batches."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.limits import REFERENCE_SAMPLE_ROWS
from etl_platform.transforms.references import describe_references, unknown_references

NAMES = st.sampled_from(["", "a", "A", "b", "c", "ACC-1", "ACC-10", None])
SNAPSHOT = dt.date(2025, 1, 14)


def frames(batches: list[list[str | None]]) -> list[pl.DataFrame]:
    return [pl.DataFrame({"account_id": batch}, schema={"account_id": pl.String}) for batch in batches]


@given(st.lists(st.lists(NAMES)), st.lists(NAMES))
def test_counts_are_those_of_sets(batches: list[list[str | None]], known: list[str | None]) -> None:
    found = unknown_references(frames(batches), pl.Series(known, dtype=pl.String), "account_id")
    referred = Counter(value for batch in batches for value in batch if value is not None)
    unknown = {value: rows for value, rows in referred.items() if value not in known}
    assert (found.rows, found.values) == (referred.total(), len(referred))
    assert (found.rows_unknown, found.values_unknown) == (sum(unknown.values()), len(unknown))
    assert dict(found.sample.rows()) == unknown


def test_the_sample_shows_the_values_with_most_rows() -> None:
    batches: list[list[str | None]] = [[f"A-{i:02}"] * (20 - i) for i in range(20)]
    found = unknown_references(frames(batches), pl.Series([], dtype=pl.String), "account_id")
    assert found.sample.rows() == [(f"A-{i:02}", 20 - i) for i in range(REFERENCE_SAMPLE_ROWS)]
    assert found.values_unknown == 20


def test_the_sentence_names_numbers_and_snapshot() -> None:
    known = pl.Series(["a"])
    some = unknown_references(frames([["a", "b", "b"]]), known, "account_id")
    assert describe_references(some, "account_id", "accounts", SNAPSHOT) == (
        "1 of 2 account_id (2 of 3 rows) are not in accounts of 2025-01-14"
    )
    none = unknown_references(frames([["a", "a"]]), known, "account_id")
    assert describe_references(none, "account_id", "accounts", SNAPSHOT) == (
        "all 1 account_id of 2 rows are in accounts of 2025-01-14"
    )
