"""SQL names and statements derived from tables: nothing hostile gets in, and every target holds every value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.catalog.tables import Catalog
from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.ddl import create_statements, sql_type, text_literal
from etl_platform.contracts.identifiers import Dialect, check_identifier, qualify, quote
from etl_platform.contracts.page import contract_page
from etl_platform.contracts.table import Column, Table
from etl_platform.errors import ConfigurationError, UnknownNameError

DIALECTS: tuple[Dialect, ...] = ("duckdb", "postgres", "snowflake")
TYPES: dict[str, pl.DataType] = {
    "text": pl.String(), "whole": pl.Int64(), "small": pl.Int32(), "share": pl.Float64(), "flag": pl.Boolean(),
    "day": pl.Date(), "instant": pl.Datetime("us", "UTC"), "price": pl.Decimal(18, 8), "names": pl.List(pl.String()),
}  # fmt: skip
TABLE = Table(
    "silver", "things", "Bob's things; \\ and more.",
    (*(Column(name, dtype, name != "text", f"The {name}.") for name, dtype in TYPES.items()),
     Column("business_date", pl.Date(), False, "Day.")),
    key=("text", "instant"),
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "", "A", "1a", "a b", 'a"b', "a'b", "a;b", "a-b", "a.b", "ä", "a\0", "a\n", "a" * 63, "__a", "a$",
        "drop table x", "a--", "\u0430",
    ],
)  # fmt: skip
def test_names_that_some_target_bends_are_refused(name: str) -> None:
    for use in (check_identifier, lambda n: quote(n, "postgres"), lambda n: qualify("good", n, "snowflake")):
        with pytest.raises(ConfigurationError, match="lower-case letters"):
            use(name)


@given(st.from_regex(r"\A_?[a-z][a-z0-9_]{0,61}\Z"))
def test_allowed_names_are_quoted_as_they_are_or_as_snowflake_folds_them(name: str) -> None:
    assert quote(name, "postgres") == quote(name, "duckdb") == f'"{name}"'
    assert quote(name, "snowflake") == f'"{name.upper()}"'
    assert len(name) <= 63


POSTGRES = [
    """CREATE TABLE IF NOT EXISTS "acme"."things" (
  "text" text NOT NULL,
  "whole" bigint,
  "small" integer,
  "share" double precision,
  "flag" boolean,
  "day" date,
  "instant" timestamptz,
  "price" numeric(18,8),
  "names" text[],
  "business_date" date NOT NULL
)""",
    'CREATE INDEX IF NOT EXISTS "things_partition_key" ON "acme"."things" ("business_date", "instant")',
    """COMMENT ON TABLE "acme"."things" IS 'Bob''s things; \\ and more.'""",
    """COMMENT ON COLUMN "acme"."things"."text" IS 'The text.'""",
]
SNOWFLAKE = """CREATE TABLE IF NOT EXISTS "ACME"."THINGS" (
  "TEXT" VARCHAR NOT NULL COMMENT 'The text.',
  "WHOLE" NUMBER(19,0) COMMENT 'The whole.',
  "SMALL" NUMBER(10,0) COMMENT 'The small.',
  "SHARE" DOUBLE COMMENT 'The share.',
  "FLAG" BOOLEAN COMMENT 'The flag.',
  "DAY" DATE COMMENT 'The day.',
  "INSTANT" TIMESTAMP_LTZ(6) COMMENT 'The instant.',
  "PRICE" NUMBER(18,8) COMMENT 'The price.',
  "NAMES" ARRAY COMMENT 'The names.',
  "BUSINESS_DATE" DATE NOT NULL COMMENT 'Day.'
) COMMENT = 'Bob''s things; \\\\ and more.'"""


def test_ddl_of_each_dialect() -> None:
    assert create_statements(TABLE, "acme", "postgres")[:4] == POSTGRES
    assert create_statements(TABLE, "acme", "snowflake") == [SNOWFLAKE]
    duck = create_statements(TABLE, "acme", "duckdb")
    assert duck[0].splitlines()[1:10] == [
        '  "text" VARCHAR NOT NULL,', '  "whole" BIGINT,', '  "small" INTEGER,', '  "share" DOUBLE,',
        '  "flag" BOOLEAN,', '  "day" DATE,', '  "instant" TIMESTAMPTZ,', '  "price" DECIMAL(18,8),',
        '  "names" VARCHAR[],',
    ]  # fmt: skip
    assert not any("INDEX" in statement for statement in duck)


def test_every_table_of_the_platform_can_be_made_twice_on_duckdb_with_its_comments() -> None:
    catalog = Catalog(BUILT_IN)
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA acme")
        for table in [*catalog.warehouse_tables(), TABLE]:
            for statement in create_statements(table, "acme", "duckdb") * 2:
                connection.execute(statement)
            found = connection.execute(
                "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
                [table.name],
            ).fetchall()
            assert found == [(c.name, c.description) for c in table.columns]
        instant = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, dt.UTC)
        row = [
            "x",
            2**63 - 1,
            2**31 - 1,
            0.1,
            True,
            dt.date(1000, 1, 1),
            instant,
            Decimal("-9999999999.99999999"),
            ["a"],
        ]
        connection.execute("INSERT INTO acme.things VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, DATE '2025-01-15')", row)
        held = connection.execute("SELECT * EXCLUDE (instant), epoch_us(instant) FROM acme.things").fetchone()
        assert held is not None and held[:6] == tuple(row[:6]) and held[6:8] == (row[7], row[8])
        assert held[-1] == (instant - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


@given(st.text(max_size=30))
def test_comments_hold_any_text_and_end_nothing(text: str) -> None:
    literal = text_literal(text)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT {literal}").fetchone()
    assert found == (text.replace("\0", ""),)
    snowflake = text_literal(text, "snowflake")[1:-1].replace("\\\\", "").replace("''", "")
    assert "'" not in snowflake and "\\" not in snowflake


def test_long_table_names_get_an_index_of_their_own() -> None:
    first, second = ("d" * 60 + end for end in "ab")
    indexes = set()
    for name in (first, second, "d" * 48, "d" * 49):
        statement = create_statements(Table("silver", name, "x", TABLE.columns), "acme", "postgres")[1]
        index = statement.split('"')[1]
        assert index.endswith("_partition_key") and check_identifier(index) and len(index) <= 63
        indexes.add(index)
    assert len(indexes) == 4


def test_a_type_that_no_target_holds_is_refused() -> None:
    unheld: tuple[pl.DataType, ...] = (pl.UInt64(), pl.Duration(), pl.List(pl.Int64()), pl.Struct({"a": pl.Int64}))
    for dtype in unheld:
        for dialect in DIALECTS:
            with pytest.raises(ConfigurationError, match="no SQL type"):
                sql_type(dtype, dialect)


@pytest.mark.parametrize("dataset", BUILT_IN)
def test_the_page_of_a_dataset_names_every_column_rule_and_parameter_in_whole_table_rows(dataset: str) -> None:
    contract = BUILT_IN[dataset]
    page = contract_page(contract)
    for column in contract.silver.columns:
        assert f"`{column.name}`" in page
    for rule in contract.rules:
        assert f"| `{rule.name}` |" in page
    for name in contract.parameters:
        assert f"`{name}`" in page
    header = 0
    for line in page.splitlines():
        if line.startswith("|"):
            cells = line.replace("\\|", "").count("|")
            header = header or cells
            assert cells == header, line
        else:
            header = 0


def test_tables_are_found_by_layer_and_name_or_the_near_ones_are_told() -> None:
    catalog = Catalog(BUILT_IN)
    assert catalog.table("silver", "prices") is catalog.table("warehouse", "prices")
    assert catalog.table("bronze", "prices").layer == "bronze"
    with pytest.raises(UnknownNameError, match="silver/prices"):
        catalog.table("silver", "price")
