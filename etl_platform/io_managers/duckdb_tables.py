"""The form of a DuckDB table: made from its description, and made to follow it.

A nullable column that the contract gained is added. Every other difference is for a person to decide: the error
names it and the statement that would settle it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from etl_platform.contracts.ddl import column_definition, create_statements, sql_type, text_literal
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.errors import SchemaMismatchError

_SPELLED = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
"""DuckDB reports types by their long names."""


@dataclass(frozen=True)
class StoredColumn:
    """A column as the database has it."""

    type: str
    nullable: bool


def prepare(connection: duckdb.DuckDBPyConnection, table: Table, schema: str, subject: str) -> None:
    """Create the table and its view, or add the columns that it lacks. Raises SchemaMismatchError."""
    stored = stored_columns(connection, table, schema, subject)
    added = [column for column in table.columns if column.name not in stored]
    if not stored:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema, 'duckdb')}")
        statements = create_statements(table, schema, "duckdb")
    else:
        name = qualify(schema, table.name, "duckdb")
        statements = [f"ALTER TABLE {name} ADD COLUMN {column_definition(column, 'duckdb')}" for column in added]
    if not stored or added:
        for statement in [*statements, *_current_view(table, schema)]:
            connection.execute(statement)


def stored_columns(
    connection: duckdb.DuckDBPyConnection, table: Table, schema: str, subject: str
) -> Mapping[str, StoredColumn]:
    """The table's columns, none where it does not exist. Raises SchemaMismatchError where it does not fit."""
    rows = connection.execute(
        "SELECT column_name, data_type, is_nullable FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name = ? AND table_name = ?",
        [schema, table.name],
    ).fetchall()
    stored = {name: StoredColumn(kind, nullable) for name, kind, nullable in rows}
    differences = _differences(table, schema, stored) if stored else []
    if differences:
        raise SchemaMismatchError(
            f"{subject} table {schema}.{table.name}",
            found="; ".join(difference for difference, _ in differences),
            expected="the columns of its contract",
            next_step="run, after a look at the rows: " + " ".join(statement for _, statement in differences),
        )
    return stored


def _differences(table: Table, schema: str, stored: Mapping[str, StoredColumn]) -> list[tuple[str, str]]:
    """What differs, each with the statement that would settle it."""
    alter = f"ALTER TABLE {qualify(schema, table.name, 'duckdb')}"
    found: list[tuple[str, str]] = []
    for column in table.columns:
        there = stored.get(column.name)
        if there is None:
            if not column.nullable:
                found.append((f"{column.name} is missing and must not be null", _add_required(alter, column)))
            continue
        name, wanted = quote(column.name, "duckdb"), sql_type(column.dtype, "duckdb")
        if there.type != _SPELLED.get(wanted, wanted):
            statement = f"{alter} ALTER COLUMN {name} SET DATA TYPE {wanted};"
            found.append((f"{column.name} is {there.type} instead of {wanted}", statement))
        if there.nullable != column.nullable:
            found.append(
                (
                    f"{column.name} {'allows' if there.nullable else 'forbids'} null",
                    f"{alter} ALTER COLUMN {name} {'DROP' if column.nullable else 'SET'} NOT NULL;",
                )
            )
    names = {column.name for column in table.columns}
    found += [
        (f"{name} is not in the contract", f'{alter} DROP COLUMN "{name}";') for name in stored if name not in names
    ]
    return found


def _add_required(alter: str, column: Column) -> str:
    name = quote(column.name, "duckdb")
    return (
        f"{alter} ADD COLUMN {name} {sql_type(column.dtype, 'duckdb')}; fill it; "
        f"{alter} ALTER COLUMN {name} SET NOT NULL;"
    )


def _current_view(table: Table, schema: str) -> list[str]:
    """`<table>_current`: of each key the row of the latest business date, for tables whose rows have a key."""
    if table.shared or not table.key:
        return []
    view = qualify(schema, f"{table.name}_current", "duckdb")
    columns = ", ".join(quote(column.name, "duckdb") for column in table.columns)
    key = ", ".join(quote(name, "duckdb") for name in table.key)
    description = text_literal(f"Latest delivery of each ({', '.join(table.key)}) of {table.name}.")
    return [
        f"CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM {qualify(schema, table.name, 'duckdb')} "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {quote(BUSINESS_DATE, 'duckdb')} DESC) = 1",
        f"COMMENT ON VIEW {view} IS {description}",
    ]
