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

from etl_platform.readers.archive import RATIO_FLOOR
from etl_platform.readers.parquet_types import is_text
from etl_platform.readers.source import Source

BATCH_BYTES = 32 * 2**20
_BATCH_CELLS = 4_000_000
_FEWEST_ROWS = 4_096
_PROBE_ROWS = 1_024
# A footer costs about 100 bytes per column and row group; long lists of columns are stopped by the Thrift limit.
_FOOTER_BYTES = 64 * 2**20
LISTED = 100_000


@dataclass(frozen=True)
class Part:
    """Row groups to read together, in batches of `rows`. as_dictionaries: spread text out only once it is measured."""

    groups: list[int]
    rows: int
    as_dictionaries: bool


def hold_footer(source: Source) -> None:
    """Refuse a file without a footer, or with one that is absurd."""
    with source.path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - 8))
        length, magic = struct.unpack("<I4s", handle.read().rjust(8, b"\0"))
    if magic != b"PAR1" or length + 12 > size:
        found = "no Parquet footer at its end: cut off or damaged"
        raise source.refusal("file_is_readable", found, "a complete Parquet file")
    if length > _FOOTER_BYTES:
        raise source.beyond(f"a footer of {length} bytes", f"{_FOOTER_BYTES} at most")


def hold_shape(source: Source, metadata: pq.FileMetaData) -> None:
    """Refuse a file whose footer announces more than the limits allow."""
    limits, size = source.limits, source.path.stat().st_size
    if metadata.num_columns > limits.columns:
        raise source.beyond(f"{metadata.num_columns} columns", f"{limits.columns} at most")
    if metadata.num_columns * metadata.num_rows > limits.cells:
        found = f"{metadata.num_rows} rows x {metadata.num_columns} columns"
        raise source.beyond(found, f"{limits.cells} cells at most")
    content = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if content > limits.decompressed_bytes or content > max(limits.decompressed_ratio * size, RATIO_FLOOR):
        raise source.beyond(f"{size} bytes expand to {content}", f"a ratio of {limits.decompressed_ratio} at most")


def text_columns(schema: pa.Schema) -> list[str]:
    """Columns that can be read as dictionaries."""
    return [field.name for field in schema if is_text(field.type) and "." not in field.name]


def plan(source: Source, file: pq.ParquetFile, batch_rows: int) -> Iterator[Part]:
    """The file in parts; `file` reads text as dictionaries. Small row groups are read together."""
    metadata = file.metadata
    most = max(1, min(batch_rows, _BATCH_CELLS // max(metadata.num_columns, 1)))
    groups: list[int] = []
    held, widest = 0, 1
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        width = max(_widest_row(source, file, index), group.total_byte_size // max(group.num_rows, 1))
        if groups and (held + group.num_rows > most or max(width, widest) * most > BATCH_BYTES):
            yield _part(groups, most, widest)
            groups, held, widest = [], 0, 1
        groups.append(index)
        held, widest = held + group.num_rows, max(width, widest)
    if groups:
        yield _part(groups, most, widest)


def _part(groups: list[int], most: int, widest: int) -> Part:
    rows = min(most, BATCH_BYTES // widest)
    return Part(groups, rows, False) if rows >= min(most, _FEWEST_ROWS) else Part(groups, most, True)


def _widest_row(source: Source, file: pq.ParquetFile, group: int) -> int:
    """The most bytes of text that a row of this row group can have, as far as its dictionaries tell."""
    texts = text_columns(file.schema_arrow)
    batch = next(file.iter_batches(_PROBE_ROWS, row_groups=[group], columns=texts, use_threads=False), None)
    return sum(int(_lengths(source, column).max(initial=0)) for column in batch.columns) if batch else 0


def slices(source: Source, batch: pa.RecordBatch, total: int) -> Iterator[pa.RecordBatch]:
    """A batch of dictionaries in pieces that stay small once they are spread out; `total`: rows of the file."""
    spread = sum(_spread_bytes(source, column) for column in batch.columns if pa.types.is_dictionary(column.type))
    limit = source.limits.decompressed_bytes
    if spread * total > limit * max(batch.num_rows, 1):
        raise source.beyond(f"about {spread * total // batch.num_rows} bytes of text", f"{limit} bytes at most")
    rows = max(1, batch.num_rows * BATCH_BYTES // max(spread, BATCH_BYTES))
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
