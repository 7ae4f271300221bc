"""A declaration says everything that a contract needs, and every mistake is named with file, field, found, expected."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from etl_platform.catalog.registry import BUILT_IN_FOLDER, built_in_contracts, load_contracts
from etl_platform.contracts.contract import Watched
from etl_platform.contracts.declared.declaration import (
    ColumnDeclaration,
    Declaration,
    DerivedDeclaration,
    WatchedDeclaration,
)
from etl_platform.contracts.declared.expressions import FUNCTIONS
from etl_platform.contracts.document import document_paths
from etl_platform.contracts.page import contract_page
from etl_platform.contracts.shaping import Naming
from etl_platform.errors import ConfigurationError
from etl_platform.settings import Settings
from etl_platform.transforms.casts import Dialect
from etl_platform.transforms.derive import derive
from etl_platform.transforms.failures import fold
from etl_platform.transforms.normalise import SenderFormat, map_columns, normalise
from etl_platform.transforms.validate import find_failures, validate
from etl_platform_tests.support.datasets import LEAST, declared, write
from etl_platform_tests.support.platform import REPOSITORY

COLUMN = "name: v\ntitle: V\ncolumns:\n  - {{name: a, type: {type}, description: A., {more}}}\n"
DATE = dt.date(2025, 1, 15)


def one(folder: Path, column_type: str, more: str, extra: str = "") -> str:
    return str(write(folder, COLUMN.format(type=f'"{column_type}"', more=more) + extra))


def broken(folder: Path, column_type: str, more: str, values: list[object]) -> list[list[str]]:
    """The rules that each value of a column breaks; `validate` (Pandera) and the quick way must agree."""
    contract = declared(folder, COLUMN.format(type=f'"{column_type}"', more=more))
    dtype = contract.columns[0].dtype
    derived = derive(pl.DataFrame({"a": pl.Series(values, dtype=dtype)}), contract).frame
    found = find_failures(derived, contract)
    assert set(found.select("index", "rule").rows()) == set(validate(derived, contract).select("index", "rule").rows())
    return [found.filter(pl.col("index") == i)["rule"].to_list() for i in range(len(values))]


def at(hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2019, 12, 31, hour, minute, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "dtype", "sql"),
    [
        ("string", pl.String(), "text"),
        ("integer", pl.Int64(), "bigint"),
        ("float", pl.Float64(), "double precision"),
        ("decimal(30,6)", pl.Decimal(30, 6), "numeric(30,6)"),
        ("date", pl.Date(), "date"),
        ("timestamp", pl.Datetime("us", "UTC"), "timestamptz"),
        ("boolean", pl.Boolean(), "boolean"),
    ],
)
def test_every_type_becomes_its_polars_and_sql_type(tmp_path: Path, text: str, dtype: pl.DataType, sql: str) -> None:
    contract = declared(tmp_path, COLUMN.format(type=f'"{text}"', more=""))
    assert contract.silver.polars_schema["a"] == dtype
    assert f"| `a` | {dtype} | {sql} | yes | A. |" in contract_page(contract)


@pytest.mark.parametrize(
    ("column_type", "more", "rule", "good", "bad"),
    [
        ("integer", "min: 0, max: 9", "a_is_in_range", [0, 9], [-1, 10]),
        ("decimal(8,2)", "min: 0.1", "a_is_in_range", [Decimal("0.10")], [Decimal("0.09")]),
        ("float", "max: 1.5", "a_is_in_range", [1.5, -1e9], [1.5000001]),
        ("date", "min: 2020-01-01", "a_is_in_range", [dt.date(2020, 1, 1)], [dt.date(2019, 12, 31)]),
        ("timestamp", 'min: "2020-01-01T00:00:00+01:00"', "a_is_in_range",
         [at(23)], [at(22, 59)]),
        ("string", "allowed: [x, y]", "a_is_allowed", ["x", "y"], ["z", ""]),
        ("integer", "allowed: [1, 2]", "a_is_allowed", [1, 2], [3]),
        ("string", 'pattern: "[A-Z]|x"', "a_is_well_formed", ["Q", "x"], ["QQ", "ax", "x\n"]),
        ("string", "min_length: 1, max_length: 2", "a_has_valid_length", ["é", "éé"], ["", "éée"]),
        ("string", "", "a_is_present", [""], [None]),
    ],
)  # fmt: skip
def test_every_constraint_refuses_exactly_what_lies_outside(
    tmp_path: Path, column_type: str, more: str, rule: str, good: list[object], bad: list[object]
) -> None:
    assert broken(tmp_path, column_type, more, [*good, *bad]) == [[]] * len(good) + [[rule]] * len(bad)


def test_bounds_hold_to_the_last_digit_in_yaml_and_in_toml(tmp_path: Path) -> None:
    largest = Decimal("12345678901234567.89")
    assert broken(tmp_path, "decimal(20,2)", f"max: {largest}", [largest, largest + Decimal("0.01")]) == [
        [], ["a_is_in_range"],
    ]  # fmt: skip
    toml = 'name = "v"\ntitle = "V"\n[[columns]]\nname = "a"\ndescription = "A."\ntype = "decimal(20,2)"\n'
    toml += f'nulls = "fill"\nfill = {largest}\n'
    contract = declared(tmp_path / "toml", toml, "v.toml")
    frame = derive(pl.DataFrame({"a": [None]}, schema={"a": pl.Decimal(20, 2)}), contract).frame
    assert frame["a"].to_list() == [largest]


def test_a_missing_value_is_dropped_to_quarantine_kept_filled_or_flagged_as_declared(tmp_path: Path) -> None:
    assert broken(tmp_path, "integer", "nulls: drop", [None]) == [["a_is_present"]]
    assert broken(tmp_path, "integer", "nulls: keep", [None]) == [[]]
    filled = declared(tmp_path, COLUMN.format(type="decimal(6,2)".join('""'), more="nulls: fill, fill: 0.1"))
    frame = derive(pl.DataFrame({"a": [None, Decimal("2")]}, schema={"a": pl.Decimal(6, 2)}), filled).frame
    assert frame["a"].to_list() == [Decimal("0.10"), Decimal("2.00")] and not filled.columns[0].nullable
    flagged = declared(tmp_path, COLUMN.format(type="integer", more="nulls: flag"))
    frame = derive(pl.DataFrame({"a": [None, 1]}, schema={"a": pl.Int64}), flagged).frame
    assert frame.rows() == [(None, True), (1, False)]
    assert [c.name for c in flagged.sender_columns] == ["a"] and flagged.silver.polars_schema[
        "a_was_null"
    ] == pl.Boolean()


def test_a_value_that_does_not_read_is_refused_and_never_filled(tmp_path: Path) -> None:
    contract = declared(tmp_path, COLUMN.format(type="integer", more="nulls: fill, fill: 1, min: 5"))
    raw = pl.DataFrame({"a": ["x", None, "7"]})
    normalised = normalise(raw, contract, SenderFormat(), map_columns(["a"], contract, SenderFormat()))
    derived = derive(normalised.frame, contract)
    failures = fold(pl.concat([normalised.failures, find_failures(derived.frame, contract)]), contract)
    assert failures.select("index", "rules").rows() == [(0, ["a_is_typed"]), (1, ["a_is_in_range"])]


DERIVED = """
name: v
title: V
columns:
  - {name: n, type: integer, description: N.}
  - {name: p, type: "decimal(18,4)", description: P., required: false}
