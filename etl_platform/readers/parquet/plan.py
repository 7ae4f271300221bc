"""How much of a Parquet file to read at once, and what is too much: decided before values are spread out.

Belongs here: limits, row groups, batch sizes. Not here: values.

A file's own figures are no estimate of memory: a column of one long string repeated is a few bytes on disk. A row
group's dictionary tells its longest value, and its first records bring the whole dictionary. Where even a batch of
such values is small, text is read plainly; otherwise as dictionaries, which are measured before they are spread out
(reading unique text as a dictionary takes eight times as long). The metadata of column chunks is never asked: where
it is damaged, pyarrow 26 ends the process (`terminate called after throwing ParquetException`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_platform.limits import (
    PARQUET_BATCH_BYTES,
    PARQUET_BATCH_CELLS,
    PARQUET_FEWEST_ROWS,
    PARQUET_FOOTER_BYTES,
    PARQUET_PROBE_ROWS,
    RATIO_FLOOR_BYTES,
)
from etl_platform.readers.parquet.pages import Chunk, encrypted
from etl_platform.readers.parquet.types import is_text
from etl_platform.readers.source import Source


@dataclass(frozen=True)
class Part:
    """Row groups to read together, in batches of `rows`. as_dictionaries: spread text out only once it is measured."""

    groups: list[int]
    rows: int
    as_dictionaries: bool


def require_footer(source: Source) -> None:
    """Refuse a file without a footer, or with one that is absurd."""
    with source.path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - 8))
        length, magic = struct.unpack("<I4s", handle.read().rjust(8, b"\0"))
    if magic == b"PARE":
        raise encrypted(source)
    if magic != b"PAR1" or length + 12 > size:
        found = "no Parquet footer at its end: cut off or damaged"
        raise source.refusal("file_is_readable", found, "a complete Parquet file")
    if length > PARQUET_FOOTER_BYTES:
        raise source.beyond(f"a footer of {length} bytes", f"{PARQUET_FOOTER_BYTES} at most")


def require_shape(source: Source, metadata: pq.FileMetaData) -> None:
    """Refuse a file whose footer announces more than the limits allow."""
    limits, size = source.limits, source.path.stat().st_size
    if metadata.num_columns > limits.columns:
        raise source.beyond(f"{metadata.num_columns} columns", f"{limits.columns} at most")
    if metadata.num_columns * metadata.num_rows > limits.cells:
        found = f"{metadata.num_rows} rows x {metadata.num_columns} columns"
        raise source.beyond(found, f"{limits.cells} cells at most")
    content = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if content > limits.decompressed_bytes or content > max(limits.decompressed_ratio * size, RATIO_FLOOR_BYTES):
        raise source.beyond(f"{size} bytes expand to {content}", f"a ratio of {limits.decompressed_ratio} at most")


def coded_columns(schema: pa.Schema, names: list[str], groups: list[list[Chunk]]) -> list[str]:
    """Columns (of `names` by column index) whose text pyarrow can hand over as dictionaries in every row group."""
    plain = {chunk.column for group in groups for chunk in group if not chunk.can_be_coded}
    coded = {names[chunk.column] for group in groups for chunk in group if chunk.is_coded and chunk.column not in plain}
    return [field.name for field in schema if field.name in coded and is_text(field.type)]


def plan(
    source: Source, file: pq.ParquetFile, coded: list[str], groups: list[list[Chunk]], most: int
) -> Iterator[Part]:
    """The file in parts of at most `most` rows a batch; `file` reads `coded` as dictionaries. Small row groups are
    read together."""
    most = max(1, min(most, PARQUET_BATCH_CELLS // max(file.metadata.num_columns, 1)))
    held: list[int] = []
    rows, widest = 0, Width()
    for index, chunks in enumerate(groups):
        count = file.metadata.row_group(index).num_rows
        width = Width(sum(chunk.width for chunk in chunks), _widest_text(source, file, coded, index))
        if held and (rows + count > most or width.or_wider(widest).total * most > PARQUET_BATCH_BYTES):
            yield _part(held, most, widest)
            held, rows, widest = [], 0, Width()
        held.append(index)
        rows, widest = rows + count, width.or_wider(widest)
    if held:
        yield _part(held, most, widest)


@dataclass(frozen=True)
class Width:
    """Bytes that a row can take. plain: as its pages tell. coded: by its dictionaries."""

    plain: int = 0
    coded: int = 0

    @property
    def total(self) -> int:
        return max(self.plain + self.coded, 1)

    def or_wider(self, other: Width) -> Width:
        """The wider of both, each in its own way."""
        return Width(max(self.plain, other.plain), max(self.coded, other.coded))


def _part(groups: list[int], most: int, width: Width) -> Part:
    rows = min(most, PARQUET_BATCH_BYTES // width.total)
    if rows >= min(most, PARQUET_FEWEST_ROWS) or not width.coded:
        return Part(groups, max(rows, 1), False)
    return Part(groups, max(1, min(most, PARQUET_BATCH_BYTES // max(width.plain, 1))), True)


def _widest_text(source: Source, file: pq.ParquetFile, coded: list[str], group: int) -> int:
    """The most bytes of text that a row of this row group can have, as far as its dictionaries tell."""
    if not coded:
        return 0
    batch = next(file.iter_batches(PARQUET_PROBE_ROWS, row_groups=[group], columns=coded, use_threads=False), None)
    return sum(int(_lengths(source, column).max(initial=0)) for column in batch.columns) if batch else 0


def slices(source: Source, batch: pa.RecordBatch, total: int) -> Iterator[pa.RecordBatch]:
    """A batch of dictionaries in pieces that stay small once they are spread out; `total`: rows of the file."""
    spread = sum(_spread_bytes(source, column) for column in batch.columns if pa.types.is_dictionary(column.type))
    limit = source.limits.decompressed_bytes
    if spread * total > limit * max(batch.num_rows, 1):
        raise source.beyond(f"about {spread * total // batch.num_rows} bytes of text", f"{limit} bytes at most")
    rows = max(1, batch.num_rows * PARQUET_BATCH_BYTES // max(spread, PARQUET_BATCH_BYTES))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _spread_bytes(source: Source, column: pa.DictionaryArray) -> int:
    lengths = _lengths(source, column)
    used = pc.drop_null(column.indices).to_numpy(zero_copy_only=False)
    return int(lengths[used].sum()) if len(lengths) else 0


def _lengths(source: Source, column: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Length in bytes of each value of a dictionary of text."""
    if not (pa.types.is_dictionary(column.type) and is_text(column.type)):
        return np.zeros(0, dtype=np.int64)
    lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if lengths.max(initial=0) > source.limits.field_bytes:
        raise source.beyond(f"a value of {lengths.max()} bytes", f"{source.limits.field_bytes} at most")
    return np.asarray(lengths)
