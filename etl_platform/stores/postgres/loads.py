"""The record of loads, `_loads` in each schema, written in the load's own transaction: it is there if the rows are.

It answers the one question that a lost answer to COMMIT leaves open. Operators may read it; nothing else needs it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from etl_platform.contracts.identifiers import qualify
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.stores.postgres.connection import Connection, PostgresSession

LOADS = "_loads"
KEPT = "30 days"
"""Far longer than any writer can be in doubt about its COMMIT."""


def create_loads(connection: Connection, schema: str) -> None:
    """Create the record of loads where it does not exist."""
    name = qualify(schema, LOADS, "postgres")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {name} (token uuid PRIMARY KEY, table_name text NOT NULL, "
        "partitions text[] NOT NULL, row_count bigint NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now())".encode()
    )
    connection.execute(f"COMMENT ON TABLE {name} IS 'One row per committed load of the last {KEPT}.'".encode())


def record_load(
    session: PostgresSession, schema: str, table: Table, *, token: uuid.UUID, keys: Sequence[PartitionKey], rows: int
) -> None:
    """Note the load in the open transaction, and forget old ones."""
    name = qualify(schema, LOADS, "postgres")
    # Rows that another writer is forgetting right now are left to it: nobody waits here.
    session.execute(
        f"DELETE FROM {name} WHERE token IN (SELECT token FROM {name} "  # noqa: S608 - checked names, bound values
        "WHERE loaded_at < now() - %s::interval LIMIT 1000 FOR UPDATE SKIP LOCKED)".encode(),
        [KEPT],
    )
    session.execute(
        f"INSERT INTO {name} (token, table_name, partitions, row_count) VALUES (%s::uuid, %s, %s, %s)".encode(),  # noqa: S608 - checked names, bound values
        [str(token), table.name, [str(key) for key in keys], rows],
    )


def has_load(connection: Connection, schema: str, token: uuid.UUID) -> bool:
    """Whether that load was committed."""
    name = qualify(schema, LOADS, "postgres")
    query = f"SELECT 1 FROM {name} WHERE token = %s"  # noqa: S608 - checked names, bound values
    return connection.execute(query.encode(), [token]).fetchone() is not None
