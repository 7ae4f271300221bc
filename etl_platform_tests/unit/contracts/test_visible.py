"""No two identifiers that look alike: whatever cannot be seen quarantines its row, in every dataset."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.declared.declaration import whole_text
from etl_platform.contracts.visible import is_visible, leaves_no_room, visible_rule
from etl_platform.gold.graph import gold_graph
from etl_platform.readers import CsvOptions, JsonOptions
from etl_platform.transforms.validate import find_failures, validate
from etl_platform_tests.support.datasets import declared
from etl_platform_tests.support.delivered import deliver
from etl_platform_tests.support.hostile_files import BOOKINGS, booking

# One of each kind: zero-width space and joiner, byte order mark, no-break space, soft hyphen, directional mark and
# override, tabulator, line ends, escape, separators, wide space, private, unassigned, and what is drawn as nothing.
KINDS = (
    "\u200b\u200d\ufeff\u00a0\u00ad\u200f\u202e\t\n\r\x1b\x85\u2028\u2029\u3000\ue000\U0010ffff\u034f\u3164\u2800\ufe0f"
)
DRAWN_AS_NOTHING = {0x34F, 0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
DRAWN_AS_NOTHING |= {0x17B4, 0x17B5, *range(0x180B, 0x1810)}


def visible(*texts: str) -> list[bool]:
    return pl.DataFrame({"a": texts}).select(is_visible("a")).to_series().to_list()


def spoiled(text: str) -> list[str]:
    """`text` with each kind at its start, inside it, at its end; and with ordinary blanks around it."""
    return [new for c in KINDS for new in (c + text, text[:1] + c + text[1:], text + c)] + [" " + text, text + " "]


def test_every_character_is_judged_as_its_unicode_category_says() -> None:
    """By Python's own table; characters that a newer Unicode has assigned since may be seen."""
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    for code, is_seen in zip(codes, visible(*(f"A{chr(code)}B" for code in codes)), strict=True):
        category = unicodedata.category(chr(code))
        if category != "Cn":
            hidden = category[0] in "CZ" or code in DRAWN_AS_NOTHING
            assert is_seen == (chr(code) == " " or not hidden), (hex(code), category)


@pytest.mark.parametrize(
    "text", ["T1", "T 1", "A  B", "é", "e\u0301", "Ж-1", "株式", "हिन्दी", "😀", "=1+1", "a;\"b'", ""]
)
def test_what_can_be_seen_passes_whatever_its_script(text: str) -> None:
    assert visible(text) == [True]


@pytest.mark.parametrize("text", spoiled("T1") + spoiled("株") + [" ", "   ", "\u00a0", "\ud7ff\ufffe"])
def test_what_cannot_be_seen_does_not_pass_anywhere_in_the_text(text: str) -> None:
    assert visible(text) == [False]


def test_a_missing_identifier_is_the_business_of_its_presence_rule() -> None:
    assert pl.DataFrame({"a": [None]}, schema={"a": pl.String}).select(is_visible("a")).item() is None


GOOD = {
    "symbol": "AAPL", "kind": "outlier", "transaction_id": "T1", "account_id": "X-1", "customer_id": "C1",
    "product_id": "P1", "order_id": "O1", "employee_id": "E1",
}  # fmt: skip
CONTRACTS = built_in_contracts()
IDENTIFIERS = [
    (dataset, column.name)
    for dataset, contract in CONTRACTS.items()
    for column in contract.columns
    if column.dtype == pl.String() and (column.name in contract.key or column.name.endswith("_id"))
]


def test_every_dataset_has_an_identifier_and_few_need_a_rule_of_their_own() -> None:
    assert {dataset for dataset, _ in IDENTIFIERS} == set(CONTRACTS)
    everything = {**CONTRACTS, **gold_graph().contracts}
    own = {(name, r.name) for name, c in everything.items() for r in c.row_rules if r.name.endswith(visible_rule(""))}
    # All others are held by a pattern or a list of values, as the next test shows.
    assert own == {("transactions", "transaction_id_is_visible"), ("accounts", "customer_id_is_visible")}


@pytest.mark.parametrize(("dataset", "column"), IDENTIFIERS)
def test_no_identifier_of_any_dataset_holds_what_cannot_be_seen(dataset: str, column: str) -> None:
    contract = CONTRACTS[dataset]
    good, *bad = rows = [GOOD[column], *spoiled(GOOD[column])]
    frame = pl.DataFrame({column: rows}).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in contract.silver.polars_schema.items() if name != column
    )
    failures = find_failures(frame.select(contract.silver.polars_schema.names()), contract)
    found = failures.filter(pl.col("column") == column)
    assert good and set(found["index"]) == set(range(1, len(bad) + 1))


@pytest.mark.parametrize("dataset", ["prices", "technical_indicators", "anomalies"])
@pytest.mark.parametrize("pattern", ["^.+$", r"^[^;]{1,12}$", "[A-Z]+", r"^\w+( \w+)*$", "^(?:A.*|[A-Z]+)$"])
def test_not_even_an_institutions_wide_pattern_lets_it_into_a_symbol(dataset: str, pattern: str) -> None:
    contract = BUILT_IN[dataset].bind({"symbol_pattern": pattern})
    rows = ["AAPL", *spoiled("AAPL")]
    frame = pl.DataFrame({"symbol": rows}).with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in contract.silver.polars_schema.items() if name != "symbol"
    )
    failures = find_failures(frame.select(contract.silver.polars_schema.names()), contract)
    found = failures.filter(pl.col("rule") == "symbol_is_well_formed")
    assert set(found["index"]) == set(range(1, len(rows)))


