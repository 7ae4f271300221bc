"""CSV: text in, text out. Nothing is inferred; a missing (unquoted, empty) field is null, `""` is ''.

Belongs here: header, fields, the rows that have too few or too many. Not here: where records end (`split.py`),
the control line (`trailer.py`), thousands and decimal marks (they are the contract's casts').

Blank lines are no records, except in a file of one column, where a blank line is a row with a missing value.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc

from etl_platform.errors import ConfigurationError
from etl_platform.readers.archive import Compression
from etl_platform.readers.batch import QUOTES_ARE_CLOSED, SOURCE_ROW, Batch, no_rejects
from etl_platform.readers.csv.dialect import CsvDialect
from etl_platform.readers.csv.quotes import starts_with
from etl_platform.readers.csv.small import small_batch
from etl_platform.readers.csv.split import Block, split
from etl_platform.readers.csv.trailer import Control, flag_last
from etl_platform.readers.encoding import BOM, to_utf8
from etl_platform.readers.options import CsvOptions
from etl_platform.readers.records import Mask, Records, positions_of
from etl_platform.readers.source import Source


def read_csv(source: Source, compression: Compression, options: CsvOptions, batch_rows: int) -> Iterator[Batch]:
    """Yield the file's rows. Raises FileRefusedError where the file as a whole cannot be trusted."""
    if compression == "none" and (small := small_batch(source, options, batch_rows)) is not None:
        yield small
        return
    dialect = CsvDialect.of(source, options)
    chunks = dialect.inward(to_utf8(source, compression, options.encoding))
    blocks = split(source, chunks, dialect.options)
    control = Control.of(source, options.trailer) if options.trailer else None
    names = None if options.header else _unique(source, options.columns)
    any_batch = False
    for block, is_last in flag_last(blocks) if control else ((block, False) for block in blocks):
        rest = control.take_line(block) if control and is_last else block
        kept = _kept(rest, dialect.options)
        if names is None:
            names = _header(source, rest, kept, dialect)
        for batch in _batches(source, rest, kept, names, dialect, batch_rows=batch_rows) if names else ():
            if control:
                control.count(batch.columns, batch.rejects.height)
            any_batch = True
            yield batch
    if control and control.line:
        control.compare()
    elif names is None or not (any_batch or options.header):
        raise source.empty("no header and no row")
    if names and not any_batch:
        # A file of nothing but a header still tells its columns.
        yield _batch(pl.DataFrame(schema=dict.fromkeys(names, pl.String)), Records.none(), dialect, no_rejects())


def _kept(block: Block, options: CsvOptions) -> Mask:
    """True for records that are rows: no comments."""
    kept = np.ones(len(block.records), dtype=np.bool_)
    if options.comment:
        kept[starts_with(block.records.text, block.records.starts, options.comment.encode())] = False
    return kept


def _blank(records: Records) -> Mask:
    data = np.frombuffer(records.text, dtype=np.uint8)
    first = data[records.starts]
    blank: Mask = (first == ord("\n")) | (first == ord("\r"))
    return blank


def _header(source: Source, block: Block, kept: Mask, dialect: CsvDialect) -> tuple[str, ...] | None:
    """The column names from the first row of the block, which is taken out of `kept`; None where it has no row."""
    rows = np.flatnonzero(kept & ~_blank(block.records))
    kept[: rows[0] + 1 if len(rows) else len(kept)] = False
    if not len(rows):
        return None
    record = block.records.take(rows[:1])
    text = record.text[record.starts[0] : record.stops[0]].rstrip(b"\r\n") + b"\n"
    limit = source.limits.columns
    if text.count(ord(dialect.options.delimiter)) >= limit:
        raise source.beyond(f"more than {limit} columns in the header", f"{limit} at most")
    if rows[0] in block.broken or b"\0" in text:
        shown = text[:200].decode(errors="replace")  # the cut may go through a character
        raise source.refusal("file_is_readable", f"a broken header: {shown!r}", "column names")
    return _unique(source, dialect.outward_names(_names(text, dialect)))


def _names(text: bytes, dialect: CsvDialect) -> list[str]:
    if ord(dialect.options.quote) not in text:
        # As the parser reads it, without the cost of starting one; it drops a byte order mark, too.
        return text.removesuffix(b"\n").decode().removeprefix("\ufeff").split(dialect.options.delimiter)
    read = pc.ReadOptions(use_threads=False, autogenerate_column_names=True, block_size=len(text) + 1)
    placeholders = tuple(f"f{index}" for index in range(text.count(ord(dialect.options.delimiter)) + 1))
    table = pc.read_csv(pa.BufferReader(text), read, dialect.parse_options(has_quotes=True), _text(placeholders))
    return [str(column[0].as_py() or "") for column in table.columns]


