"""Identifiers that arrive as bare JSON numbers: the same digits in every file, or quarantined, and drift."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.drift.columns import find_drift
from etl_platform.readers.options import JsonOptions
from etl_platform_tests.unit.transforms.test_silver import build

CONTRACT_OF = BUILT_IN["transactions"]


def bookings(*identifiers: str, amount: str = "1.5") -> bytes:
    rest = (
        f'"account_id":"A1","timestamp":"2025-01-15T10:00:00Z","amount":{amount},"currency":"CHF",'
        '"type":"deposit","description":"1001.0"'
    )
    return "".join(f'{{"transaction_id":{identifier},{rest}}}\n' for identifier in identifiers).encode()


@pytest.mark.parametrize("rows", [1, 100_000])
def test_one_identifier_is_one_row_however_its_number_is_written(tmp_path: Path, rows: int) -> None:
    contents = [bookings("1001.0", "1e3"), bookings("1001", "12345678901234567890"), bookings('"1001.0"', '"1e3"')]
    result = build(tmp_path, *contents, options=JsonOptions(), contract=CONTRACT_OF, batch_rows=rows)
    silver = result.silver.collect().sort("transaction_id")
    assert silver["transaction_id"].to_list() == ["1000", "1001", "1001.0", "12345678901234567890", "1e3"]
    assert silver["description"].unique().to_list() == ["1001.0"]
    assert (result.rows_duplicate, result.rows_quarantined, result.unexplained) == (1, 0, 0)


def test_a_number_that_is_no_certain_identifier_is_quarantined(tmp_path: Path) -> None:
    content = bookings("1.0", "1001.5", "1.2345678901234568e16")
    result = build(tmp_path, content, options=JsonOptions(), contract=CONTRACT_OF)
    bad = result.quarantine.collect().sort("_source_row")
    assert result.silver.collect()["transaction_id"].to_list() == ["1"]
    assert bad["_source_row"].to_list() == [2, 3]
    assert bad["rules"].to_list() == [["transaction_id_is_typed"]] * 2


@pytest.mark.parametrize("files", [1, 2])
def test_numbers_with_a_fraction_are_drift_from_the_first_delivery_on(tmp_path: Path, files: int) -> None:
    def retyped(*identifiers: str) -> list[str]:
        contents = [bookings(*identifiers)] * files
        result = build(tmp_path, *contents, options=JsonOptions(), contract=CONTRACT_OF)
        schemas = [counts.schema for counts in result.files if counts.schema]
        assert len(schemas) == files
        return [str(d.column) for s in schemas for d in find_drift(s, CONTRACT_OF) if d.change == "retyped"]

    assert retyped("1001.0", "1002.0") == ["transaction_id"] * files
    assert retyped("1001", "1002") == retyped('"1001.0"', '"1002.0"') == []
