"""One Parquet file of a table: its form, its checksums, and reading it back.

Belongs here: row groups, file metadata, verification. Not here: where files go (`lake.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform import __version__
from etl_platform.contracts.table import Table
from etl_platform.errors import SchemaMismatchError, StorageError
from etl_platform.io_managers.exact import is_exact
from etl_platform.io_managers.frames import BATCH_ROWS, align
from etl_platform.io_managers.parquet_seal import seal, seal_is_intact
from etl_platform.resources.object_store_transfer import file_errors

GROUP_ROWS = 131_072
GROUP_BYTES = 64 * 2**20
SAMPLE_ROWS = 4_096
"""The width of so many rows decides the size of all row groups. A fixed number: the same rows give the same file."""

READ_BUFFER_BYTES = 2**20


def write_table(table: Table, batches: Iterable[pa.RecordBatch], path: Path) -> int:
    """Write the rows as a sealed Parquet file; returns their number. Memory holds one row group."""
    facts = {"etl.table": f"{table.layer}/{table.name}", "etl.version": __version__}
    schema = table.arrow_schema.with_metadata(facts)
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for group in _row_groups(schema, batches):
            with file_errors(f"scratch folder {path.parent}"):
                writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
    with file_errors(f"scratch folder {path.parent}"):
        seal(path)
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


def read_table(path: Path, schema: pa.Schema, uri: str) -> Iterator[pa.RecordBatch]:
    """Stream the columns of `schema`. Raises StorageError for damage, SchemaMismatchError for another contract."""
    try:
        if not seal_is_intact(path):
            raise _unreadable(uri, "damaged: its checksum does not match")
        with pq.ParquetFile(
            path, page_checksum_verification=True, pre_buffer=False, buffer_size=READ_BUFFER_BYTES
        ) as file:
            held = file.schema_arrow  # made anew at each look
            _require_readable(held, schema, uri)
            present = set(held.names)
            names = [name for name in schema.names if name in present]
            for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                yield align(schema, _with_new_columns(schema, batch), f"object {uri}")
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(uri, f"not readable: {error}") from error


def _unreadable(uri: str, reason: str) -> StorageError:
    return StorageError(
        f"object {uri}",
        found=f"it is {reason}",
        expected="a Parquet file exactly as the platform wrote it",
        next_step="rerun its partition, which writes it anew; look for the cause in the storage",
    )


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
    present = set(batch.schema.names)
    for field in schema:
        if field.name not in present:
            batch = batch.append_column(field, pa.nulls(batch.num_rows, field.type))
    return batch
