"""Advisory locks: who writes a partition, or the form of a table, does so alone. They end with the transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from etl_platform.contracts.table import PartitionKey
from etl_platform.stores.postgres.connection import PostgresSession


def lock_partitions(session: PostgresSession, names: Sequence[tuple[str, str, PartitionKey]]) -> None:
    """Wait until no other transaction writes these (schema, table, partition)."""
    _lock(session, [f"partition {schema}.{table} {key}" for schema, table, key in names])


def lock_table_form(session: PostgresSession, schema: str, table: str) -> None:
    """Wait until no other transaction creates or changes the table."""
    _lock(session, [f"form {schema}.{table}"])


def lock_setup(session: PostgresSession) -> None:
    """Wait until no other transaction creates schemas and roles."""
    _lock(session, ["setup"])


def _lock(session: PostgresSession, names: Iterable[str]) -> None:
    # One order for everybody, so that two writers of several partitions cannot wait for each other.
    numbers = sorted(_number(name) for name in names)
    session.execute(b"SELECT pg_catalog.pg_advisory_xact_lock(n) FROM unnest(%s::bigint[]) AS n", [numbers])


def _number(name: str) -> int:
    digest = hashlib.blake2b(f"etl-platform {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
