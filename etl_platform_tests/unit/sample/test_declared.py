"""Sample files follow from a declaration: good rows keep every rule, bad ones are refused as foretold."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from etl_platform.contracts.quarantine import FILE
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.model import Institution
from etl_platform.sample.generate import generate
from etl_platform.sample.pattern import matching_texts
from etl_platform_tests.support.datasets import declared
from etl_platform_tests.support.silver import silver_of

DATE = dt.date(2025, 1, 15)
HEAD = "name: visits\ntitle: V\ncolumns:\n"
WIDE = (
    HEAD
    + """
  - {name: id, type: string, description: I., pattern: "V-[0-9]{6}"}
  - {name: line, type: integer, description: L., min: 1, max: 9}
  - {name: email, type: string, description: E., unique: true, min_length: 3, max_length: 20}
  - {name: rate, type: float, description: R., min: -0.5, max: 0.5}
  - {name: paid, type: "decimal(8,3)", description: P., nulls: flag, required: false, min: -5}
  - {name: kind, type: string, description: K., allowed: [a, b, "no"], nulls: fill, fill: a}
  - {name: at, type: timestamp, description: T.}
  - {name: on_day, type: date, description: D., formats: ["%d.%m.%y", "%d.%m.%Y"]}
  - {name: active, type: boolean, description: A.}
derived:
  - {name: total, type: "decimal(12,3)", description: T., required: false, expression: line * paid}
  - {name: size, type: integer, description: S., expression: LENGTH(id)}
rules:
  - {name: inactive_pays_nothing, sentence: S., expression: "active OR COALESCE(total, 0) <= 100"}
  - {name: day_is_past, sentence: S., expression: on_day <= business_date}
event_time: at
key: [id, line]
"""
)
CASES = {
    "wide": WIDE.replace('"%d.%m.%y", ', ""),
    "key of time": HEAD + "  - {name: at, type: timestamp, description: A.}\n"
    "  - {name: n, type: integer, description: N.}\nkey: [at]\n",
    "no key": HEAD + "  - {name: a, type: boolean, description: A.}\n  - {name: n, type: integer, description: N.}\n",
    "every row": HEAD + "  - {name: a, type: boolean, description: A., required: false}\ndeduplicate: off\n",
    "by occurrence": HEAD + "  - {name: a, type: boolean, description: A., required: false}\ndeduplicate: occurrence\n",
    "key by occurrence": WIDE.replace('"%d.%m.%y", ', "") + "deduplicate: occurrence\n",
}  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
@pytest.mark.parametrize("case", CASES)
def test_counts_and_refused_rows_are_exactly_as_foretold(case: str, form: str, tmp_path: Path) -> None:
    contracts = {"visits": declared(tmp_path, CASES[case])}
    institution = Institution.model_validate(
        {"code": "x", "name": "X", "datasets": {"visits": {"format": {"type": form}}}}
    )
    landing = tmp_path / "landing"
    (expected,) = generate(
        landing, {"x": institution}, first_date=DATE, days=1, rows_per_day=400, contracts=contracts
    ).partitions
    silver = silver_of(
        landing, expected.files, institution, "visits", date=DATE, scratch=tmp_path / "scratch", contracts=contracts
    )
    quarantine = (
        silver.quarantine.filter(pl.col("kind") != FILE).select("_source_file", "_source_row", "rules").collect()
    )
    found = {(file, row): set(rules) for file, row, rules in quarantine.iter_rows()}
    assert found == {(r.file, r.row): set(r.rules) for r in expected.refused_rows}
    assert (silver.rows_read, silver.rows_silver) == (400, expected.silver) and not silver.unexplained
    assert (silver.rows_quarantined, silver.rows_duplicate) == (expected.quarantined, expected.duplicates)
    if "occurrence" in case:
        assert not expected.superseded and not expected.duplicates
    if case == "wide":
        assert {"day_is_past", "inactive_pays_nothing"} <= set(expected.rules) | set(expected.skipped_rules)
        assert expected.superseded and expected.duplicates


def test_what_rows_cannot_be_made_for_is_said(tmp_path: Path) -> None:
    institution = Institution.model_validate({"code": "x", "name": "X", "datasets": {"visits": {}}})

    def refused(text: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            generate(
                tmp_path / "landing", {"x": institution}, first_date=DATE, days=1, rows_per_day=100,
                contracts={"visits": declared(tmp_path, text)},
            )  # fmt: skip
        return str(caught.value)

    few = HEAD + "  - {name: n, type: integer, description: N., min: 1, max: 9}\nkey: [n]\n"
    assert "column n: 9 possible values; expected one for each row" in refused(few)
    never = (
        HEAD + "  - {name: n, type: integer, description: N.}\nrules: [{name: r, sentence: S., expression: n < 0}]\n"
    )
    assert "rules that random rows rarely fulfil" in refused(never)
    closed = HEAD + "  - {name: s, type: string, description: S., allowed: [a]}\nkey: [s]\n"
    assert "a key column with room for a value in each row" in refused(closed)


@pytest.mark.parametrize("pattern", ["[A-Z]{2}[0-9]{10}", r"\d{4}-\w+", "(AB|CD)x?[^a-y]{3}", "ORD-[0-9a-f]{1,8}"])
def test_texts_match_their_pattern_and_differ(pattern: str) -> None:
    texts = matching_texts(pattern, np.arange(50), "column")
    assert texts.str.contains(f"^(?:{pattern})$").all() and texts.is_unique().all()


def test_a_pattern_with_too_little_room_or_beyond_us_is_said() -> None:
    with pytest.raises(ConfigurationError, match="room for 11 texts"):
        matching_texts("[0-9]", np.arange(11), "column")
    with pytest.raises(ConfigurationError, match="letters, classes and repetitions only"):
        matching_texts(r"(?=a)b", np.arange(2), "column")
