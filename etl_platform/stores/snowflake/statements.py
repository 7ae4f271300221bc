"""The SQL sent to Snowflake, as text. Names only through `contracts/identifiers.py`, values only bound.

Kept to what both the service and the emulator of the tests understand: no MERGE with bound values, no DROP STAGE
(a temporary stage ends with its session), no SELECT from a stage.
"""

# ruff: noqa: S608 - names are checked where they are quoted, values are bound
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from etl_platform.contracts.ddl import column_definition
from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey, Table

LOCKS, LOADS = "_partition_locks", "_loads"


def name(text: str) -> str:
    """An identifier in Snowflake's spelling."""
    return quote(text, "snowflake")


def qualified(schema: str, table: str) -> str:
    """`"SCHEMA"."TABLE"`."""
    return qualify(schema, table, "snowflake")


def bookkeeping(schema: str) -> list[str]:
    """The tables that serialise loads and tell whether a load was committed."""
    return [
        f"CREATE TABLE IF NOT EXISTS {qualified(schema, LOCKS)} "
        '("TABLE_NAME" VARCHAR NOT NULL, "PARTITION_KEY" VARCHAR NOT NULL, "LOAD_TOKEN" VARCHAR)',
        f"CREATE TABLE IF NOT EXISTS {qualified(schema, LOADS)} "
        '("LOAD_TOKEN" VARCHAR NOT NULL, "TABLE_NAME" VARCHAR NOT NULL, "PARTITION_COUNT" NUMBER(10,0) NOT NULL, '
        '"ROW_COUNT" NUMBER(19,0) NOT NULL, "LOADED_AT" TIMESTAMP_LTZ(6) NOT NULL)',
    ]


def ensure_lock_rows(schema: str, partitions: int) -> str:
    """Values: table, the partition keys, table. Two sessions may both insert a row: locking takes all of them."""
    wanted = ", ".join(["(?)"] * partitions)
    locks = qualified(schema, LOCKS)
    return (
        f'INSERT INTO {locks} ("TABLE_NAME", "PARTITION_KEY") '
        f'SELECT ?, wanted."PARTITION_KEY" FROM (VALUES {wanted}) AS wanted ("PARTITION_KEY") '
        f'WHERE wanted."PARTITION_KEY" NOT IN (SELECT "PARTITION_KEY" FROM {locks} WHERE "TABLE_NAME" = ?)'
    )


def lock(schema: str, partitions: int) -> str:
    """Values: token, table, the partition keys. Waits for another load of these partitions."""
    keys = ", ".join(["?"] * partitions)
    return (
        f'UPDATE {qualified(schema, LOCKS)} SET "LOAD_TOKEN" = ? WHERE "TABLE_NAME" = ? AND "PARTITION_KEY" IN ({keys})'
    )


def record_load(schema: str) -> str:
    """Values: token, table, number of partitions, number of rows."""
    return (
        f"INSERT INTO {qualified(schema, LOADS)} "
        '("LOAD_TOKEN", "TABLE_NAME", "PARTITION_COUNT", "ROW_COUNT", "LOADED_AT") '
        "SELECT ?, ?, ?, ?, CURRENT_TIMESTAMP()"
    )


def find_load(schema: str) -> str:
    """Value: token."""
    return f'SELECT "ROW_COUNT" FROM {qualified(schema, LOADS)} WHERE "LOAD_TOKEN" = ?'


def create_temporary(table: Table, schema: str) -> str:
    """A table that ends with the session."""
    columns = ", ".join(column_definition(column, "snowflake") for column in table.columns)
    return f"CREATE OR REPLACE TEMPORARY TABLE {qualified(schema, table.name)} ({columns})"


def create_stage(schema: str, stage: str) -> str:
    """A stage that ends with the session, with its files."""
    return f"CREATE TEMPORARY STAGE {qualified(schema, stage)}"


def put(file: Path, schema: str, stage: str) -> str:
    """PUT takes no bound values: the path is a literal. Parquet is compressed inside."""
    uri = f"file://{file.as_posix()}".replace("\\", "\\\\").replace("'", "\\'")
    return f"PUT '{uri}' @{qualified(schema, stage)} AUTO_COMPRESS=FALSE OVERWRITE=TRUE"


def copy(schema: str, table: str, stage: str) -> str:
    """Load all files of the stage; any row that does not fit fails the whole statement."""
    # NULL_IF: Snowflake's default for Parquet reads the text \N as NULL.
    # USE_LOGICAL_TYPE: without it a timestamp is an integer whose unit is guessed from its size.
    return (
        f"COPY INTO {qualified(schema, table)} FROM @{qualified(schema, stage)} "
        "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE NULL_IF = ()) "
        "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE ON_ERROR = ABORT_STATEMENT"
    )


def where_partitions(table: Table, partitions: Sequence[PartitionKey]) -> tuple[str, list[object]]:
    """Condition and values for partitions of one institution (or of none): the given dates, no range."""
    dates = ", ".join(["?"] * len(partitions))
    values: list[object] = [key.business_date for key in partitions]
    condition = f"{name(BUSINESS_DATE)} IN ({dates})"
    if table.shared:
        return condition, values
    return f"{name(INSTITUTION)} = ? AND {condition}", [partitions[0].institution, *values]


def select(table: Table, schema: str, columns: Sequence[str], condition: str) -> str:
    """The columns of the rows that meet `condition` (see `where_partitions`)."""
    names = ", ".join(name(column) for column in columns)
    return f"SELECT {names} FROM {qualified(schema, table.name)} WHERE {condition}"


def add_up(table: Table, schema: str, figures: str, condition: str) -> str:
    """`figures` (aggregates) of the rows that meet `condition` (see `where_partitions`)."""
    return f"SELECT {figures} FROM {qualified(schema, table.name)} WHERE {condition}"


def delete(table: Table, schema: str, condition: str) -> str:
    """Delete the rows that meet `condition` (see `where_partitions`)."""
    return f"DELETE FROM {qualified(schema, table.name)} WHERE {condition}"
