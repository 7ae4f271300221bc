"""The form of a DuckDB table: made from its description, and made to follow it.

A nullable column that the contract gained is added. Every other difference is for a person to decide: the error
names it and the statement that would settle it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl_platform.contracts.ddl import (
    column_comment,
    column_definition,
    create_statements,
    current_view_comment,
    goes_by_other_key,
    sql_type,
    text_literal,
)
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.errors import SchemaMismatchError

if TYPE_CHECKING:
    import duckdb

_SPELLED = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
"""DuckDB reports types by their long names."""
COMMENTS_AT_ONCE = 25


@dataclass(frozen=True)
class StoredColumn:
    """A column as the database has it."""

    type: str
    nullable: bool
    comment: str | None = None


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
            added = [column for column in self.table.columns if column.name not in stored]
            statements = [f"ALTER TABLE {self.name} ADD COLUMN {column_definition(c, 'duckdb')}" for c in added]
        has_old_view = goes_by_other_key(self._view_comment(connection), self.table)
        if statements or has_old_view:
            _in_one(connection, [*statements, *_current_view(self, is_there=has_old_view)])
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
        differences = _differences(self, stored) if stored else []
        if differences:
            raise SchemaMismatchError(
                self.subject,
                found="; ".join(difference for difference, _ in differences),
                expected="the columns of its contract",
                next_step="run, after a look at the rows: " + " ".join(statement for _, statement in differences),
            )
        return stored


def _in_one(connection: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    """All of them in one transaction."""
    connection.begin()
    for statement in statements:
        connection.execute(statement)
    connection.commit()


def _differences(target: DuckDBTable, stored: Mapping[str, StoredColumn]) -> list[tuple[str, str]]:
    """What differs, each with the statement that would settle it. A missing nullable column does not count."""
    found: list[tuple[str, str]] = []
    for column in target.table.columns:
        if column.name in stored:
            found += _column_differences(target, column, stored[column.name])
        elif not column.nullable:
            found.append((f"{column.name} is missing and must not be null", _add_required(target, column)))
    known = {column.name for column in target.table.columns}
    found += [
        # Not through `quote`: whoever added the column may have given it a name that we would not.
        (
            f"{name} is not in the contract",
            f'ALTER TABLE {target.name} DROP COLUMN "{name.replace(chr(34), chr(34) * 2)}";',
        )
        for name in stored
        if name not in known
    ]
    return found


def _column_differences(target: DuckDBTable, column: Column, there: StoredColumn) -> list[tuple[str, str]]:
    alter = f"ALTER TABLE {target.name} ALTER COLUMN {quote(column.name, 'duckdb')}"
    wanted = sql_type(column.dtype, "duckdb")
    found: list[tuple[str, str]] = []
    if there.type != _SPELLED.get(wanted, wanted):
        found.append((f"{column.name} is {there.type} instead of {wanted}", f"{alter} SET DATA TYPE {wanted};"))
    if there.nullable and not column.nullable:
        found.append((f"{column.name} allows null", f"{alter} SET NOT NULL;"))
    if column.nullable and not there.nullable:
        found.append((f"{column.name} forbids null", f"{alter} DROP NOT NULL;"))
    return found


def _add_required(target: DuckDBTable, column: Column) -> str:
    name, alter = quote(column.name, "duckdb"), f"ALTER TABLE {target.name}"
    kind = sql_type(column.dtype, "duckdb")
    return f"{alter} ADD COLUMN {name} {kind}; (fill it); {alter} ALTER COLUMN {name} SET NOT NULL;"


def _current_view(target: DuckDBTable, *, is_there: bool) -> list[str]:
    """`<table>_current`: of each key the row of the latest business date, for tables whose rows have a key. is_there:
    it was made for a key, and stays, whoever uses it; without a key it shows all rows."""
    table = target.table
    if table.shared or not (table.key or is_there):
        return []
    view = qualify(target.schema, f"{table.name}_current", "duckdb")
    columns = ", ".join(quote(column.name, "duckdb") for column in table.columns)
    key = ", ".join(quote(name, "duckdb") for name in table.key)
    latest = f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {quote(BUSINESS_DATE, 'duckdb')} DESC) = 1"
    query = f"SELECT {columns} FROM {target.name}{latest if key else ''}"  # noqa: S608 - checked names, bound values
    comment = text_literal(current_view_comment(table))
    return [f"CREATE OR REPLACE VIEW {view} AS {query}", f"COMMENT ON VIEW {view} IS {comment}"]
