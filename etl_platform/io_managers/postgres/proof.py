"""The proof of a load in Postgres: what arrived, added up in the load's own transaction, is what was sent."""

from __future__ import annotations

from collections.abc import Sequence

from etl_platform.contracts.identifiers import qualify
from etl_platform.contracts.table import PartitionKey
from etl_platform.io_managers.postgres.adbc import ArrowSession
from etl_platform.io_managers.postgres.connection import Connection
from etl_platform.io_managers.postgres.tables import where_partitions
from etl_platform.io_managers.proof.compared import figures, require_same, select_list
from etl_platform.io_managers.proof.sent import Sent

_AT_ONCE = 1_000
"""Figures of one query: a row of Postgres has 1,664 columns at most."""


def require_arrived(
    session: Connection | ArrowSession, sent: Sent, schema: str, keys: Sequence[PartitionKey], subject: str
) -> None:
    """Raises StorageError where the rows of `keys` are not those that were sent. subject: the server, in messages."""
    name = qualify(schema, sent.table.name, "postgres")
    condition, values = where_partitions(sent.table, keys)
    compared = figures(sent, "postgres", is_utf8=_is_utf8(session))
    arrived: list[object] = []
    for start in range(0, len(compared), _AT_ONCE):
        selected = select_list(compared[start : start + _AT_ONCE], "postgres")
        arrived += _row(session, f"SELECT {selected} FROM {name} WHERE {condition}", values)  # noqa: S608 - checked names, bound values
    require_same(f"{subject} table {schema}.{sent.table.name}", compared, arrived)


def _is_utf8(session: Connection | ArrowSession) -> bool:
    if isinstance(session, ArrowSession):
        return _row(session, "SELECT pg_catalog.getdatabaseencoding()::text", []) == ["UTF8"]
    return session.info.parameter_status("server_encoding") == "UTF8"


def _row(session: Connection | ArrowSession, query: str, values: Sequence[object]) -> list[object]:
    if isinstance(session, ArrowSession):
        return session.fetch_row(query.encode(), values)
    return list(session.execute(query.encode(), values).fetchone() or ())