def _unique(source: Source, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ConfigurationError(
            f"{source.subject} option columns", found="no names", expected="the column names of a file without header"
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise source.refusal(
            "header_names_are_unique", f"several columns named {', '.join(map(repr, twice[:10]))}", "each name once"
        )
    return names


def _text(names: tuple[str, ...]) -> pc.ConvertOptions:
    return pc.ConvertOptions(
        column_types=dict.fromkeys(names, pa.large_string()),
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )


def _batches(
    source: Source, block: Block, kept: Mask, names: tuple[str, ...], dialect: CsvDialect, *, batch_rows: int
) -> Iterator[Batch]:
    records, rejects = block.records, no_rejects()
    if len(names) > 1:
        kept &= ~_blank(records)
    is_row = kept[block.broken]
    broken = block.broken[is_row]
    if len(broken):
        found = [reason for reason, held in zip(block.found, is_row.tolist(), strict=True) if held]
        rejects.extend(records.rejects(broken, QUOTES_ARE_CLOSED, found))
        kept[broken] = False
    if b"\0" in records.text:
        holding = records.holding(positions_of(records.text, 0))
        holding = holding[kept[holding]]
        rejects.extend(records.rejects(holding, "text_has_no_nul", "a NUL byte"))
        kept[holding] = False
    rows = records if kept.all() else records.take(kept)
    columns, ragged, fields = _parse(rows, names, dialect, has_quotes=block.has_quotes)
    if ragged:
        index = np.array(ragged, dtype=np.int64)
        found = [f"{count} fields, expected {len(names)}" for count in fields]
        rejects.extend(rows.rejects(index, "row_has_all_fields", found))
        rows = rows.take(np.setdiff1d(np.arange(len(rows)), index))
    if columns.height != len(rows):
        raise source.refusal("file_is_readable", f"{columns.height} rows where {len(rows)} lines end", "one row a line")
    if rejects.height:
        rejects = dialect.outward_rejects(rejects.sort(SOURCE_ROW))
    for start in range(0, max(len(rows), 1), batch_rows):
        part = rows.take(np.arange(start, min(start + batch_rows, len(rows)))) if len(rows) > batch_rows else rows
        if len(part) or rejects.height:
            yield _batch(columns.slice(start, batch_rows), part, dialect, rejects)
        rejects = no_rejects()


def _batch(columns: pl.DataFrame, rows: Records, dialect: CsvDialect, rejects: pl.DataFrame) -> Batch:
    numbers = pl.Series(SOURCE_ROW, rows.rows, dtype=pl.Int64)
    return Batch(columns, numbers, partial(_raw, rows, dialect), rejects, len(rows.text))


def _raw(records: Records, dialect: CsvDialect, indices: pl.Series) -> pl.Series:
    return dialect.outward(records.raw(indices))


def _parse(
    rows: Records, names: tuple[str, ...], dialect: CsvDialect, *, has_quotes: bool
) -> tuple[pl.DataFrame, list[int], list[int]]:
    """The fields of the rows, and the index and field count of each row that has not as many as there are names."""
    if not len(rows):
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String)), [], []
    ragged: list[int] = []
    fields: list[int] = []

    def note(row: pc.InvalidRow) -> str:
        ragged.append(row.number - 1)
        fields.append(row.actual_columns)
        return "skip"

    # The parser takes a block without any line end for an empty one.
    text = rows.joined() + b"\n" * (rows.text[rows.stops[-1] - 1] not in b"\r\n")
    if text.startswith(BOM):
        text = BOM + text  # the parser drops one; the file's own is gone by now, so this one is the sender's text
    read = pc.ReadOptions(use_threads=False, column_names=list(names), block_size=len(text) + 1)
    parse = dialect.parse_options(has_quotes=has_quotes, invalid_row_handler=note)
    frame = cast(pl.DataFrame, pl.from_arrow(pc.read_csv(pa.BufferReader(text), read, parse, _text(names))))
    frame.columns = list(names)  # Polars calls an unnamed Arrow column `column_0`; the sender called it nothing
    return dialect.outward_frame(frame), ragged, fields