derived:
  - {name: total, type: "decimal(20,4)", description: T., expression: n * p}
  - {name: double, type: integer, description: D., required: false, expression: n * 2}
  - {name: twice, type: "decimal(20,4)", description: TT., required: false, expression: total * 2}
"""


def test_derived_columns_are_exact_or_a_failure_never_wrapped_or_rounded(tmp_path: Path) -> None:
    contract = declared(tmp_path, DERIVED)
    rows = {"n": [3, 2**62, 1, None], "p": [Decimal("0.1"), Decimal("0"), None, Decimal("1")]}
    derived = derive(pl.DataFrame(rows, schema={"n": pl.Int64, "p": pl.Decimal(18, 4)}), contract)
    assert derived.frame["total"].to_list() == [Decimal("0.3"), Decimal("0"), None, None]
    assert derived.frame["double"].to_list() == [6, None, 2, None]
    assert derived.frame["twice"][0] == Decimal("0.6")
    assert derived.failures.select("index", "rule", "found").rows() == [(1, "double_is_typed", str(2**63))]
    folded = fold(pl.concat([derived.failures, find_failures(derived.frame, contract)]), contract)
    # Row 3 lacks n: that its total is missing too says nothing new. Row 2 lacks p, which it may: its total may not.
    assert folded.select("index", "rules").rows() == [
        (1, ["double_is_typed"]), (2, ["total_is_present"]), (3, ["n_is_present"]),
    ]  # fmt: skip


def test_an_overflow_fails_its_own_row_alone(tmp_path: Path) -> None:
    contract = declared(tmp_path, DERIVED.replace("n * p", "p * p * p * p") + "rules:\n"
                        "  - {name: small, sentence: Small., expression: p * p * p * p < 5}\n")  # fmt: skip
    prices = [Decimal("1"), Decimal("99999999999999"), Decimal("2")]
    frame = pl.DataFrame({"n": [1, 1, 1], "p": prices}, schema={"n": pl.Int64, "p": pl.Decimal(18, 4)})
    derived = derive(frame, contract)
    assert derived.failures.select("index", "rule").rows() == [(1, "total_is_typed")]
    assert (1, "small") in find_failures(derived.frame, contract).select("index", "rule").rows()
    assert derived.frame["total"].to_list() == [Decimal(1), None, Decimal(16)]


@pytest.mark.parametrize("case", ["lower", "upper", "capitalize"])
def test_sender_names_match_in_any_case_without_special_characters(tmp_path: Path, case: str) -> None:
    contract = declared(tmp_path, LEAST.replace("description: Identifier.", "description: I., source: Größe Nr.") +
                        f"naming: {{case: {case}}}\n")  # fmt: skip
    mapped = map_columns(["GRÖSSE", " größe-NR", "Pages!", "other"], contract, SenderFormat())
    assert mapped.sources == {"visit_id": " größe-NR", "pages": "Pages!"}
    assert mapped.extra == ("GRÖSSE", "other")


def test_names_in_each_form() -> None:
    assert Naming("lower").apply(" Order-ID (é) ") == "order_id_e"
    assert Naming("upper").apply("order id") == "ORDER_ID"
    assert Naming("capitalize").apply("ORDER id") == "Order_id"
    assert Naming("lower", remove_special=False).apply(" Order-ID ") == "order-id"


def test_date_formats_of_a_column_of_the_dataset_and_of_the_institution(tmp_path: Path) -> None:
    text = (
        "name: v\ntitle: V\ndate_formats: ['%d.%m.%Y']\ncolumns:\n"
        "  - {name: a, type: date, description: A.}\n"
        "  - {name: b, type: date, description: B., formats: ['%m/%d/%Y']}\n"
    )
    contract = declared(tmp_path, text)

    def read(raw: dict[str, str], sender: SenderFormat) -> tuple[object, ...]:
        frame = pl.DataFrame({k: [v] for k, v in raw.items()})
        return normalise(frame, contract, sender, map_columns(frame.columns, contract, sender)).frame.row(0)

    assert read({"a": "03.04.2025", "b": "03/04/2025"}, SenderFormat()) == (dt.date(2025, 4, 3), dt.date(2025, 3, 4))
    own = SenderFormat(Dialect(date_formats=("%Y%m%d",)))
    assert read({"a": "20250403", "b": "20250304"}, own) == (dt.date(2025, 4, 3), dt.date(2025, 3, 4))


def test_rules_see_the_partition_and_stay_silent_where_a_value_is_missing(tmp_path: Path) -> None:
    contract = declared(tmp_path, "name: v\ntitle: V\ncolumns:\n"
        "  - {name: a, type: date, description: A., nulls: keep}\n"
                        "rules:\n  - {name: r, sentence: Not later., expression: a <= business_date}\n")  # fmt: skip
    frame = pl.DataFrame({"a": [DATE, None, dt.date(2025, 1, 16)]}).with_columns(business_date=pl.lit(DATE))
    assert find_failures(frame, contract)["index"].to_list() == [2]
    assert contract.rule("r").columns == ("a", "business_date")


MISTAKES = [
    (LEAST + "colums: 1\n", "field colums: an unknown field; expected columns"),
    (
        LEAST.replace("required: false", "requird: false"),
        "field columns.1.requird: an unknown field; expected required",
    ),
    (LEAST.replace("title: Visits\n", ""), "field title: .*Field required"),
    (LEAST.replace("name: visits", "name: Visits"), "field name: 'Visits'; expected lower-case letters"),
    (LEAST.replace("type: string", "type: text"), "field columns.0.type: 'text'; expected string, integer"),
    (LEAST.replace("type: string", 'type: "decimal(40,2)"'), "expected string, integer.*1 to 38 digits"),
    (LEAST.replace("required: false", "min: abc"), "columns.1: min: 'abc'; expected a value of type integer"),
    (LEAST.replace("required: false", "min: 5, max: 1"), "min 5 above max 1; expected min at most max"),
    (LEAST.replace("required: false", "pattern: x"), "pattern, min_length and max_length of a column of type integer"),
    (LEAST.replace("required: false", "formats: ['%Y']"), "formats of a column of type integer"),
    (LEAST.replace("required: false", "nulls: fill"), "nulls: fill without fill; expected both or neither"),
    (LEAST.replace("required: false", "fill: 0"), "fill: 0 without nulls: fill"),
    (LEAST.replace("required: false", "required: false, nulls: drop"), "expected required: true, or nulls: keep"),
    (
        LEAST.replace("Identifier.", "I., allowed: [yes, no]"),
        "allowed: True; expected a value of type string .in quotes",
    ),
    (LEAST.replace("Identifier.", "I., pattern: '['"), "field columns.0.pattern: .*expected a regular expression"),
    (LEAST + "key: [visit]\n", "field key: column 'visit'; expected visit_id"),
    (LEAST + "key: [pages]\n", "field key: column 'pages', which may be null"),
    (LEAST + "event_time: visit_id\n", "field event_time: a column of type String; expected a timestamp"),
    (LEAST + "write_mode: upsert\n", "field write_mode: 'upsert'; expected .*'replace', 'append' or 'fail'"),
    (LEAST + "deduplicate: on\n", "field deduplicate: True; expected .*'latest', 'occurrence' or 'off'"),
    (LEAST + "naming: {case: camel}\n", "field naming.case: 'camel'"),
    (LEAST.replace("pages", "visit_id"), "column 'visit_id' twice"),
    (LEAST.replace("name: pages", "name: institution"), "column 'institution' twice"),
    (LEAST.replace("Identifier.", "I., source: PAGES"), "which is 'pages' in the declared naming.* as the name of"),
    (
        LEAST + "rules:\n - {name: r, sentence: S., expression: pages + 1}\n",
        r"rules.0.expression \(rule r\): .*type Int128; "
        "expected an expression that is true or false",
    ),
    (LEAST + "rules:\n - {name: r, sentence: S., expression: page > 1}\n", "column 'page'; expected pages"),
    (
        LEAST + "rules:\n - {name: volume_is_usual, sentence: S., expression: pages > 1}\n",
        "rule 'volume_is_usual' twice",
    ),
    (
        LEAST + "rules:\n - {name: visit_id_is_present, sentence: S., expression: pages > 1}\n",
        "'visit_id_is_present' twice",
    ),
    (
        LEAST + "derived:\n - {name: d, type: integer, description: D., expression: visit_id}\n",
        r"derived.0.expression \(column d\): an expression of type String; expected type integer",
    ),
    (
        LEAST + "derived:\n - {name: d, type: integer, description: D., expression: e}\n"
        " - {name: e, type: integer, description: E., expression: pages}\n",
        "column 'e'",
    ),
    (LEAST + "watched: [{column: page}]\n", "field watched.0.column: column 'page'; expected pages"),
    (LEAST + "watched: [{column: visit_id}]\n", "'visit_id' of type String; expected .*integer, float or decimal"),
    (LEAST + "watched: [{column: pages, by: [visit]}]\n", "field watched.0.by: column 'visit'; expected visit_id"),
    (LEAST + "watched: [{column: pages}, {column: pages}]\n", "field watched: column 'pages' twice"),
    (LEAST + "watched: [pages]\n", "field watched.0: 'pages'"),
    (LEAST + "watched: [{column: pages, per: [x]}]\n", "field watched.0.per: an unknown field"),
    (LEAST + "categories: [visit]\n", "field categories: column 'visit'; expected visit_id"),
    (LEAST + "categories: [visit_id, visit_id]\n", "field categories: column 'visit_id' twice"),
    (LEAST.replace("integer", "float") + "categories: [pages]\n", "Float64; expected .*string, integer or boolean"),
    (LEAST + "date_formats: ['%d/%m/%Y', '%m/%d/%Y']\n", "field date_formats: .*which read .* differently"),
    (LEAST + "timestamp_formats: ['%H:%M']\n", "field timestamp_formats: '%H:%M'; expected year, month and day"),
    (LEAST.replace("type: integer", "type: date, formats: ['%Q']"), "field columns.1: '%Q'; expected year, month"),
    (LEAST.replace("type: integer", "type: timestamp, formats: ['%Y']"), "columns.1: '%Y'; expected year, month"),
    (LEAST.replace("type: integer", "type: float, min: .nan"), "min: nan; expected a value of type float"),
    (LEAST.replace("type: integer", "type: integer, min: 0.5"), "min: 0.5; expected a value of type integer"),
    (LEAST.replace("type: integer", "type: date, min: 2025-13-01"), "month must be in 1..12"),
    (LEAST.replace("type: integer", "type: integer, min: 010"), "010, which YAML reads as 8"),
    (LEAST.replace("type: integer", "type: integer, min: 12:30"), "12:30, which YAML reads as 750"),
    (LEAST.replace("Identifier.", "I., pattern: '(?x)a # b'"), "expected a regular expression"),
    (LEAST + "key: [visit_id, visit_id]\n", "field key: column 'visit_id' twice"),
    (LEAST + "? [a, b]\n: 1\n", "expected valid YAML or TOML"),
    (LEAST + "name: twice\n", "key 'name' twice"),
    ("- a\n", "list; expected a mapping of fields"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_every_mistake_names_file_field_found_and_expected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        declared(tmp_path, text)
    assert "visits.yaml" in caught.value.subject and caught.value.expected


def test_watched_columns_and_categories_are_those_of_the_contract_and_on_its_page(tmp_path: Path) -> None:
    contract = declared(tmp_path, LEAST + "watched: [{column: pages, by: [visit_id]}]\ncategories: [visit_id]\n")
    assert contract.watched == (Watched("pages", by=("visit_id",)),) and contract.categories == ("visit_id",)
    page = contract_page(contract)
    assert "- warns when the median of `pages` jumps by a power of ten, for each `visit_id`\n" in page
    assert "- warns of a value that is new in `visit_id`\n" in page


def test_toml_declares_the_same(tmp_path: Path) -> None:
    text = """
    name = "visits"
    title = "Visits"
    key = ["visit_id"]
    [[columns]]
    name = "visit_id"
    type = "string"
    description = "Identifier."
    [[columns]]
    name = "pages"
    type = "integer"
    description = "Pages seen."
    required = false
    """
    toml = declared(tmp_path, text, "visits.toml")
    assert toml.declaration == declared(tmp_path, LEAST + "key: [visit_id]\n").declaration


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    for name, owner in (("prices", "a built-in dataset"), ("daily_bars", "a gold table"), ("orders", "orders.yaml")):
        write(tmp_path / name, LEAST.replace("visits", name))
        with pytest.raises(ConfigurationError, match=f"field name: '{name}', the name of .*{owner}"):
            load_contracts(Settings(datasets_path=tmp_path / name))
    with pytest.raises(ConfigurationError, match="no such folder"):
        load_contracts(Settings(datasets_path=tmp_path / "nowhere"))


def test_built_in_declarations_come_with_the_models_and_own_ones_beside_them(tmp_path: Path) -> None:
    files = {path.stem for path in document_paths(BUILT_IN_FOLDER)}
    assert files and files | {"prices"} <= set(built_in_contracts())
    write(tmp_path, LEAST)
    assert set(load_contracts(Settings(datasets_path=tmp_path))) == {*built_in_contracts(), "visits"}


def test_the_worked_example_of_the_docs_loads_and_the_docs_name_every_field(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "datasets.md").read_text(encoding="utf-8")
    blocks = re.findall(r"( *)```yaml\n(.*?)```", text, flags=re.DOTALL)
    (example,) = (body for _, body in blocks if "columns:" in body)
    assert declared(tmp_path, example).derived[0].inputs == ("paid", "pages")
    fields = {*Declaration.model_fields, *ColumnDeclaration.model_fields, *DerivedDeclaration.model_fields,
              *WatchedDeclaration.model_fields}  # fmt: skip
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []
    assert [name for name in sorted(FUNCTIONS) if not re.search(rf"\b{name}\b", text)] == []
