"""Parquet: the file's own types, record by record; what Polars cannot hold is turned into what it can, exactly.

Belongs here: opening, limits, batches. Not here: types (`parquet_types`).

A file's own figures are no estimate of memory: a column of one long string repeated is a few bytes on disk. So text is
read as dictionary where it is stored as such, measured, and only then spread out, in slices of bounded size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from etl_platform.readers.archive import RATIO_FLOOR
from etl_platform.readers.batch import SOURCE_ROW, Batch, no_rejects
from etl_platform.readers.parquet_types import exact_type, row_as_json
from etl_platform.readers.records import reject_frame
from etl_platform.readers.source import Source

_RULE = "file_is_readable"
# What one batch may take in memory, whatever `batch_rows` says.
_BATCH_BYTES = 32 * 2**20
_BATCH_CELLS = 4_000_000
# A footer costs about 100 bytes per column and row group; long lists of columns are stopped by the Thrift limit below.
_FOOTER_BYTES = 64 * 2**20
_LISTED = 100_000


def read_parquet(source: Source, batch_rows: int) -> Iterator[Batch]:
    """Yield the file's records; `_source_row` is the record number. Raises FileRefusedError for damage and bombs."""
    try:
        yield from _read(source, batch_rows)
    except (pa.ArrowException, ValueError) as error:
        raise _damaged(source, error) from error
    except MemoryError as error:
        raise source.beyond(f"a value that needs more memory than there is ({error})", "an intact file") from error
    except OSError as error:
        # Arrow says OSError for damage too; a failing disk has an error number.
        if error.errno is not None:
            raise
        raise _damaged(source, error) from error


def _damaged(source: Source, error: Exception) -> Exception:
    if "Exceeded size limit" in str(error):
        return source.beyond("a footer that lists more columns or row groups than allowed", f"{_LISTED} at most")
    return source.refusal(_RULE, f"damaged Parquet: {str(error)[:300]}", "a complete, intact Parquet file")


def _read(source: Source, batch_rows: int) -> Iterator[Batch]:
    _hold_footer(source)
    options = {
        "pre_buffer": False,
        "buffer_size": 2**20,
        "page_checksum_verification": True,
        "arrow_extensions_enabled": False,
        "thrift_container_size_limit": max(_LISTED, source.limits.columns + 1),
    }
    with pq.ParquetFile(source.path, **options) as plain:
        _hold_shape(source, plain.metadata)
        names = plain.schema_arrow.names
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise source.refusal("header_names_are_unique", f"several columns named {twice[:10]}", "each name once")
        dictionaries, rows = _dictionaries(plain.metadata), _rows_per_batch(plain.metadata, batch_rows)
        total = plain.metadata.num_rows
    first = 1
    with pq.ParquetFile(source.path, read_dictionary=dictionaries, **options) as file:
        for batch in file.iter_batches(rows, use_threads=False):
            batch.validate(full=True)
            for piece in _slices(source, batch, total):
                yield from _batches(piece, first)
                first += piece.num_rows
        if first - 1 != total:
            raise source.refusal(_RULE, f"{first - 1} records", f"{total} records as its footer says")
        if not total:
            frame = _frame(pa.RecordBatch.from_pylist([], schema=file.schema_arrow))
            yield Batch(frame, pl.Series(SOURCE_ROW, [], dtype=pl.Int64), partial(row_as_json, frame))


def _hold_footer(source: Source) -> None:
    with source.path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - 8))
        length, magic = struct.unpack("<I4s", handle.read().rjust(8, b"\0"))
    if magic != b"PAR1" or length + 12 > size:
        raise source.refusal(_RULE, "no Parquet footer at its end: cut off or damaged", "a complete Parquet file")
    if length > _FOOTER_BYTES:
        raise source.beyond(f"a footer of {length} bytes", f"{_FOOTER_BYTES} at most")


def _hold_shape(source: Source, metadata: pq.FileMetaData) -> None:
    limits, size = source.limits, source.path.stat().st_size
    if metadata.num_columns > limits.columns:
        raise source.beyond(f"{metadata.num_columns} columns", f"{limits.columns} at most")
    if metadata.num_columns * metadata.num_rows > limits.cells:
        raise source.beyond(
            f"{metadata.num_rows} rows x {metadata.num_columns} columns", f"{limits.cells} cells at most"
        )
    content = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if content > limits.decompressed_bytes or content > max(limits.decompressed_ratio * size, RATIO_FLOOR):
        raise source.beyond(f"{size} bytes expand to {content}", f"a ratio of {limits.decompressed_ratio} at most")


def _rows_per_batch(metadata: pq.FileMetaData, batch_rows: int) -> int:
    rows: int = min(batch_rows, _BATCH_CELLS // max(metadata.num_columns, 1))
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if group.num_rows and group.total_byte_size > 0:
            rows = min(rows, _BATCH_BYTES * group.num_rows // group.total_byte_size)
    return max(rows, 1)


def _dictionaries(metadata: pq.FileMetaData) -> list[str]:
    """Columns of text or bytes that the first row group stores as a dictionary."""
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    chunks = (group.column(index) for index in range(group.num_columns))
    return [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY" and chunk.has_dictionary_page and "." not in chunk.path_in_schema
    ]


def _slices(source: Source, batch: pa.RecordBatch, total: int) -> Iterator[pa.RecordBatch]:
    """The batch in pieces that stay small once their dictionaries are spread out."""
    spread = sum(_spread_bytes(source, column) for column in batch.columns if pa.types.is_dictionary(column.type))
    if spread * total > source.limits.decompressed_bytes * max(batch.num_rows, 1):
        expected = f"{source.limits.decompressed_bytes} bytes at most"
        raise source.beyond(f"about {spread * total // batch.num_rows} bytes of text", expected)
    rows = max(1, batch.num_rows * _BATCH_BYTES // max(spread, _BATCH_BYTES))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _spread_bytes(source: Source, column: pa.DictionaryArray) -> int:
    value = column.type.value_type
    if not (pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_binary(value)):
        return 0
    lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if len(lengths) and int(lengths.max()) > source.limits.field_bytes:
        raise source.beyond(f"a value of {lengths.max()} bytes", f"{source.limits.field_bytes} at most")
    used = pc.drop_null(column.indices).to_numpy(zero_copy_only=False)
    return int(lengths[used].sum()) if len(lengths) else 0


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    arrays = [column.cast(exact_type(column.type)) for column in batch.columns]
    frame = pl.from_arrow(pa.RecordBatch.from_arrays(arrays, names=batch.schema.names))
    return cast(pl.DataFrame, frame) if batch.num_columns else pl.DataFrame(height=batch.num_rows)


def _batches(piece: pa.RecordBatch, first: int) -> Iterator[Batch]:
    frame = _frame(piece)
    numbers = pl.Series(SOURCE_ROW, np.arange(first, first + frame.height), dtype=pl.Int64)
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    rejects = no_rejects()
    if texts:
        nul = frame.select(pl.any_horizontal(pl.col(texts).str.contains("\0", literal=True).fill_null(False)))
        holds = nul.to_series()
        if holds.any():
            at = holds.arg_true()
            rejects = reject_frame(numbers.gather(at), "text_has_no_nul", "a NUL character", row_as_json(frame, at))
            frame, numbers = frame.filter(~holds), numbers.filter(~holds)
    yield Batch(frame, numbers, partial(row_as_json, frame), rejects)
