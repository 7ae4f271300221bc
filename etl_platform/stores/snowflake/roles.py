"""One role per institution: what an administrator runs once, and what a session runs before it works for one.

A role `ETL_<SCHEMA>` owns the tables of its schema and sees no other schema, so that a faulty statement cannot reach
another institution's rows. Secondary roles are switched off: they would add the rights of every other role.
"""

from __future__ import annotations

from collections.abc import Iterable

from etl_platform.stores.snowflake.account import SnowflakeAccount
from etl_platform.stores.snowflake.statements import name


def role_name(schema: str) -> str:
    """The role that owns the schema's tables, quoted."""
    return name(f"etl_{schema}")


def assume(schema: str) -> list[str]:
    """Statements after which the session may only do what the schema's role may."""
    return [f"USE ROLE {role_name(schema)}", "USE SECONDARY ROLES NONE"]


def initialise_statements(account: SnowflakeAccount, schemas: Iterable[str], *, roles: bool) -> list[str]:
    """What `etl-platform warehouse init` runs or prints, in order; safe to run again."""
    statements: list[str] = []
    for schema in sorted(set(schemas)):
        statements.append(f"CREATE SCHEMA IF NOT EXISTS {name(schema)}")
        if roles:
            statements += _role(account, schema)
    return statements


def _role(account: SnowflakeAccount, schema: str) -> list[str]:
    role, database = role_name(schema), name(account.database.lower())
    holder = f"ROLE {name(account.role.lower())}" if account.role else f"USER {name(account.user.lower())}"
    inside = f"{database}.{name(schema)}"
    usage = [("DATABASE", database)]
    if account.warehouse:
        usage.append(("WAREHOUSE", name(account.warehouse.lower())))
    return [
        f"CREATE ROLE IF NOT EXISTS {role}",
        *(f"GRANT USAGE ON {kind} {thing} TO ROLE {role}" for kind, thing in usage),
        f"GRANT USAGE, CREATE TABLE, CREATE VIEW, CREATE STAGE ON SCHEMA {inside} TO ROLE {role}",
        # Tables that were made before roles were switched on: only their owner may add a column.
        f"GRANT OWNERSHIP ON ALL TABLES IN SCHEMA {inside} TO ROLE {role} COPY CURRENT GRANTS",
        f"GRANT OWNERSHIP ON ALL VIEWS IN SCHEMA {inside} TO ROLE {role} COPY CURRENT GRANTS",
        f"GRANT ROLE {role} TO {holder}",
    ]
