"""The control line: a file whose count or sum differs is refused, whatever follows the line."""

from __future__ import annotations

import pytest

from etl_platform.readers import CsvOptions
from etl_platform_tests.unit.readers.reading import read, refusal, small_blocks

BOTH = CsvOptions(trailer=r"T;(?P<rows>\d+);(?P<sum_amount>.*)", delimiter=";")
RULE = "file_matches_its_trailer"


@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n", "\n" * 500])
@pytest.mark.parametrize("size", [1, 3, 16, 10_000])
def test_control_line_is_taken_out_and_agrees(tail: str, size: int) -> None:
    with small_blocks(size):
        out = read(("id;amount\n1;0.10\n2;0.20\nT;2;0.3" + tail).encode(), BOTH)
    assert out.rows == [("1", "0.10"), ("2", "0.20")]
    assert out.rejects.is_empty()


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [("1.234,50", "0,5", "1.235,00"), ("1,234.50", "-0.5", "1234"), ("1'000", "", "1000.0")],
)
def test_sums_are_exact_with_either_decimal_mark(first: str, second: str, total: str) -> None:
    assert len(read(f"id;amount\n1;{first}\n2;{second}\nT;2;{total}\n".encode(), BOTH).rows) == 2


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"id;amount\n1;0.1\nT;2;0.1\n", "1 rows"),
        (b"id;amount\n1;0.1\nT;1;0.11\n", "sum of amount 0.1"),
        (b"id;amount\n1;0.1\n", "last line '1;0.1'"),
        (b"id;amount\n1;0.1\nT;1;0.1\n2;0.1\n", "last line '2;0.1'"),
        (b"id;amount\n1;0.1\nT;1;\n", "sum of amount"),
        (b"id;amount\n1;0.1\n2\nT;2;0.2\n", "1 unreadable rows not in it"),
        (b"id;sum\n1;0.1\nT;1;0.1\n", "no column amount"),
    ],
)
def test_disagreement_refuses_the_file(content: bytes, found: str) -> None:
    error = refusal(content, BOTH)
    assert error.rule == RULE
    assert found in error.found


@pytest.mark.parametrize(
    ("total", "found"),
    [("1.235,01", "sum of amount 1235"), ("1,235.01", "sum of amount 51.2345"), ("7", "51.2345 or 1235")],
)
def test_the_sum_is_shown_as_the_control_line_writes_numbers(total: str, found: str) -> None:
    assert found in refusal(f"id;amount\n1;1.234,50\n2;0,50\nT;2;{total}\n".encode(), BOTH).found


def test_a_column_with_any_name_can_be_summed() -> None:
    options = CsvOptions(trailer=r"T,(?P<sum_Betrag__EUR_>.*)")
    assert read(b"Betrag (EUR)\n1\n2\nT,3\n", options).rows == [("1",), ("2",)]
    assert refusal(b"Betrag (EUR)\n1\n2\nT,4\n", options).rule == RULE


def test_a_part_of_the_control_line_that_is_not_there_is_a_difference() -> None:
    options = CsvOptions(trailer=r"T(;(?P<rows>\d+))?(;(?P<sum_amount>.+))?", delimiter=";")
    assert "no rows as its trailer says" in refusal(b"id;amount\n1;1\nT\n", options).expected
    assert "none as its trailer says" in refusal(b"id;amount\n1;1\nT;1\n", options).expected


def test_rejected_rows_count_as_rows() -> None:
    out = read(b"id;amount\n1;1\n2\nT:2\n", CsvOptions(trailer=r"T:(?P<rows>\d+)", delimiter=";"))
    assert out.verdicts == [(3, "row_has_all_fields")]


def test_no_rows_and_a_trailer_that_says_so() -> None:
    out = read(b"id;amount\nT;0;0\n", BOTH)
    assert out.columns.columns == ["id", "amount"] and out.rows == []
