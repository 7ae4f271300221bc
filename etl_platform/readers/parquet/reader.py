"""Parquet: the file's own types, record by record; what Polars cannot hold is turned into what it can, exactly.

Belongs here: opening, batches, rejects. Not here: how much is read at once (`plan.py`), types (`types.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform.limits import PARQUET_LISTED_VALUES
from etl_platform.readers.batch import SOURCE_ROW, Batch, no_rejects
from etl_platform.readers.parquet.int96 import Int96
from etl_platform.readers.parquet.pages import survey
from etl_platform.readers.parquet.plan import coded_columns, plan, require_footer, require_shape, slices
from etl_platform.readers.parquet.types import exact_type, row_as_json
from etl_platform.readers.records import reject_frame
from etl_platform.readers.source import Source

_RULE = "file_is_readable"


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
        return source.beyond(
            "a footer that lists more columns or row groups than allowed", f"{PARQUET_LISTED_VALUES} at most"
        )
    return source.refusal(_RULE, f"damaged Parquet: {str(error)[:300]}", "a complete, intact Parquet file")


def _read(source: Source, batch_rows: int) -> Iterator[Batch]:
    require_footer(source)
    options: dict[str, Any] = {
        "pre_buffer": False,
        "buffer_size": 2**20,
        "page_checksum_verification": True,
        "arrow_extensions_enabled": False,
        "thrift_container_size_limit": max(PARQUET_LISTED_VALUES, source.limits.columns + 1),
    }
    with pq.ParquetFile(source.path, **options) as plain:
        metadata, schema = plain.metadata, plain.schema_arrow
        require_shape(source, metadata)
        _require_names(source, schema.names)
        groups = survey(source, metadata)
        names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        coded_names = coded_columns(schema, names, groups)
        options |= {"read_dictionary": coded_names, "metadata": metadata}
        int96 = Int96(source.path, metadata, options)
        with pq.ParquetFile(source.path, **options) as coded:
            first = 1
            for part in plan(source, coded, coded_names, groups, batch_rows):
                file = coded if part.as_dictionaries else plain
                for batch in file.iter_batches(part.rows, row_groups=part.groups, use_threads=False):
                    batch.validate(full=True)
                    for piece in slices(source, batch, metadata.num_rows):
                        yield _batch(int96.corrected(piece), first)
                        first += piece.num_rows
        if first - 1 != metadata.num_rows:
            found, expected = f"{first - 1} records", f"{metadata.num_rows} records as its footer says"
            raise source.refusal(_RULE, found, expected)
        if not metadata.num_rows:
            yield _batch(pa.RecordBatch.from_pylist([], schema=schema), first)


def _require_names(source: Source, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise source.refusal("header_names_are_unique", f"several columns named {twice[:10]}", "each name once")


def _frame(batch: pa.RecordBatch) -> pl.DataFrame:
    arrays = [column.cast(exact_type(column.type)) for column in batch.columns]
    frame = pl.from_arrow(pa.RecordBatch.from_arrays(arrays, names=batch.schema.names))
    return cast(pl.DataFrame, frame) if batch.num_columns else pl.DataFrame(height=batch.num_rows)


def _batch(piece: pa.RecordBatch, first: int) -> Batch:
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
    return Batch(frame, numbers, partial(row_as_json, frame), rejects)
