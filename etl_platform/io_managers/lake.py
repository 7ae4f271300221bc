"""Tables as Parquet objects, one per partition, in a folder or in S3.

Belongs here: object keys, the Parquet form, publishing and verified reading. Not here: how objects are stored
(`resources/object_store.py`), Dagster (`base.py`).

Each partition is published in one step: a reader sees its old rows or its new ones. A replace of several
partitions publishes them one after the other, each atomically, and only once every row was seen, checked and
written to scratch: a source that fails half-way changes nothing. The same rows give the same bytes, however
they were cut into batches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform import __version__
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.errors import SchemaMismatchError, StorageError
from etl_platform.io_managers.exact import is_exact
from etl_platform.io_managers.frames import BATCH_ROWS, align, subset
from etl_platform.io_managers.guard import checked, distinct, spooled
from etl_platform.io_managers.store import Written
from etl_platform.resources.object_store_types import ObjectMissingError, ObjectStore

GROUP_ROWS = 131_072
GROUP_BYTES = 64 * 2**20
SAMPLE_ROWS = 4_096
"""The width of so many rows decides the size of all row groups. A fixed number: the same rows give the same file."""

READ_BUFFER_BYTES = 2**20


class LakeStore:
    """Parquet objects in an object store. `scratch`: folder for temporary files (default: the system's)."""

    kind = "parquet"

    def __init__(self, objects: ObjectStore, scratch: Path | None = None) -> None:
        self._objects = objects
        self._scratch = scratch

    def key(self, table: Table, partition: PartitionKey) -> str:
        """Where the object of a partition is."""
        return f"{_folder(table)}{_institution(partition)}date={partition.business_date}/data.parquet"

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """See `TableStore.replace`; atomic per partition. A partition without rows becomes an object without rows."""
        keys = distinct(table, partitions)
        with self._temporary_folder() as folder:
            files = {key: folder / f"{number}.parquet" for number, key in enumerate(keys)}
            if len(keys) == 1:
                rows = _write(table, checked(table, keys, batches), files[keys[0]])
            else:
                with spooled(table, keys, batches, self._scratch) as spools:
                    rows = sum(_write(table, spools[key].batches(), path) for key, path in files.items())
            infos = [self._objects.put_file(self.key(table, key), path) for key, path in files.items()]
        location = infos[0].uri if len(infos) == 1 else self._objects.uri(_folder(table))
        return Written(location, rows, sum(info.size for info in infos))

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableStore.read`. Every page's checksum is verified; one partition is on local disk at a time."""
        for partition in distinct(table, partitions):
            with self._temporary_folder() as folder:
                path = folder / "data.parquet"
                try:
                    self._objects.download(self.key(table, partition), path)
                except ObjectMissingError:
                    continue
                yield from _read(path, subset(table, columns), self._objects.uri(self.key(table, partition)))

    def _temporary_folder(self) -> _Folder:
        return _Folder(prefix="etl-lake-", dir=self._scratch)


class _Folder(tempfile.TemporaryDirectory[str]):
    """A temporary folder as a Path."""

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _folder(table: Table) -> str:
    return f"{table.layer}/{table.name}/"


def _institution(partition: PartitionKey) -> str:
    return f"institution={partition.institution}/" if partition.institution else ""


def _write(table: Table, batches: Iterable[pa.RecordBatch], path: Path) -> int:
    """Write the rows as Parquet; returns their number. Memory holds one row group."""
    facts = {"etl.table": f"{table.layer}/{table.name}", "etl.version": __version__}
    schema = table.arrow_schema.with_metadata(facts)
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for group in _row_groups(schema, batches):
            writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
    return rows


def _row_groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in groups of one size, each in one piece: page breaks follow the pieces, and bytes the page breaks."""
    waiting: list[pa.RecordBatch] = []
    rows, size = 0, 0
    for batch in batches:
        waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
        rows += batch.num_rows
        if not size and rows >= SAMPLE_ROWS:
            size = _group_size(pa.Table.from_batches(waiting).slice(0, SAMPLE_ROWS))
        while size and rows >= size:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, size).combine_chunks()
            waiting = table.slice(size).to_batches()
            rows -= size
    if rows:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _group_size(sample: pa.Table) -> int:
    width = max(int(sample.combine_chunks().nbytes) // SAMPLE_ROWS, 1)
    return min(GROUP_ROWS, max(GROUP_BYTES // width, SAMPLE_ROWS // 4))


def _read(path: Path, schema: pa.Schema, uri: str) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(
            path, page_checksum_verification=True, pre_buffer=False, buffer_size=READ_BUFFER_BYTES
        ) as file:
            _require_readable(file.schema_arrow, schema, uri)
            names = [name for name in schema.names if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                yield align(schema, _with_new_columns(schema, batch), f"object {uri}")
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"object {uri}",
            found=f"it is damaged ({error})",
            expected="a Parquet file whose page checksums match",
            next_step="rerun its partition, which writes it anew; look for the cause in the storage",
        ) from error


def _require_readable(found: pa.Schema, wanted: pa.Schema, uri: str) -> None:
    differences = []
    for field in wanted:
        if field.name not in found.names:
            # A column that the contract gained later is null in older objects.
            if not field.nullable:
                differences.append(f"missing {field.name} ({field.type})")
        elif not is_exact(found.field(field.name).type, field.type):
            differences.append(f"{field.name} is {found.field(field.name).type} instead of {field.type}")
    if differences:
        raise SchemaMismatchError(
            f"object {uri}",
            found="; ".join(differences),
            expected="the columns of today's contract",
            next_step="rerun the partition: the contract changed since it was written",
        )


def _with_new_columns(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    for field in schema:
        if field.name not in batch.schema.names:
            batch = batch.append_column(field, pa.nulls(batch.num_rows, field.type))
    return batch
