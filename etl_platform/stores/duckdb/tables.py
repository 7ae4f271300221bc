"""A DuckDB table: made from its description, and made to follow it. What differs, and what settles it:
`table_form.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_platform.contracts.ddl import (
    column_comment,
    column_definition,
    create_statements,
    goes_by_other_key,
)
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import Table
from etl_platform.limits import COMMENTS_AT_ONCE
from etl_platform.stores.table_form import StoredColumn, current_view, missing_columns, require_form

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class DuckDBTable:
    """A table in one schema of the file. `file` names the file in messages."""

    table: Table
    schema: str
    file: str

    @property
    def name(self) -> str:
        """`"schema"."table"`."""
        return qualify(self.schema, self.table.name, "duckdb")

    @property
    def subject(self) -> str:
        """The table in messages."""
        return f"{self.file} table {self.schema}.{self.table.name}"

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create the table and its view, or add the columns that it lacks. Raises SchemaMismatchError.

        In transactions of its own: for each comment DuckDB keeps the table's whole form anew until the transaction
        ends, 340 MB of them for a thousand columns. A comment that was not reached is written the next time.
        """
        stored = self.stored_columns(connection)
        if not stored:
            statements = [f"CREATE SCHEMA IF NOT EXISTS {quote(self.schema, 'duckdb')}", *self._creation()]
        else:
            added = missing_columns(self.table, stored, "duckdb")
            statements = [f"ALTER TABLE {self.name} ADD COLUMN {column_definition(c, 'duckdb')}" for c in added]
        has_old_view = goes_by_other_key(self._view_comment(connection), self.table)
        if statements or has_old_view:
            view = current_view(self.table, self.schema, "duckdb", is_there=has_old_view)
            _in_one(connection, [*statements, *view])
        bare = [c for c in self.table.columns if c.name not in stored or stored[c.name].comment is None]
        comments = [column_comment(self.table, self.schema, c, "duckdb") for c in bare if c.description]
        for start in range(0, len(comments), COMMENTS_AT_ONCE):
            _in_one(connection, comments[start : start + COMMENTS_AT_ONCE])

    def _view_comment(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        found = connection.execute(
            "SELECT comment FROM duckdb_views()"
            " WHERE database_name = current_database() AND schema_name = ? AND view_name = ?",
            [self.schema, f"{self.table.name}_current"],
        ).fetchone()
        return found[0] if found else None

    def _creation(self) -> list[str]:
        return create_statements(self.table, self.schema, "duckdb", comments_columns=False)

    def stored_columns(self, connection: duckdb.DuckDBPyConnection) -> Mapping[str, StoredColumn]:
        """The table's columns, none where it does not exist. Raises SchemaMismatchError where it does not fit."""
        rows = connection.execute(
            "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns()"
            " WHERE database_name = current_database() AND schema_name = ? AND table_name = ?",
            [self.schema, self.table.name],
        ).fetchall()
        stored = {name: StoredColumn(kind, nullable, comment) for name, kind, nullable, comment in rows}
        if stored:
            require_form(self.subject, self.table, self.schema, stored, "duckdb")
        return stored


def _in_one(connection: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    """All of them in one transaction."""
    connection.begin()
    for statement in statements:
        connection.execute(statement)
    connection.commit()
