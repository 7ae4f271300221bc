"""The form of a table is one for all databases: the same differences, each with a statement in the database's words."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import polars as pl
import pytest

from etl_platform.contracts.ddl import sql_type
from etl_platform.contracts.identifiers import Dialect
from etl_platform.contracts.table import Column, Table
from etl_platform.errors import SchemaMismatchError
from etl_platform.stores.table_form import StoredColumn, current_view, missing_columns, require_form
from etl_platform_tests.stores.tables import SAMPLES

DIALECTS = get_args(Dialect)
COLUMNS = (
    Column("amount", pl.Decimal(18, 8), False, "Money."),
    Column("symbol", pl.Int64(), True, "What."),
    Column("fresh", pl.Int32(), False, "Gained, and required."),
    Column("spare", pl.Int32(), True, "Gained, and not required."),
)
TABLE: Table = replace(SAMPLES, columns=COLUMNS)


def stored_as(dialect: Dialect, name: str) -> str:
    return name.upper() if dialect == "snowflake" else name


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_difference_is_named_with_what_settles_it(dialect: Dialect) -> None:
    stored = {
        stored_as(dialect, "amount"): StoredColumn("REAL", nullable=True),
        stored_as(dialect, "symbol"): StoredColumn(sql_type(pl.Int64(), dialect), nullable=False),
        'his "own"': StoredColumn("REAL", nullable=True),
    }
    with pytest.raises(SchemaMismatchError) as caught:
        require_form("the table", TABLE, "first", stored, dialect)
    found, _, cure = str(caught.value).partition("; expected ")
    assert found == (
        f"the table: amount is REAL instead of {sql_type(pl.Decimal(18, 8), dialect)}; amount allows null; "
        'symbol forbids null; fresh is missing and must not be null; his "own" is not in the contract'
    )
    for column, end in (("amount", "SET NOT NULL;"), ("symbol", "DROP NOT NULL;"), ("fresh", "SET NOT NULL;")):
        assert f'ALTER COLUMN "{stored_as(dialect, column)}" {end}' in cure
    assert 'DROP COLUMN "his ""own""";' in cure
    assert [column.name for column in missing_columns(TABLE, stored, dialect)] == ["fresh", "spare"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_table_that_lacks_a_nullable_column_alone_fits(dialect: Dialect) -> None:
    stored = {
        stored_as(dialect, column.name): StoredColumn(sql_type(column.dtype, dialect), column.nullable)
        for column in COLUMNS[:-1]
    }
    require_form("the table", TABLE, "first", stored, dialect)
    assert missing_columns(TABLE, stored, dialect) == [COLUMNS[-1]]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_view_of_a_table_without_a_key_is_made_only_where_there_was_one(dialect: Dialect) -> None:
    keyless = replace(TABLE, key=())
    assert current_view(keyless, "first", dialect, is_there=False) == []
    (statement, *_) = current_view(keyless, "first", dialect, is_there=True)
    assert "PARTITION BY" not in statement and "DISTINCT" not in statement
    (with_key, *_) = current_view(TABLE, "first", dialect, is_there=False)
    assert ("DISTINCT ON" if dialect == "postgres" else "PARTITION BY") in with_key
