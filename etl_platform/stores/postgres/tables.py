"""The form of a Postgres table: made from its description, and made to follow it.

A nullable column that the contract gained is added. Every other difference is for a person to decide: the error
names it and the statement that would settle it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_platform.contracts.ddl import (
    column_definition,
    create_statements,
    current_view_comment,
    goes_by_other_key,
    sql_type,
    text_literal,
)
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, Column, PartitionKey, Table
from etl_platform.errors import SchemaMismatchError
from etl_platform.stores.postgres.connection import Connection
from etl_platform.stores.postgres.locks import lock_table_form

_SPELLED = {"timestamptz": "timestamp with time zone", "time": "time without time zone"}
"""Postgres reports types by their standard names."""

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), NOT a.attnotnull
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_VIEW_COMMENT = """
SELECT pg_catalog.obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'v'
"""


@dataclass(frozen=True)
class StoredColumn:
    """A column as the database has it."""

    type: str
    nullable: bool


def is_prepared(connection: Connection, table: Table, schema: str, subject: str) -> bool:
    """True where the table has all columns of its contract, and its view goes by its key. Raises SchemaMismatchError
    where it cannot get them."""
    has_all = len(stored_columns(connection, table, schema, subject)) == len(table.columns)
    return has_all and not _has_old_view(connection, table, schema)


def prepare(connection: Connection, table: Table, schema: str, subject: str) -> None:
    """Create the table and its view, or add the columns that it lacks; of two first writers one waits.

    Raises SchemaMismatchError.
    """
    lock_table_form(connection, schema, table.name)
    stored = stored_columns(connection, table, schema, subject)
    added = [column for column in table.columns if column.name not in stored]
    has_old_view = _has_old_view(connection, table, schema)
    if not added and not has_old_view:
        return
    if stored:
        name = qualify(schema, table.name, "postgres")
        statements = [statement for column in added for statement in _add(name, column)]
    else:
        statements = create_statements(table, schema, "postgres")
    # The view keeps the order in which columns came into being: Postgres adds to a view at its end only.
    columns = [*stored, *(column.name for column in added)]
    for statement in [*statements, *_current_view(table, schema, columns, is_there=has_old_view)]:
        connection.execute(statement.encode())


def stored_columns(connection: Connection, table: Table, schema: str, subject: str) -> Mapping[str, StoredColumn]:
    """The table's columns, none where it does not exist. Raises SchemaMismatchError where it does not fit."""
    rows = connection.execute(_COLUMNS, [schema, table.name]).fetchall()
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


def where_partitions(table: Table, keys: Sequence[PartitionKey]) -> tuple[str, list[object]]:
    """Condition and values for the rows of exactly `keys`, all of one schema."""
    # A schema holds one institution, so its dates alone name its partitions exactly.
    condition = f"{quote(BUSINESS_DATE, 'postgres')} = ANY (%s)"
    values: list[object] = [[key.business_date for key in keys]]
    if not table.shared:
        condition += f" AND {quote(INSTITUTION, 'postgres')} = %s"
        values.append(keys[0].institution)
    return condition, values


def _add(name: str, column: Column) -> list[str]:
    comment = f"COMMENT ON COLUMN {name}.{quote(column.name, 'postgres')} IS {text_literal(column.description)}"
    return [f"ALTER TABLE {name} ADD COLUMN {column_definition(column, 'postgres')}", comment]


def _differences(table: Table, schema: str, stored: Mapping[str, StoredColumn]) -> list[tuple[str, str]]:
    """What differs, each with the statement that would settle it."""
    alter = f"ALTER TABLE {qualify(schema, table.name, 'postgres')}"
    found: list[tuple[str, str]] = []
    for column in table.columns:
        there = stored.get(column.name)
        name, wanted = quote(column.name, "postgres"), sql_type(column.dtype, "postgres")
        if there is None:
            if not column.nullable:
                add = f"{alter} ADD COLUMN {name} {wanted}; fill it; {alter} ALTER COLUMN {name} SET NOT NULL;"
                found.append((f"{column.name} is missing and must not be null", add))
            continue
        if there.type != _SPELLED.get(wanted, wanted):
            cast = f"{alter} ALTER COLUMN {name} TYPE {wanted} USING {name}::{wanted};"
            found.append((f"{column.name} is {there.type} instead of {wanted}", cast))
        if there.nullable != column.nullable:
            difference = f"{column.name} {'allows' if there.nullable else 'forbids'} null"
            verb = "DROP" if column.nullable else "SET"
            found.append((difference, f"{alter} ALTER COLUMN {name} {verb} NOT NULL;"))
    names = {column.name for column in table.columns}
    found += [
        (f"{name} is not in the contract", f'{alter} DROP COLUMN "{name}";') for name in stored if name not in names
    ]
    return found


def _has_old_view(connection: Connection, table: Table, schema: str) -> bool:
    found = connection.execute(_VIEW_COMMENT, [schema, f"{table.name}_current"]).fetchone()
    return goes_by_other_key(found[0] if found else None, table)


def _current_view(table: Table, schema: str, columns: list[str], *, is_there: bool) -> list[str]:
    """`<table>_current`: of each key the row of the latest business date, for tables whose rows have a key. is_there:
    it was made for a key, and stays, whoever uses it; without a key it shows all rows."""
    if table.shared or not (table.key or is_there):
        return []
    view = qualify(schema, f"{table.name}_current", "postgres")
    selected = ", ".join(quote(name, "postgres") for name in columns)
    key = ", ".join(quote(name, "postgres") for name in table.key)
    of_each, latest = "", ""
    if key:
        of_each, latest = f"DISTINCT ON ({key}) ", f" ORDER BY {key}, {quote(BUSINESS_DATE, 'postgres')} DESC"
    rows = f"SELECT {of_each}{selected} FROM {qualify(schema, table.name, 'postgres')}{latest}"  # noqa: S608 - checked names, bound values
    comment = text_literal(current_view_comment(table))
    return [f"CREATE OR REPLACE VIEW {view} AS {rows}", f"COMMENT ON VIEW {view} IS {comment}"]
