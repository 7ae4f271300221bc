"""The one place where SQL identifiers are checked and quoted. Values are never quoted: they are bound."""

from __future__ import annotations

import re
from typing import Literal

from etl_platform.errors import ConfigurationError

Dialect = Literal["duckdb", "postgres", "snowflake"]

ALLOWED = re.compile(r"_?[a-z][a-z0-9_]{0,61}")
"""Lower-case ASCII, at most 63 bytes (Postgres cuts longer names silently): the same name on every target."""


def check_identifier(name: str) -> str:
    """`name` itself when it is allowed on every target; ConfigurationError otherwise."""
    if not ALLOWED.fullmatch(name):
        raise ConfigurationError(
            f"SQL name {name!r}",
            found="a name that is not portable",
            expected="lower-case letters, digits and underscores, starting with a letter, at most 63 bytes",
            next_step="rename it in the dataset or institution file (`columns:` renames sender columns)",
        )
    return name


def quote(name: str, dialect: Dialect) -> str:
    """`name` as a quoted identifier. Snowflake: upper-cased, so that unquoted SQL of people finds it."""
    checked = check_identifier(name)
    return f'"{checked.upper() if dialect == "snowflake" else checked}"'


def qualify(schema: str, table: str, dialect: Dialect) -> str:
    """`"schema"."table"` in the dialect's quoting."""
    return f"{quote(schema, dialect)}.{quote(table, dialect)}"
