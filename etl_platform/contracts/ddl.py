"""SQL DDL derived from a `Table`, for DuckDB, Postgres and Snowflake."""

from __future__ import annotations

import zlib

import polars as pl

from etl_platform.contracts.identifiers import Dialect, qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.errors import ConfigurationError
from etl_platform.limits import SQL_NAME_CHARACTERS

_PLAIN: dict[type[pl.DataType], dict[Dialect, str]] = {
    pl.String: {"duckdb": "VARCHAR", "postgres": "text", "snowflake": "VARCHAR"},
    pl.Int64: {"duckdb": "BIGINT", "postgres": "bigint", "snowflake": "NUMBER(19,0)"},
    pl.Int32: {"duckdb": "INTEGER", "postgres": "integer", "snowflake": "NUMBER(10,0)"},
    pl.Float64: {"duckdb": "DOUBLE", "postgres": "double precision", "snowflake": "DOUBLE"},
    pl.Boolean: {"duckdb": "BOOLEAN", "postgres": "boolean", "snowflake": "BOOLEAN"},
    pl.Date: {"duckdb": "DATE", "postgres": "date", "snowflake": "DATE"},
    pl.Datetime: {"duckdb": "TIMESTAMPTZ", "postgres": "timestamptz", "snowflake": "TIMESTAMP_LTZ(6)"},
    # No contract of the platform has these; only the Postgres store is tested to keep them.
    pl.Categorical: {"postgres": "text"},
    pl.Enum: {"postgres": "text"},
    pl.Time: {"postgres": "time"},
}


def sql_type(dtype: pl.DataType, dialect: Dialect) -> str:
    """The SQL type that holds `dtype` exactly. Raises ConfigurationError for one that no target holds."""
    if isinstance(dtype, pl.Decimal):
        name = {"duckdb": "DECIMAL", "postgres": "numeric", "snowflake": "NUMBER"}[dialect]
        return f"{name}({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.List) and dtype.inner == pl.String():
        return {"duckdb": "VARCHAR[]", "postgres": "text[]", "snowflake": "ARRAY"}[dialect]
    try:
        return _PLAIN[type(dtype)][dialect]
    except KeyError:
        raise ConfigurationError(
            f"type {dtype}",
            found=f"no SQL type of {dialect} is known to hold it exactly",
            expected=", ".join(kind.__name__ for kind, names in _PLAIN.items() if dialect in names),
        ) from None


def column_definition(column: Column, dialect: Dialect) -> str:
    """`"name" TYPE [NOT NULL]`."""
    return f"{quote(column.name, dialect)} {sql_type(column.dtype, dialect)}{'' if column.nullable else ' NOT NULL'}"


def text_literal(text: str, dialect: Dialect = "duckdb") -> str:
    """A string literal for comments, which take no bound values. NUL is not allowed in SQL text, and a backslash is
    an escape inside Snowflake's literals."""
    plain = text.replace("\0", "").replace("\\", "\\\\") if dialect == "snowflake" else text.replace("\0", "")
    return "'" + plain.replace("'", "''") + "'"


CURRENT_VIEW = "Latest delivery of each ("
"""How the comment of every view `<table>_current` begins."""


def current_view_comment(table: Table) -> str:
    """What is said of `<table>_current`, which names the key that it goes by."""
    return f"{CURRENT_VIEW}{', '.join(table.key) or 'row, as no key is declared'}) of {table.name}."


def goes_by_other_key(comment: str | None, table: Table) -> bool:
    """Whether a view with this comment is `<table>_current` as an earlier declaration made it: another key in it would
    hide rows from whoever reads it."""
    return comment is not None and comment.startswith(CURRENT_VIEW) and comment != current_view_comment(table)


def create_statements(table: Table, schema: str, dialect: Dialect, *, comments_columns: bool = True) -> list[str]:
    """Idempotent statements that create the table with comments, and the index that serves partition replace
    and the natural key where it is no text (DuckDB and Snowflake prune by zone maps: no index there).

    comments_columns: false leaves those of the columns to the caller (not in Snowflake, where they are no statements
    of their own)."""
    if dialect == "snowflake":
        return [_create_in_one(table, schema)]
    name = qualify(schema, table.name, dialect)
    columns = ",\n  ".join(column_definition(c, dialect) for c in table.columns)
    statements = [f"CREATE TABLE IF NOT EXISTS {name} (\n  {columns}\n)"]
    if dialect == "postgres":
        index = quote(_index_name(table.name), dialect)
        # No text: one value of more than 2,704 bytes in an index, and Postgres refuses the whole load.
        short = [c.name for c in table.columns if c.name in table.key and c.dtype != pl.String()]
        keys = ", ".join(quote(c, dialect) for c in (BUSINESS_DATE, *short))
        statements.append(f"CREATE INDEX IF NOT EXISTS {index} ON {name} ({keys})")
    statements.append(f"COMMENT ON TABLE {name} IS {text_literal(table.description)}")
    if comments_columns:
        statements += [column_comment(table, schema, column, dialect) for column in table.columns]
    return statements


def column_comment(table: Table, schema: str, column: Column, dialect: Dialect) -> str:
    """The statement that describes a column."""
    place = f"{qualify(schema, table.name, dialect)}.{quote(column.name, dialect)}"
    return f"COMMENT ON COLUMN {place} IS {text_literal(column.description)}"


def _index_name(table: str) -> str:
    """Within 62 bytes, and another one for every table: an index of a taken name would silently not be made."""
    suffix = "_partition_key"
    if len(table + suffix) <= SQL_NAME_CHARACTERS:
        return table + suffix
    digest = f"_{zlib.crc32(table.encode()):08x}{suffix}"
    return table[: SQL_NAME_CHARACTERS - len(digest)] + digest


def _create_in_one(table: Table, schema: str) -> str:
    """Snowflake takes comments inside CREATE TABLE: one round trip instead of one for each column."""
    columns = ",\n  ".join(
        f"{column_definition(c, 'snowflake')} COMMENT {text_literal(c.description, 'snowflake')}" for c in table.columns
    )
    comment = text_literal(table.description, "snowflake")
    name = qualify(schema, table.name, "snowflake")
    return f"CREATE TABLE IF NOT EXISTS {name} (\n  {columns}\n) COMMENT = {comment}"
