"""What people type: dates and names that exist, or one line that says which do."""

from __future__ import annotations

import datetime as dt

import pytest

from etl_platform.cli.choices import parse_dates, parse_names
from etl_platform.errors import UnknownNameError

FIRST, LAST = dt.date(2025, 1, 1), dt.date(2025, 1, 31)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2025-01-15", [15]), ("2025-01-13..2025-01-15", [13, 14, 15]), ("2025-01-15, 2025-01-13", [13, 15]),
        ("2025-01-13..2025-01-14,2025-01-14..2025-01-15", [13, 14, 15]), ("2025-01-01..2025-01-31", list(range(1, 32))),
    ],
)  # fmt: skip
def test_dates_are_single_days_ranges_and_lists_once_each_in_order(text: str, days: list[int]) -> None:
    assert parse_dates(text, FIRST, LAST) == [dt.date(2025, 1, day) for day in days]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no date"), ("yesterday", "no date"), ("2025-02-30", "no date"), ("2025-01-15..", "no date"),
        ("..2025-01-15", "no date"), ("2025-01-15..2025-01-13", "an end before its start"),
        ("2024-12-31", "outside the partitions"), ("2025-01-15..2025-02-01", "outside the partitions"),
        ("2025-01-15,", "no date"),
    ],
)  # fmt: skip
def test_what_is_no_date_of_the_platform_is_one_line(text: str, found: str) -> None:
    with pytest.raises(UnknownNameError, match=found) as failure:
        parse_dates(text, FIRST, LAST)
    assert "\n" not in str(failure.value) and failure.value.expected


def test_names_are_all_of_them_or_those_that_were_typed() -> None:
    assert parse_names(None, ["b", "a"], "institution") == ["a", "b"]
    assert parse_names(" b,a, b", ["a", "b", "c"], "institution") == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "expected"), [("prise", "prices"), ("prices,transaction", "transactions"), ("zzz", "prices")]
)
def test_an_unknown_name_gets_the_near_ones(text: str, expected: str) -> None:
    with pytest.raises(UnknownNameError, match=expected):
        parse_names(text, ["prices", "transactions"], "dataset")


@pytest.mark.parametrize("text", ["", " ", ","])
def test_no_name_is_not_nothing_to_do(text: str) -> None:
    with pytest.raises(UnknownNameError, match="no name"):
        parse_names(text, ["prices"], "dataset")
