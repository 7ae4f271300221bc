"""The proof of a load in Postgres: what arrived, added up in the load's own transaction, is what was sent."""

from __future__ import annotations

from collections.abc import Sequence

from etl_platform.contracts.identifiers import qualify, quote
from etl_platform.contracts.table import BUSINESS_DATE, PartitionKey
from etl_platform.limits import PARALLEL_ROWS, POSTGRES_FIGURES_AT_ONCE
from etl_platform.stores.postgres.adbc import ArrowSession
from etl_platform.stores.postgres.connection import Connection
from etl_platform.stores.postgres.tables import where_partitions
from etl_platform.stores.proof.compared import differences, figures, require_same, select_list
from etl_platform.stores.proof.sent import Sent

_ALL_CORES = ", ".join(
    f"pg_catalog.set_config('{name}', '0', true)"
    for name in (
        "parallel_setup_cost",
        "parallel_tuple_cost",
        "min_parallel_table_scan_size",
        "min_parallel_index_scan_size",
    )
)


def require_arrived(
    session: Connection | ArrowSession, sent: Sent, schema: str, keys: Sequence[PartitionKey], subject: str
) -> None:
    """Raises StorageError where the rows of `keys` are not those that were sent. subject: the server, in messages."""
    name = qualify(schema, sent.table.name, "postgres")
    compared = figures(sent, "postgres", is_utf8=_is_utf8(session))
    if sent.rows >= PARALLEL_ROWS:
        # The planner's statistics are from before the load: it takes the scan for a small one, for one process.
        _row(session, f"SELECT {_ALL_CORES}", [])

    def arrived(condition: str, values: Sequence[object]) -> list[object]:
        found: list[object] = []
        for start in range(0, len(compared), POSTGRES_FIGURES_AT_ONCE):
            selected = select_list(compared[start : start + POSTGRES_FIGURES_AT_ONCE], "postgres")
            found += _row(session, f"SELECT {selected} FROM {name} WHERE {condition}", values)  # noqa: S608 - checked names, bound values
        return found

    # By date alone first: nobody else's rows are expected in the schema, and comparing a text in every row costs a
    # quarter of the scan.
    if differences(compared, arrived(*_where_dates(keys))):
        require_same(
            f"{subject} table {schema}.{sent.table.name}", compared, arrived(*where_partitions(sent.table, keys))
        )


def _where_dates(keys: Sequence[PartitionKey]) -> tuple[str, list[object]]:
    """Condition and values for the rows of the dates of `keys`: two comparisons where no day is missing between."""
    dates = {key.business_date for key in keys}
    name, first, last = quote(BUSINESS_DATE, "postgres"), min(dates), max(dates)
    if (last - first).days + 1 == len(dates):
        return f"{name} BETWEEN %s AND %s", [first, last]
    return f"{name} = ANY (%s)", [sorted(dates)]


def _is_utf8(session: Connection | ArrowSession) -> bool:
    if isinstance(session, ArrowSession):
        return _row(session, "SELECT pg_catalog.getdatabaseencoding()::text", []) == ["UTF8"]
    return session.info.parameter_status("server_encoding") == "UTF8"


def _row(session: Connection | ArrowSession, query: str, values: Sequence[object]) -> list[object]:
    if isinstance(session, ArrowSession):
        return session.fetch_row(query.encode(), values)
    return list(session.execute(query.encode(), values).fetchone() or ())
