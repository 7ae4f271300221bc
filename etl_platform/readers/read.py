"""One door to all formats: recognise, compare with what was declared, read, and turn every failure into a verdict.

Belongs here: dispatch and the guard around third-party code. Not here: any format's rules.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa

from etl_platform.errors import StorageError
from etl_platform.limits import BATCH_ROWS
from etl_platform.readers.archive import Compression, open_chunks, require_beginning, require_directory_size
from etl_platform.readers.batch import Batch
from etl_platform.readers.csv.reader import read_csv
from etl_platform.readers.json.reader import read_json
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ReadLimits
from etl_platform.readers.parquet.reader import read_parquet
from etl_platform.readers.sniff import Sniffed, declares, sniff
from etl_platform.readers.source import Source

_DEFAULT_LIMITS = ReadLimits()


def read_file(
    path: Path,
    *,
    subject: str,
    options: FormatOptions,
    limits: ReadLimits = _DEFAULT_LIMITS,
    batch_rows: int = BATCH_ROWS,
    expected_columns: Sequence[str] = (),
    content: bytes | None = None,
) -> Iterator[Batch]:
    """Yield the records of a local file, at most `batch_rows` at a time, with the records that could not be read.

    subject names the landing object in messages. expected_columns (JSON): the sender's names that every batch has,
    with nulls where the file has none; keys beyond them appear as further columns from the batch that first has them.
    content: the bytes of a small text file that is in memory; then nothing is read at `path`.

    Raises FileRefusedError, possibly after some batches, where the file as a whole cannot be trusted; the caller
    then drops its batches. Raises StorageError where the local disk fails, ConfigurationError for impossible options.
    """
    source = Source(path, subject, limits, content)
    yield from _guarded(source, lambda: _read(source, options, batch_rows, tuple(expected_columns)))


def _read(source: Source, options: FormatOptions, batch_rows: int, expected: tuple[str, ...]) -> Iterator[Batch]:
    found = sniff(source.path, source.content)
    _require_declared(source, found, options)
    require_beginning(source, found.compression)
    if isinstance(options, CsvOptions):
        return read_csv(source, found.compression, options, batch_rows)
    if isinstance(options, JsonOptions):
        return read_json(source, found.compression, options, batch_rows, expected)
    if found.compression == "none":
        return read_parquet(source, batch_rows)
    return _read_packed_parquet(source, found.compression, batch_rows)


def _read_packed_parquet(source: Source, compression: Compression, batch_rows: int) -> Iterator[Batch]:
    """Parquet is read from its end: it has to lie unpacked on disk, beside the copy, for as long as it is read."""
    with tempfile.NamedTemporaryFile(dir=source.path.parent, prefix="unpacked-") as unpacked:
        for chunk in open_chunks(source, compression):
            unpacked.write(chunk)
        unpacked.flush()
        yield from read_parquet(replace(source, path=Path(unpacked.name)), batch_rows)


def _require_declared(source: Source, found: Sniffed, options: FormatOptions) -> None:
    if found.format == "empty":
        raise source.empty("0 bytes")
    if found.compression == "zip" and found.format != "excel":
        require_directory_size(source)
    if not declares(source, found, options):
        packed = "" if found.compression == "none" else f" in {found.compression}"
        raise source.refusal("file_is_in_declared_format", f"{found.format}{packed}", options.type)


def _guarded(source: Source, read: Callable[[], Iterator[Batch]]) -> Iterator[Batch]:
    try:
        yield from read()
    except (pl.exceptions.PanicException, pl.exceptions.ComputeError, pa.ArrowInvalid) as error:
        # A Rust panic is a BaseException: without this clause it would pass every `except Exception` above us.
        raise source.refusal("file_is_readable", f"a parser gave up: {error}", "a file that parses") from error
    except OSError as error:
        raise StorageError(
            source.subject,
            found=f"reading the local copy failed: {error}",
            expected="a readable file",
            next_step="check the scratch disk (space, permissions), then run the partition again",
        ) from error
