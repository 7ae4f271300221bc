"""By occurrence: equal lines of one file all stay, and what is sent again repeats them."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.compiled import compile_declaration
from etl_platform.contracts.declared.declaration import Declaration
from etl_platform.contracts.table import PartitionKey
from etl_platform.readers.options import CsvOptions
from etl_platform.transforms.normalise import SenderFormat
from etl_platform.transforms.silver import Silver, SilverPlan, SourceFile, build_silver

Line = tuple[str, int]
DAY = dt.date(2025, 1, 15)


def trades(**fields: Any) -> Contract:
    """Trades without an identifier, their equal lines told apart by occurrence."""
    columns = [
        {"name": "symbol", "type": "string", "description": "Symbol."},
        {"name": "shares", "type": "integer", "description": "Shares.", "min": 1},
    ]
    document = {"name": "trades", "title": "Trades", "columns": columns, "deduplicate": "occurrence", **fields}
    return compile_declaration(Declaration.model_validate(document), "trades")


TRADES, KEYED = trades(), trades(key=["symbol"])


def build(
    folder: Path, contract: Contract, *files: Sequence[Line], batch_rows: int = 1_000, budget: int = 2**29
) -> Silver:
    """Silver of files delivered in this order."""
    sources = []
    for delivery, lines in enumerate(files, 1):
        path = folder / f"{delivery}.csv"
        path.write_text("".join(f"{symbol},{shares}\n" for symbol, shares in [("symbol", "shares"), *lines]))
        sources.append(SourceFile(f"file-{delivery}", path, delivery, SenderFormat()))
    processed = dt.datetime(2025, 1, 16, tzinfo=dt.UTC)
    scratch = folder / "scratch"
    plan = SilverPlan(
        contract, PartitionKey(DAY, "acme"), CsvOptions(), processed, scratch, batch_rows=batch_rows, budget=budget
    )
    result = build_silver(sources, plan)
    assert result.unexplained == 0 and not any(file.unexplained for file in result.files)
    assert result.rows_silver == result.silver.collect().height
    assert result.rows_quarantined == result.quarantine.collect().height
    return result


def lines_of(result: Silver) -> list[Line]:
    return sorted(result.silver.select("symbol", "shares").collect().rows())


def counts(result: Silver) -> list[tuple[int, int, int, int]]:
    return [(file.rows_read, file.silver, file.quarantined, file.duplicates) for file in result.files]


def test_twins_of_one_file_stay_and_a_file_with_one_more_adds_one(tmp_path: Path) -> None:
    twin = ("A", 100)
    result = build(tmp_path, TRADES, [twin, twin], [twin, twin, twin])
    assert lines_of(result) == [twin] * 3
    assert counts(result) == [(2, 2, 0, 0), (3, 1, 0, 2)]
    kept = result.silver.select("_source_file", "_source_row").collect().rows()
    assert sorted(kept) == [("file-1", 2), ("file-1", 3), ("file-2", 4)]


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    lines = [("A", 100), ("B", 5), ("A", 100)]
    result = build(tmp_path, TRADES, lines, lines)
    assert lines_of(result) == sorted(lines) and counts(result) == [(3, 3, 0, 0), (3, 0, 0, 3)]


def test_lines_far_apart_in_any_order_of_two_files_meet_by_their_number(tmp_path: Path) -> None:
    first = [("A", 1), ("B", 1), ("A", 1)]
    result = build(tmp_path, TRADES, first, [("B", 1), ("A", 1), ("A", 1)], batch_rows=1)
    assert lines_of(result) == sorted(first) and counts(result)[1] == (3, 0, 0, 3)


def test_a_line_that_breaks_a_rule_is_no_occurrence(tmp_path: Path) -> None:
    result = build(tmp_path, TRADES, [("A", 0), ("A", 1)], [("A", 1), ("A", 0)])
    assert lines_of(result) == [("A", 1)] and counts(result) == [(2, 1, 1, 0), (2, 0, 1, 1)]


def test_with_a_key_the_latest_delivery_wins_for_each_occurrence(tmp_path: Path) -> None:
    result = build(tmp_path, KEYED, [("A", 1), ("A", 2), ("B", 9)], [("A", 1), ("A", 3)], [("A", 4)])
    assert lines_of(result) == [("A", 3), ("A", 4), ("B", 9)]
    lost = result.quarantine.select("kind", "_source_file", "_source_row", "raw").collect().rows()
    assert sorted(lost) == [("superseded", "file-1", 2, "A,1"), ("superseded", "file-1", 3, "A,2")]
    assert counts(result) == [(3, 1, 2, 0), (2, 1, 0, 1), (1, 1, 0, 0)]


def test_a_unique_column_still_takes_a_value_once(tmp_path: Path) -> None:
    columns = [{"name": "symbol", "type": "string", "description": "Symbol.", "unique": True}]
    columns += [{"name": "shares", "type": "integer", "description": "Shares."}]
    result = build(tmp_path, trades(columns=columns), [("A", 1), ("A", 1)], [("A", 1)])
    assert lines_of(result) == [("A", 1)] and counts(result) == [(2, 1, 1, 0), (1, 0, 0, 1)]
    assert result.quarantine.select("rules").collect().rows() == [(["symbol_is_unique"],)]


def test_without_the_setting_twins_are_one(tmp_path: Path) -> None:
    result = build(tmp_path, trades(deduplicate="latest"), [("A", 1), ("A", 1)])
    assert counts(result) == [(2, 1, 0, 1)]


@pytest.mark.parametrize("contract", [TRADES, KEYED], ids=["no key", "key"])
def test_the_plain_key_is_no_promise_of_the_table(contract: Contract) -> None:
    assert contract.silver.key == () and not contract.has_unique_key
    assert trades(key=["symbol"], deduplicate="latest").silver.key == ("symbol",)


LINES = st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 2)), max_size=8)
FILES = st.lists(LINES, max_size=4)


@settings(max_examples=80)
@given(FILES, st.integers(1, 4))
def test_silver_has_each_line_as_often_as_the_file_that_has_it_most(files: list[list[Line]], batch_rows: int) -> None:
    good = [Counter(line for line in lines if line[1]) for lines in files]
    most: Counter[Line] = Counter()
    for lines in good:
        most |= lines
    with tempfile.TemporaryDirectory() as folder:
        whole = build(Path(folder), TRADES, *files)
        spilled = build(Path(folder), TRADES, *files, batch_rows=batch_rows, budget=1)
        assert Counter(lines_of(whole)) == most
        assert whole.rows_quarantined == sum(line[1] == 0 for lines in files for line in lines)
        assert counts(whole) == counts(spilled)
        assert spilled.is_spilled or not most
        places = ["_source_file", "_source_row", "symbol", "shares"]
        assert sorted(whole.silver.select(places).collect().rows()) == sorted(
            spilled.silver.select(places).collect().rows()
        )


@settings(max_examples=80)
@given(FILES)
def test_with_a_key_each_occurrence_has_the_value_of_the_latest_delivery_that_has_it(files: list[list[Line]]) -> None:
    latest: dict[tuple[str, int], int] = {}
    for lines in files:
        number: defaultdict[str, int] = defaultdict(int)
        for symbol, shares in lines:
            if shares:
                latest[symbol, number[symbol]] = shares
                number[symbol] += 1
    with tempfile.TemporaryDirectory() as folder:
        found = lines_of(build(Path(folder), KEYED, *files))
    assert found == sorted((symbol, shares) for (symbol, _), shares in latest.items())
