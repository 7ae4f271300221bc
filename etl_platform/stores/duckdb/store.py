"""Tables in a DuckDB file: the embedded warehouse.

Belongs here: reading and replacing partitions. Not here: opening the file (`file.py`), the table's form and
how it follows its contract (`tables.py`), Dagster (`defs/io_manager.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from etl_platform.contracts.ddl import column_definition
from etl_platform.contracts.identifiers import quote
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey, Table
from etl_platform.limits import (
    DUCKDB_FIGURES_AT_ONCE,
    DUCKDB_GROUP_ROWS,
    DUCKDB_JOINED_BYTES,
    DUCKDB_WAIT_SECONDS,
    TABLE_BATCH_ROWS,
)
from etl_platform.retries import asking
from etl_platform.stores.canary import KEY, TABLE, canary_rows, require_unchanged
from etl_platform.stores.duckdb.file import DuckDBFile
from etl_platform.stores.duckdb.tables import DuckDBTable
from etl_platform.stores.frames import align, subset
from etl_platform.stores.partition_guard import distinct, spooled
from etl_platform.stores.proof.compared import figures, require_same, select_list
from etl_platform.stores.proof.sent import Sent
from etl_platform.stores.spool import Spool
from etl_platform.stores.store import Written
from etl_platform.stores.tenant_schemas import schema_of

if TYPE_CHECKING:
    import duckdb


class DuckDBStore:
    """Tables in one DuckDB file. `schemas`: institution code to warehouse schema; those across them in `shared`.

    The lock on the file is never held while rows are made or used: what is written is complete in scratch before,
    and what was read is in scratch after. A lazy frame may so read from the file that its result is written to.
    """

    def __init__(
        self,
        path: Path,
        schemas: Mapping[str, str],
        *,
        wait_seconds: float = DUCKDB_WAIT_SECONDS,
        scratch: Path | None = None,
        service: str = "warehouse",
    ) -> None:
        self.service = service
        self._file = DuckDBFile(path, wait_seconds)
        self._schemas = schemas
        self._scratch = scratch

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """See `TableStore.replace`; all partitions of all institutions in one transaction."""
        groups = self._groups(table, partitions)
        with asking(self.service), spooled(table, distinct(table, partitions), batches, self._scratch) as spools:
            rows = sum(spool.rows for spool in spools.values())
            if groups:
                # Each thread of an insert has buffers of its own for every column.
                with self._file.connection(threads=1 if rows <= DUCKDB_GROUP_ROWS else None) as connection:
                    for target, _ in groups:
                        target.prepare(connection)
                    connection.begin()
                    for target, keys in groups:
                        _replace(connection, target, keys, chain.from_iterable(spools[key].batches() for key in keys))
                    connection.commit()
        names = ", ".join(f"{target.schema}.{table.name}" for target, _ in groups)
        return Written(f"{self._file.path}: {names or 'no table'}", rows)

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableStore.read`; all partitions as of one moment."""
        groups = self._groups(table, partitions)
        if not groups or not self._file.path.exists():
            return
        wanted = subset(table, columns)
        spool = Spool(wanted, self._scratch)
        try:
            with asking(self.service), self._file.connection(read_only=True) as connection:
                for target, keys in groups:
                    if stored := target.stored_columns(connection):
                        for batch in _select(connection, target, keys, wanted, stored=stored):
                            spool.append(batch)
            yield from spool.batches()
        finally:
            spool.close()

    def check(self) -> str:
        """One line for a person: where the file is and what it holds. Raises where it cannot be used."""
        if not self._file.path.exists():
            return f"{self._file.path}: not written yet"
        with asking(self.service), self._file.connection(read_only=True) as connection:
            found = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE NOT internal").fetchone()
        return f"{self._file.path}: {found[0] if found else 0} tables"

    def canary(self) -> str:
        """See `WarehouseStore.canary`."""
        target = DuckDBTable(TABLE, "temp", self._file.subject)
        columns = ", ".join(column_definition(column, "duckdb") for column in TABLE.columns)
        with asking(self.service), self._file.beside() as connection:
            connection.execute(f"CREATE TEMPORARY TABLE {quote(TABLE.name, 'duckdb')} ({columns})")
            _replace(connection, target, [KEY], iter([canary_rows()]))
            batches = _select(connection, target, [KEY], TABLE.arrow_schema, stored=TABLE.arrow_schema.names)
            rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
        return require_unchanged(self._file.subject, rows)

    def probe(self) -> None:
        """See `TableStore.probe`: whether the lock can be taken at once, and the file opened for writing."""
        with asking(self.service):
            if self._file.path.exists():
                with self._file.connection(wait_seconds=0):
                    return
            with self._file.lock(0):  # opening a file that is not there would make it
                return

    def _groups(self, table: Table, partitions: Sequence[PartitionKey]) -> list[tuple[DuckDBTable, list[PartitionKey]]]:
        by_schema: dict[str, list[PartitionKey]] = {}
        for key in distinct(table, partitions):
            by_schema.setdefault(schema_of(key.institution, self._schemas), []).append(key)
        return [(DuckDBTable(table, schema, self._file.subject), keys) for schema, keys in by_schema.items()]


