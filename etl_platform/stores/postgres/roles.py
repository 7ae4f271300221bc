"""One role per schema, which can reach nothing but that schema: created here, taken on by every transaction.

Belongs here: schemas, roles, grants (`etl-platform warehouse init`). Not here: tables, which the role makes itself.
The login role gets no rights of its own: it may only become one of these roles, so that code which writes to a
wrong schema is refused by the database.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from etl_platform.contracts.identifiers import quote
from etl_platform.stores.postgres.connection import Connection, Server, become
from etl_platform.stores.postgres.loads import create_loads
from etl_platform.stores.postgres.locks import lock_setup

_INHERIT_SINCE = 160000


def role_of(schema: str) -> str:
    """The role that owns `schema` and can reach nothing else."""
    return f"etl_{schema}"


def create_schemas(server: Server, schemas: Sequence[str], *, roles: bool, login: str | None = None) -> None:
    """Create what is missing; running it again changes nothing. `login`: who loads (default: the URL's user)."""
    with server.connect() as connection:
        server.begin(connection, None)
        lock_setup(connection)
        if roles and login and connection.info.server_version < _INHERIT_SINCE:
            # There only the member itself can be told not to have the rights of all its roles at once.
            connection.execute(sql.SQL("ALTER ROLE {} NOINHERIT").format(sql.Identifier(login)))
        for schema in schemas:
            if roles:
                _create_role(connection, schema, login)
                _create_owned_schema(connection, schema)
                become(connection, role_of(schema))
                connection.execute(f"REVOKE ALL ON SCHEMA {quote(schema, 'postgres')} FROM PUBLIC".encode())
            else:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema, 'postgres')}".encode())
            create_loads(connection, schema)
            connection.execute("RESET ROLE")
        connection.commit()


def missing_schemas(connection: Connection, schemas: Sequence[str], *, roles: bool) -> list[str]:
    """Those of `schemas` that do not exist or, with roles, that the login cannot write under their role."""
    query = (
        "SELECT s FROM unnest(%s::text[]) AS s WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = s)"
    )
    if roles:
        query += (
            " OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles"
            " WHERE rolname = 'etl_' || s AND pg_catalog.pg_has_role(current_user, oid, 'MEMBER'))"
        )
    return [name for (name,) in connection.execute(query.encode(), [list(schemas)])]


def _create_role(connection: Connection, schema: str, login: str | None) -> None:
    role = quote(role_of(schema), "postgres")
    exists = connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", [role_of(schema)]).fetchone()
    if exists is None:
        connection.execute(f"CREATE ROLE {role} NOLOGIN NOINHERIT".encode())
    option = sql.SQL("WITH INHERIT FALSE, SET TRUE" if connection.info.server_version >= _INHERIT_SINCE else "")
    user = connection.execute("SELECT current_user::text").fetchone()
    for member in {*(user or ()), *([login] if login else ())}:
        grant = sql.SQL("GRANT {} TO {} ").format(sql.Identifier(role_of(schema)), sql.Identifier(member))
        connection.execute(grant + option)


def _create_owned_schema(connection: Connection, schema: str) -> None:
    name, role = quote(schema, "postgres"), quote(role_of(schema), "postgres")
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name} AUTHORIZATION {role}".encode())
    connection.execute(f"ALTER SCHEMA {name} OWNER TO {role}".encode())