VISITS = """
name: visits
title: Visits
columns:
  - {{name: code, type: string, description: Code of the visit., {code}}}
  - {{name: shop_id, type: string, description: Shop., required: false}}
  - {{name: number, type: integer, description: Number.}}
  - {{name: note, type: string, description: Note., required: false}}
  - {{name: ticket, type: string, description: Ticket., required: false, unique: true}}
derived:
  - {{name: both_id, type: string, description: Both., required: false, expression: "CONCAT(code, note)"}}
key: [code, number]
"""


@pytest.mark.parametrize(
    ("constraint", "has_rule"),
    [
        ("", True),
        ("min_length: 1", True),
        ('pattern: ".+"', True),
        ("pattern: '[^;]*'", True),
        ("pattern: '[A-Z]{2}-\\d+'", False),
        ("allowed: [web, store]", False),
    ],
)
def test_a_declared_key_or_reference_has_the_rule_unless_its_constraints_leave_no_room(
    tmp_path: Path, constraint: str, has_rule: bool
) -> None:
    contract = declared(tmp_path, VISITS.format(code=constraint))
    rules = [rule.name for rule in contract.row_rules if rule.name.endswith(visible_rule(""))]
    assert rules == ["code_is_visible"] * has_rule + ["shop_id_is_visible", "ticket_is_visible", "both_id_is_visible"]
    assert all(contract.rule(name).columns == (name.removesuffix("_is_visible"),) for name in rules)


def test_a_declared_key_is_judged_the_same_on_the_way_in_and_as_stored(tmp_path: Path) -> None:
    contract = declared(tmp_path, VISITS.format(code=""))
    values: dict[str, list[Any]] = {
        "code": ["A 1", "A\u200b", "A", "A", None],
        "shop_id": ["S", "S", "S ", None, "S"],
        "number": [1] * 5,
        "note": ["\u200b"] * 5,
        "ticket": ["1", "2", "3", "4", "5"],
        "both_id": ["A", "A", "A", "A\u200b", None],
    }
    frame = pl.DataFrame(values, schema={column.name: column.dtype for column in contract.columns})
    expected = {(1, "code_is_visible"), (2, "shop_id_is_visible"), (3, "both_id_is_visible"), (4, "code_is_present")}
    assert set(find_failures(frame, contract).select("index", "rule").rows()) == expected
    assert set(validate(frame, contract).select("index", "rule").rows()) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "^[A-Z]{1,5}$", "^[A-Z]{1,5}([.-][A-Z]{1,4})?$", r"^[A-Z]+\.US$", r"^\d{4}$", "^(?:[A-Za-z0-9_-]{1,40})$",
        r"^CH\-\d+(?:/[0-9]+)*$",
    ],
)  # fmt: skip
def test_a_pattern_of_plain_letters_needs_no_second_rule(pattern: str) -> None:
    assert leaves_no_room(pattern)


@given(st.from_regex(r"\A[\^$(){}?*+|.\[\]\\:imsxuwWdDsSpbAC0-9a-z&~!\- é\u200b]{0,12}\Z"))
def test_no_pattern_that_is_trusted_matches_what_cannot_be_seen(inner: str) -> None:
    for pattern in (inner, f"^{inner}$", whole_text(inner)):
        if not leaves_no_room(pattern):
            continue
        try:
            # Such characters alone, and among what the pattern asks for.
            literal = re.sub(r"[\\^$()\[\]{}?*+]", "", inner)
            texts = [text for base in ("", literal, literal[:1], "A", "1") for text in spoiled(base)]
            assert not pl.Series(texts).str.contains(pattern).any(), pattern
        except pl.exceptions.ComputeError:
            continue  # no pattern at all: refused where it is declared


@pytest.mark.parametrize("identifier", ["T1\u200b", "\u200fT1", "T\u00ad1"])
def test_the_row_is_kept_as_it_came_and_the_reason_names_column_and_fault(identifier: str, tmp_path: Path) -> None:
    content = BOOKINGS + booking(1) + booking(1).replace("T1", identifier, 1)
    out = deliver([content.encode()], tmp_path, CsvOptions(), dataset="transactions")
    assert out.silver["transaction_id"].to_list() == ["T1"] and out.result.rows_duplicate == 0
    (refused,) = out.quarantine.to_dicts()
    assert refused["raw"] == booking(1).replace("T1", identifier, 1).strip("\n")
    assert (refused["rules"], refused["columns"]) == (["transaction_id_is_visible"], ["transaction_id"])
    assert refused["reason"] == (
        "transaction_id_is_visible: transaction_id holds only characters that can be seen: no zero-width or no-break "
        f"space, no control or formatting mark, no blank at its ends. (found '{identifier}')"
    )


def test_an_escaped_character_of_json_is_seen_too(tmp_path: Path) -> None:
    line = '{"transaction_id":"T\\u00ad1","account_id":"A","timestamp":"2025-01-15T10:00:00Z","amount":5,'
    line += '"currency":"EUR","type":"deposit"}'
    out = deliver([line.encode()], tmp_path, JsonOptions(), dataset="transactions")
    assert out.broken == [(1, ["transaction_id_is_visible"])] and out.quarantine["raw"].to_list() == [line]