def _replace(
    connection: duckdb.DuckDBPyConnection,
    target: DuckDBTable,
    keys: Sequence[PartitionKey],
    batches: Iterator[pa.RecordBatch],
) -> None:
    schema = target.table.arrow_schema
    names = ", ".join(quote(name, "duckdb") for name in schema.names)
    condition, values = _condition(target.table, keys)
    connection.execute(f"DELETE FROM {target.name} WHERE {condition}", values)  # noqa: S608 - checked names, bound values
    sent = Sent(target.table)
    connection.register("_incoming", pa.RecordBatchReader.from_batches(schema, sent.watch(_joined(batches))))
    connection.execute(f"INSERT INTO {target.name} ({names}) SELECT {names} FROM _incoming")  # noqa: S608 - checked names, bound values
    connection.unregister("_incoming")
    _require_arrived(connection, target, sent, condition, values)


def _require_arrived(
    connection: duckdb.DuckDBPyConnection, target: DuckDBTable, sent: Sent, condition: str, values: Sequence[object]
) -> None:
    """Raises StorageError where the rows that meet `condition` are not those that were sent."""
    compared = figures(sent, "duckdb")
    arrived: list[object] = []
    for start in range(0, len(compared), DUCKDB_FIGURES_AT_ONCE):
        asked = select_list(compared[start : start + DUCKDB_FIGURES_AT_ONCE], "duckdb")
        query = f"SELECT {asked} FROM {target.name} WHERE {condition}"  # noqa: S608 - checked names, bound values
        (row,) = connection.execute(query, values).fetchall()
        arrived += row
    require_same(target.subject, compared, arrived)


def _joined(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, small batches joined."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        size += batch.get_total_buffer_size()
        if waiting and size > DUCKDB_JOINED_BYTES:
            yield _one(waiting)
            waiting, size = [], batch.get_total_buffer_size()
        waiting.append(batch)
    if waiting:
        yield _one(waiting)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _select(
    connection: duckdb.DuckDBPyConnection,
    target: DuckDBTable,
    keys: Sequence[PartitionKey],
    wanted: pa.Schema,
    *,
    stored: Collection[str],
) -> Iterator[pa.RecordBatch]:
    selected = ", ".join(
        # A column that the contract gained later is null until the table is written again.
        quote(name, "duckdb") if name in stored else f"NULL AS {quote(name, 'duckdb')}"
        for name in wanted.names
    )
    condition, values = _condition(target.table, keys)
    query = f"SELECT {selected} FROM {target.name} WHERE {condition}"  # noqa: S608 - checked names, bound values
    for batch in connection.sql(query, params=values).to_arrow_reader(TABLE_BATCH_ROWS):
        yield align(wanted, batch, target.subject)


def _condition(table: Table, keys: Sequence[PartitionKey]) -> tuple[str, list[object]]:
    """Exactly `keys`, as plain comparisons: DuckDB skips row groups by them, and not by comparing pairs."""
    if table.shared:
        return _is_in(BUSINESS_DATE, len(keys)), [key.business_date for key in keys]
    terms: list[str] = []
    values: list[object] = []
    for institution in dict.fromkeys(key.institution for key in keys):
        dates = [key.business_date for key in keys if key.institution == institution]
        terms.append(f"({_is_in(INSTITUTION, 1)} AND {_is_in(BUSINESS_DATE, len(dates))})")
        values += [institution, *dates]
    return " OR ".join(terms), values


def _is_in(column: str, count: int) -> str:
    return f"{quote(column, 'duckdb')} IN ({', '.join('?' * count)})"
