"""A Postgres table: made from its description, and made to follow it. What differs, and what settles it:
`table_form.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from etl_platform.contracts.ddl import (
    column_definition,
    create_statements,
    goes_by_other_key,
    text_literal,
)
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, Column, PartitionKey, Table
from etl_platform.stores.postgres.connection import Connection
from etl_platform.stores.postgres.locks import lock_table_form
from etl_platform.stores.table_form import StoredColumn, current_view, missing_columns, require_form

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
    added = missing_columns(table, stored, "postgres")
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
    view = current_view(table, schema, "postgres", is_there=has_old_view, columns=columns)
    for statement in [*statements, *view]:
        connection.execute(statement.encode())


def stored_columns(connection: Connection, table: Table, schema: str, subject: str) -> Mapping[str, StoredColumn]:
    """The table's columns, none where it does not exist. Raises SchemaMismatchError where it does not fit."""
    rows = connection.execute(_COLUMNS, [schema, table.name]).fetchall()
    stored = {name: StoredColumn(kind, nullable) for name, kind, nullable in rows}
    if stored:
        require_form(f"{subject} table {schema}.{table.name}", table, schema, stored, "postgres")
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


def _has_old_view(connection: Connection, table: Table, schema: str) -> bool:
    found = connection.execute(_VIEW_COMMENT, [schema, f"{table.name}_current"]).fetchone()
    return goes_by_other_key(found[0] if found else None, table)
