"""What a stored table must be like to be that of its description, and what settles a difference: in every database.

A nullable column that the contract gained is added. Every other difference is for a person to decide: the error
names it and the statement that would settle it.

Belongs here: what is text alone. Not here: asking a database what it has, and changing it (`duckdb/tables.py`,
`postgres/tables.py`, `snowflake/schema.py`); the statements that make a table (`contracts/ddl.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from etl_platform.contracts.ddl import current_view_comment, sql_type, text_literal
from etl_platform.contracts.identifiers import Dialect, qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.errors import SchemaMismatchError

_SPELLED: dict[Dialect, dict[str, str]] = {
    "duckdb": {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"},
    "postgres": {"timestamptz": "timestamp with time zone", "time": "time without time zone"},
    "snowflake": {"DOUBLE": "FLOAT", "VARCHAR": "VARCHAR(16777216)"},
}
"""Types that a database reports by other names than it takes."""


@dataclass(frozen=True)
class StoredColumn:
    """A column as the database has it. comment: None also where nobody asked for it."""

    type: str
    nullable: bool
    comment: str | None = None


def missing_columns(table: Table, stored: Mapping[str, StoredColumn], dialect: Dialect) -> list[Column]:
    """The columns of the contract that the table does not have."""
    return [column for column in table.columns if _stored_name(column, dialect) not in stored]


def require_form(subject: str, table: Table, schema: str, stored: Mapping[str, StoredColumn], dialect: Dialect) -> None:
    """Raises SchemaMismatchError where the columns are not those of the contract; a nullable one may be missing."""
    differences = list(_differences(table, f"ALTER TABLE {qualify(schema, table.name, dialect)}", stored, dialect))
    if differences:
        raise SchemaMismatchError(
            subject,
            found="; ".join(difference for difference, _ in differences),
            expected="the columns of its contract",
            next_step="run, after a look at the rows: " + " ".join(statement for _, statement in differences),
        )


def current_view(
    table: Table, schema: str, dialect: Dialect, *, is_there: bool, columns: Iterable[str] | None = None
) -> list[str]:
    """`<table>_current`: of each key the row of the latest business date, for tables whose rows have a key.

    is_there: it was made for a key, and stays, whoever uses it; without a key it shows all rows. columns: another order
    than the contract's.
    """
    if table.shared or not (table.key or is_there):
        return []
    names = columns or (column.name for column in table.columns)
    selected = ", ".join(quote(name, dialect) for name in names)
    rows = _latest(table, qualify(schema, table.name, dialect), selected, dialect)
    view = qualify(schema, f"{table.name}_current", dialect)
    comment = text_literal(current_view_comment(table), dialect)
    if dialect == "snowflake":
        return [f"CREATE OR REPLACE VIEW {view} COMMENT = {comment} AS {rows}"]
    return [f"CREATE OR REPLACE VIEW {view} AS {rows}", f"COMMENT ON VIEW {view} IS {comment}"]


def _latest(table: Table, name: str, selected: str, dialect: Dialect) -> str:
    key = ", ".join(quote(column, dialect) for column in table.key)
    date = quote(BUSINESS_DATE, dialect)
    if not key:
        return f"SELECT {selected} FROM {name}"  # noqa: S608 - checked names
    if dialect == "postgres":
        return f"SELECT DISTINCT ON ({key}) {selected} FROM {name} ORDER BY {key}, {date} DESC"  # noqa: S608 - checked names
    first = f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {date} DESC) = 1"
    return f"SELECT {selected} FROM {name} {first}"  # noqa: S608 - checked names


def _differences(
    table: Table, alter: str, stored: Mapping[str, StoredColumn], dialect: Dialect
) -> Iterator[tuple[str, str]]:
    """What differs, each with the statement that would settle it."""
    for column in table.columns:
        there = stored.get(_stored_name(column, dialect))
        if there is not None:
            yield from _column_differences(column, alter, there, dialect)
        elif not column.nullable:
            name, kind = quote(column.name, dialect), sql_type(column.dtype, dialect)
            add = f"{alter} ADD COLUMN {name} {kind}; fill it; {alter} ALTER COLUMN {name} SET NOT NULL;"
            yield f"{column.name} is missing and must not be null", add
    known = {_stored_name(column, dialect) for column in table.columns}
    for name in (name for name in stored if name not in known):
        # Not through `quote`: whoever added the column may have given it a name that we would not.
        quoted = '"' + name.replace('"', '""') + '"'
        yield f"{name} is not in the contract", f"{alter} DROP COLUMN {quoted};"


def _column_differences(column: Column, alter: str, there: StoredColumn, dialect: Dialect) -> Iterator[tuple[str, str]]:
    name, wanted = quote(column.name, dialect), sql_type(column.dtype, dialect)
    change = f"{alter} ALTER COLUMN {name}"
    if there.type != _SPELLED[dialect].get(wanted, wanted):
        cast = f"TYPE {wanted} USING {name}::{wanted}" if dialect == "postgres" else f"SET DATA TYPE {wanted}"
        yield f"{column.name} is {there.type} instead of {wanted}", f"{change} {cast};"
    if there.nullable != column.nullable:
        verb, does = ("DROP", "forbids") if column.nullable else ("SET", "allows")
        yield f"{column.name} {does} null", f"{change} {verb} NOT NULL;"


def _stored_name(column: Column, dialect: Dialect) -> str:
    return column.name.upper() if dialect == "snowflake" else column.name
