"""The rows of a load as Parquet files in a scratch folder, one folder per schema.

Belongs here: taking the rows apart and writing them in bounded memory. Not here: sending them (`load.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_platform.contracts.table import INSTITUTION, PartitionKey, Table
from etl_platform.limits import SNOWFLAKE_FILE_BYTES, SNOWFLAKE_GROUP_BYTES
from etl_platform.stores.partition_guard import checked
from etl_platform.stores.proof.sent import Sent


@dataclass(frozen=True)
class StageTarget:
    """Some partitions of a table that live in one schema: those of one institution, or of a table across them."""

    schema: str
    institution: str | None
    partitions: Sequence[PartitionKey]


@dataclass
class Staged:
    """What is to be loaded into one schema."""

    sent: Sent
    files: list[Path] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.sent.rows

    @property
    def bytes(self) -> int:
        """Size of the files on disk."""
        return sum(file.stat().st_size for file in self.files)


def write_files(
    table: Table,
    targets: Sequence[StageTarget],
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    *,
    file_bytes: int = SNOWFLAKE_FILE_BYTES,
    row_group_bytes: int = SNOWFLAKE_GROUP_BYTES,
) -> Mapping[StageTarget, Staged]:
    """Check and write all `batches`. Raises PartitionMismatchError and SchemaMismatchError before anything is sent."""
    writers = [_Writer(table, folder / f"{n}_{target.schema}", file_bytes, row_group_bytes)
               for n, target in enumerate(targets)]  # fmt: skip
    partitions = [key for target in targets for key in target.partitions]
    try:
        for batch in checked(table, partitions, batches):
            for target, writer in zip(targets, writers, strict=True):
                writer.append(batch if len(targets) == 1 else _only(batch, target))
    finally:
        for writer in writers:
            writer.close()
    return {target: writer.staged for target, writer in zip(targets, writers, strict=True)}


def _only(batch: pa.RecordBatch, target: StageTarget) -> pa.RecordBatch:
    return batch.filter(pc.equal(batch.column(INSTITUTION), pa.scalar(target.institution)))


class _Writer:
    """Row groups of bounded memory in files of bounded size."""

    def __init__(self, table: Table, folder: Path, file_bytes: int, row_group_bytes: int) -> None:
        self.staged = Staged(Sent(table))
        # Names as the table has them: unquoted upper case.
        self._schema = pa.schema([f.with_name(f.name.upper()) for f in table.arrow_schema])
        self._folder, self._file_bytes, self._row_group_bytes = folder, file_bytes, row_group_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0
        self._file: pq.ParquetWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows == 0:
            return
        self.staged.sent.add(batch)
        self._waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= self._row_group_bytes:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._end_file()

    def _flush(self) -> None:
        if not self._waiting:
            return
        group = pa.Table.from_batches(self._waiting)
        self._waiting, self._waiting_bytes = [], 0
        file = self._file or self._begin_file()
        file.write_table(group, row_group_size=group.num_rows)
        if self.staged.files[-1].stat().st_size >= self._file_bytes:
            self._end_file()

    def _begin_file(self) -> pq.ParquetWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"part-{len(self.staged.files):05}.parquet"
        self._file = pq.ParquetWriter(
            path, self._schema, compression="snappy", coerce_timestamps="us", use_compliant_nested_type=True
        )
        self.staged.files.append(path)
        return self._file

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
