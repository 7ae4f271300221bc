"""Small plain CSV that is in memory: a few lines without quotes, taken apart without a parser.

To start one takes longer than a thousand such lines. Belongs here: the files about which there is no doubt, read as
`reader.py` reads them. Not here: all others, however small; for them there is no batch.
"""

from __future__ import annotations

import codecs
from functools import lru_cache, partial

import polars as pl

from etl_platform.limits import SMALL_CSV_BYTES
from etl_platform.readers.batch import SOURCE_ROW, Batch
from etl_platform.readers.encoding import BOM
from etl_platform.readers.options import CsvOptions
from etl_platform.readers.records import shorten
from etl_platform.readers.source import Source


def small_batch(source: Source, options: CsvOptions, batch_rows: int) -> Batch | None:
    """All rows of the file; None where it has to be read by a parser, which says what is wrong where something is."""
    data = source.content
    if data is None or len(data) > SMALL_CSV_BYTES or not _are_plain(options) or not _is_plain(data, options):
        return None
    limits = source.limits
    if len(data) > min(limits.decompressed_bytes, limits.field_bytes):
        return None
    try:
        lines = data.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        return None
    names, *records = [line.split(options.delimiter) for line in lines]
    width = len(names)
    is_regular = len(set(names)) == width <= limits.columns and all(len(record) == width for record in records)
    if not is_regular or not 0 < len(records) <= batch_rows or "" in lines:
        return None
    values = [[value or None for value in record] for record in records]
    columns = pl.DataFrame(values, schema=dict.fromkeys(names, pl.String), orient="row")
    rows = pl.Series(SOURCE_ROW, range(2, len(records) + 2), dtype=pl.Int64)
    return Batch(columns, rows, partial(_raw, lines), held=len(data))


@lru_cache(maxsize=256)
def _are_plain(options: CsvOptions) -> bool:
    """Whether the way of writing is one of which only the delimiter matters here."""
    marks = (options.delimiter, options.quote)
    is_utf8 = codecs.lookup(options.encoding).name in ("utf-8", "utf-8-sig")
    is_ordinary = all(mark.isascii() and mark not in "\r\n\0" for mark in marks) and len(set(marks)) == len(marks)
    return options.header and is_utf8 and is_ordinary and not options.comment and not options.trailer


def _is_plain(data: bytes, options: CsvOptions) -> bool:
    """Whether each LF or CRLF ends a record, and all else is text of fields."""
    has_marks = ord(options.quote) in data or b"\0" in data or data.startswith(BOM)
    return not has_marks and data.count(b"\r") == data.count(b"\r\n")


def _raw(lines: list[str], indices: pl.Series) -> pl.Series:
    return shorten(pl.Series([lines[index + 1] for index in indices], dtype=pl.String))
