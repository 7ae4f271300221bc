"""The form of a Snowflake table: made from its description, and made to follow it.

A nullable column that the contract gained is added. Every other difference is for a person to decide: the error
names it and the statement that would settle it. Nothing here runs inside a load's transaction: DDL would commit it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from etl_platform.contracts.ddl import (
    column_definition,
    create_statements,
    current_view_comment,
    sql_type,
    text_literal,
)
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.errors import SchemaMismatchError
from etl_platform.stores.snowflake.account import Session
from etl_platform.stores.snowflake.errors import ObjectMissingError
from etl_platform.stores.snowflake.statements import bookkeeping, name, qualified

_DESCRIBED = {"DOUBLE": "FLOAT", "VARCHAR": "VARCHAR(16777216)"}
"""DESCRIBE spells these types differently from CREATE."""


@dataclass(frozen=True)
class StoredColumn:
    """A column as the account has it."""

    type: str
    nullable: bool


def prepare(session: Session, table: Table, schema: str, *, creates_schema: bool) -> None:
    """Create the table, its view and the bookkeeping, or add columns that it lacks. Raises SchemaMismatchError.

    creates_schema: False where schemas are the administrator's (roles); a missing one is then an error.
    """
    stored = stored_columns(session, table, schema)
    if not stored and creates_schema:
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {name(schema)}")
    view = view_text(session, table, schema) if stored and not table.shared else None
    for statement in [*bookkeeping(schema), *changes(table, schema, stored, view)]:
        session.execute(statement)


def changes(table: Table, schema: str, stored: Mapping[str, StoredColumn], view: str | None = None) -> list[str]:
    """The statements that bring the stored table and its view to their description. view: its text, if it is there."""
    if not stored:
        return [*create_statements(table, schema, "snowflake"), *current_view(table, schema)]
    added = [column for column in table.columns if column.name.upper() not in stored]
    alter = f"ALTER TABLE {qualified(schema, table.name)} ADD COLUMN IF NOT EXISTS"
    statements = [f"{alter} {column_definition(column, 'snowflake')}" for column in added]
    # DDL commits one by one: a load that died after CREATE TABLE has left the table without its view. One that goes by
    # a key of an earlier declaration would hide rows.
    is_well = _goes_by(view or "", table) and not added
    return [*statements, *([] if is_well else current_view(table, schema, is_there=view is not None))]


def view_text(session: Session, table: Table, schema: str) -> str | None:
    """How `<TABLE>_CURRENT` is defined; None where there is none."""
    view = f"{table.name}_current".upper()
    rows = session.rows(f"SHOW VIEWS LIKE {text_literal(view, 'snowflake')} IN SCHEMA {name(schema)}")
    return next((str(row["text"]) for row in rows if row["name"] == view), None)  # `_` stands for any character


def _goes_by(view: str, table: Table) -> bool:
    """Whether the rows of the view are told apart by the table's key."""
    plain = " ".join(view.upper().replace('"', "").split())
    found = re.search(r"PARTITION BY (.*?) ORDER BY", plain)
    return (found.group(1) if found else "") == ", ".join(table.key).upper() and bool(view)


def stored_columns(session: Session, table: Table, schema: str) -> Mapping[str, StoredColumn]:
    """The table's columns, none where it does not exist. Raises SchemaMismatchError where it does not fit."""
    try:
        rows = session.rows(f"DESCRIBE TABLE {qualified(schema, table.name)}")
    except ObjectMissingError:
        return {}
    stored = {row["name"]: StoredColumn(row["type"], row["null?"] == "Y") for row in rows}
    differences = _differences(table, schema, stored)
    if differences:
        raise SchemaMismatchError(
            f"{session.subject} table {qualified(schema, table.name)}",
            found="; ".join(difference for difference, _ in differences),
            expected="the columns of its contract",
            next_step="run, after a look at the rows: " + " ".join(statement for _, statement in differences),
        )
    return stored


def current_view(table: Table, schema: str, *, is_there: bool = False) -> list[str]:
    """`<TABLE>_CURRENT`: of each key the row of the latest business date, for tables whose rows have a key. is_there:
    it was made for a key, and stays, whoever uses it; without a key it shows all rows."""
    if table.shared or not (table.key or is_there):
        return []
    columns = ", ".join(name(column.name) for column in table.columns)
    key = ", ".join(name(column) for column in table.key)
    latest = f" QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {name(BUSINESS_DATE)} DESC) = 1"
    query = f"SELECT {columns} FROM {qualified(schema, table.name)}{latest if key else ''}"  # noqa: S608 - checked names, bound values
    comment = text_literal(current_view_comment(table), "snowflake")
    return [f"CREATE OR REPLACE VIEW {qualified(schema, f'{table.name}_current')} COMMENT = {comment} AS {query}"]


def _differences(table: Table, schema: str, stored: Mapping[str, StoredColumn]) -> list[tuple[str, str]]:
    """What differs, each with the statement that would settle it."""
    alter = f"ALTER TABLE {qualified(schema, table.name)}"
    found: list[tuple[str, str]] = []
    for column in table.columns:
        there = stored.get(column.name.upper())
        if there is not None:
            found += _column_differences(alter, column, there)
        elif not column.nullable:
            found.append((f"{column.name} is missing and must not be null", _add_required(alter, column)))
    names = {column.name.upper() for column in table.columns}
    found += [
        (f"{extra} is not in the contract", f'{alter} DROP COLUMN "{extra}";') for extra in stored if extra not in names
    ]
    return found


def _column_differences(alter: str, column: Column, there: StoredColumn) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    change = f"{alter} ALTER COLUMN {name(column.name)}"
    wanted = sql_type(column.dtype, "snowflake")
    if there.type != _DESCRIBED.get(wanted, wanted):
        found.append((f"{column.name} is {there.type} instead of {wanted}", f"{change} SET DATA TYPE {wanted};"))
    if there.nullable != column.nullable:
        found.append(
            (
                f"{column.name} {'allows' if there.nullable else 'forbids'} null",
                f"{change} {'DROP' if column.nullable else 'SET'} NOT NULL;",
            )
        )
    return found


def _add_required(alter: str, column: Column) -> str:
    title = name(column.name)
    return (
        f"{alter} ADD COLUMN {title} {sql_type(column.dtype, 'snowflake')}; fill it; "
        f"{alter} ALTER COLUMN {title} SET NOT NULL;"
    )
