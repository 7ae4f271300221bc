"""The promise every table store keeps, whatever is under it (lake folder, lake S3, DuckDB, Postgres, Snowflake).

A reader sees the old partition or the new one, never none, never a mix; running twice gives the same table;
only the given partition keys are touched. `defs/io_manager.py` puts Dagster on top; nothing here knows Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from etl_platform.contracts.table import PartitionKey, Table


@dataclass(frozen=True)
class Written:
    """Receipt of a replace. location: URI or qualified table name(s) for people. rows/bytes: what was written
    (`bytes` is None where the store cannot tell). details: extra facts for the materialization's metadata."""

    location: str
    rows: int
    bytes: int | None = None
    details: dict[str, str | int | float] = field(default_factory=dict)


class TableStore(Protocol):
    """One place where tables live."""

    @property
    def service(self) -> str:
        """What people and waiting partitions call it: `lake` or `warehouse`; in every StorageUnavailableError."""
        ...

    def probe(self) -> None:
        """Ask once, without retries, whether the store answers; an error comes within about PROBE_SECONDS."""
        ...

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """Replace exactly `partitions` of `table` by the rows of `batches` (in `table.arrow_schema`), atomically.

        An empty iterable empties those partitions. With no partitions at all nothing is touched and `batches`
        must be empty. Raises PartitionMismatchError when a row belongs to another partition,
        SchemaMismatchError when a batch does not fit, StorageError / StorageUnavailableError for the store.
        """
        ...

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows of `partitions` (those never written count as empty), in `table.arrow_schema` types,
        restricted to `columns` where given. No partitions: no batches."""
        ...
