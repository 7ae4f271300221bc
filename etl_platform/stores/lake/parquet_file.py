"""One Parquet file of a table: its form, its checksums, and reading it back.

Belongs here: row groups, file metadata, verification. Not here: where files go (`store.py`).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform import __version__
from etl_platform.contracts.table import Table
from etl_platform.errors import SchemaMismatchError, StorageError
from etl_platform.limits import (
    LAKE_COLUMNS_AT_ONCE,
    LAKE_GROUP_BYTES,
    LAKE_GROUP_ROWS,
    LAKE_READ_BUFFER_BYTES,
    LAKE_SAMPLE_ROWS,
    TABLE_BATCH_ROWS,
)
from etl_platform.object_store.transfer import file_errors
from etl_platform.stores.exact_types import is_exact, labelled
from etl_platform.stores.frames import align
from etl_platform.stores.lake.parquet_seal import seal, seal_is_intact


@dataclass(frozen=True)
class TableFile:
    """A sealed file. content: its bytes where it is small; None where it is at the path that was given for it."""

    rows: int
    content: bytes | None


def write_table(table: Table, batches: Iterable[pa.RecordBatch], path: Path, *, in_memory: int) -> TableFile:
    """The rows as a sealed Parquet file: of at most `in_memory` bytes of rows in memory, else at `path`.

    Memory holds one row group. The bytes are the same in both places.
    """
    groups = _row_groups(table, batches)
    head = list(islice(groups, 1))
    if not head:
        return TableFile(0, _without_rows(table))
    if head[0].nbytes <= in_memory:
        head += islice(groups, 1)
        if len(head) == 1:
            return TableFile(head[0].num_rows, _write_in_memory(table, head))
    return TableFile(_write_file(table, _emptied(head, groups), path), None)


def _write_in_memory(table: Table, groups: Iterable[pa.Table]) -> bytes:
    sink = pa.BufferOutputStream()
    with _writer(table, sink) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=group.num_rows)
    file = io.BytesIO(sink.getvalue())
    seal(file)
    return file.getvalue()


@lru_cache(maxsize=256)
def _without_rows(table: Table) -> bytes:
    return _write_in_memory(table, ())


def _write_file(table: Table, groups: Iterable[pa.Table], path: Path) -> int:
    rows = 0
    with file_errors(f"scratch folder {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _writer(table, path) as writer:
        for group in groups:
            with file_errors(f"scratch folder {path.parent}"):
                writer.write_table(group, row_group_size=group.num_rows)
            rows += group.num_rows
    with file_errors(f"scratch folder {path.parent}"), path.open("r+b") as file:
        seal(file)
    return rows


def _writer(table: Table, sink: Path | pa.BufferOutputStream) -> pq.ParquetWriter:
    schema = table.arrow_schema.with_metadata(_facts(table))
    return pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)


def _facts(table: Table) -> dict[str, str]:
    return {"etl.table": f"{table.layer}/{table.name}", "etl.version": __version__}


def _emptied(head: list[pa.Table], rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """`head`, which lets go of each, then `rest`."""
    while head:
        yield head.pop(0)
    yield from rest


def _row_groups(table: Table, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in groups of one size, each in one piece: page breaks follow the pieces, and bytes the page breaks."""
    facts = _facts(table)
    waiting: list[pa.RecordBatch] = []
    rows, size = 0, 0
    for batch in batches:
        waiting.append(labelled(table.arrow_schema, batch).replace_schema_metadata(facts))
        rows += batch.num_rows
        if not size and rows >= LAKE_SAMPLE_ROWS:
            size = _group_size(pa.Table.from_batches(waiting).slice(0, LAKE_SAMPLE_ROWS))
        while size and rows >= size:
            held = pa.Table.from_batches(waiting)
            yield held.slice(0, size).combine_chunks()
            waiting = held.slice(size).to_batches()
            rows -= size
    if rows:
        held = pa.Table.from_batches(waiting)
        yield held if len(waiting) == 1 else held.combine_chunks()


def _group_size(sample: pa.Table) -> int:
    width = max(int(sample.combine_chunks().nbytes) // LAKE_SAMPLE_ROWS, 1)
    return min(LAKE_GROUP_ROWS, max(LAKE_GROUP_BYTES // width, LAKE_SAMPLE_ROWS // 4))


def read_table(source: Path | bytes, schema: pa.Schema, uri: str) -> Iterator[pa.RecordBatch]:
    """Stream the columns of `schema`. Raises StorageError for damage, SchemaMismatchError for another contract."""
    is_file = isinstance(source, Path)
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as sealed:
            if not seal_is_intact(sealed):
                raise _unreadable(uri, "damaged: its checksum does not match")
        with pq.ParquetFile(
            source if is_file else pa.BufferReader(source),
            page_checksum_verification=True,
            pre_buffer=False,
            buffer_size=LAKE_READ_BUFFER_BYTES if is_file else 0,
        ) as file:
            held = file.schema_arrow.remove_metadata()  # made anew at each look
            # As most are. Names would also cost a search for each.
            names = None if held.equals(schema) else _readable_names(held, schema, uri)
            for batch in _batches(file, names):
                yield align(schema, _with_new_columns(schema, batch.replace_schema_metadata(None)), f"object {uri}")
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(uri, f"not readable: {error}") from error


def _batches(file: pq.ParquetFile, names: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Those columns, or all. Of a wide file some at a time: each one's decoder holds its pages until all are read."""
    wanted = file.schema_arrow.names if names is None else names
    if len(wanted) <= LAKE_COLUMNS_AT_ONCE:
        yield from file.iter_batches(TABLE_BATCH_ROWS, columns=names, use_threads=False)
        return
    for group in range(file.num_row_groups):
        columns: dict[str, pa.ChunkedArray] = {}
        for start in range(0, len(wanted), LAKE_COLUMNS_AT_ONCE):
            part = file.read_row_group(group, columns=wanted[start : start + LAKE_COLUMNS_AT_ONCE], use_threads=False)
            columns |= zip(part.column_names, part.columns, strict=True)
        yield from pa.table(columns).to_batches(TABLE_BATCH_ROWS)


def _unreadable(uri: str, reason: str) -> StorageError:
    return StorageError(
        f"object {uri}",
        found=f"it is {reason}",
        expected="a Parquet file exactly as the platform wrote it",
        next_step="rerun its partition, which writes it anew; look for the cause in the storage",
    )


def _readable_names(found: pa.Schema, wanted: pa.Schema, uri: str) -> list[str]:
    """Which columns of `wanted` the file holds. Raises SchemaMismatchError where it cannot give one."""
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
    present = set(found.names)
    return [name for name in wanted.names if name in present]


def _with_new_columns(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    present = set(batch.schema.names)
    if present.issuperset(schema.names):
        return batch
    for field in schema:
        if field.name not in present:
            batch = batch.append_column(field, pa.nulls(batch.num_rows, field.type))
    return batch
