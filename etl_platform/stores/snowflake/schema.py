"""A Snowflake table: made from its description, and made to follow it. What differs, and what settles it:
`table_form.py`. Nothing here runs inside a load's transaction: DDL would commit it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from etl_platform.contracts.ddl import (
    column_definition,
    create_statements,
    text_literal,
)
from etl_platform.contracts.table import Table
from etl_platform.stores.snowflake.account import SnowflakeSession
from etl_platform.stores.snowflake.errors import TableMissingError
from etl_platform.stores.snowflake.statements import bookkeeping, name, qualified
from etl_platform.stores.table_form import StoredColumn, current_view, missing_columns, require_form


def prepare(session: SnowflakeSession, table: Table, schema: str, *, creates_schema: bool) -> None:
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
        return [
            *create_statements(table, schema, "snowflake"),
            *current_view(table, schema, "snowflake", is_there=False),
        ]
    added = missing_columns(table, stored, "snowflake")
    alter = f"ALTER TABLE {qualified(schema, table.name)} ADD COLUMN IF NOT EXISTS"
    statements = [f"{alter} {column_definition(column, 'snowflake')}" for column in added]
    # DDL commits one by one: a load that died after CREATE TABLE has left the table without its view. One that goes by
    # a key of an earlier declaration would hide rows.
    is_well = _goes_by(view or "", table) and not added
    return [*statements, *([] if is_well else current_view(table, schema, "snowflake", is_there=view is not None))]


def view_text(session: SnowflakeSession, table: Table, schema: str) -> str | None:
    """How `<TABLE>_CURRENT` is defined; None where there is none."""
    view = f"{table.name}_current".upper()
    rows = session.rows(f"SHOW VIEWS LIKE {text_literal(view, 'snowflake')} IN SCHEMA {name(schema)}")
    return next((str(row["text"]) for row in rows if row["name"] == view), None)  # `_` stands for any character


def _goes_by(view: str, table: Table) -> bool:
    """Whether the rows of the view are told apart by the table's key."""
    plain = " ".join(view.upper().replace('"', "").split())
    found = re.search(r"PARTITION BY (.*?) ORDER BY", plain)
    return (found.group(1) if found else "") == ", ".join(table.key).upper() and bool(view)


def stored_columns(session: SnowflakeSession, table: Table, schema: str) -> Mapping[str, StoredColumn]:
    """The table's columns, none where it does not exist. Raises SchemaMismatchError where it does not fit."""
    try:
        rows = session.rows(f"DESCRIBE TABLE {qualified(schema, table.name)}")
    except TableMissingError:
        return {}
    stored = {row["name"]: StoredColumn(row["type"], row["null?"] == "Y") for row in rows}
    require_form(f"{session.subject} table {qualified(schema, table.name)}", table, schema, stored, "snowflake")
    return stored
