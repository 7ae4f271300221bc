"""Rows as the bytes of one landing file, in the sender's format and dialect. Deterministic to the byte.

Not here: keys and stores (`generate.py`).
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform.contracts.rules import type_rule
from etl_platform.errors import ConfigurationError
from etl_platform.readers.options import CsvOptions, JsonOptions
from etl_platform.sample.composition import RULE
from etl_platform.sample.defects import BROKEN_JSON, RAGGED, unreadable
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.text import to_text

GZIP_LEVEL = 1
"""A million lines in a second; level 9 takes ten for a tenth less."""


@dataclass(frozen=True)
class File:
    """first_row: `_source_row` of the first row; the others follow one by one."""

    data: bytes
    suffix: str
    first_row: int


def write_file(rows: pl.DataFrame, sender: Sender) -> File:
    """`rows` (contract columns and the rule that each shall break, if any) as a file."""
    options = sender.config.format
    if isinstance(options, CsvOptions):
        return _csv(rows, sender, options)
    return _json(rows, sender, options) if isinstance(options, JsonOptions) else _parquet(rows, sender)


def unreadable_file(file: File) -> tuple[bytes, str]:
    """A file of that kind that cannot be read at all, and the rule under which it is refused."""
    if file.suffix == ".csv":
        return b"", "file_is_not_empty"
    # Half a gzip file lacks its end mark; half a Parquet file lacks its footer, without which nothing can be read.
    rule = "file_is_readable" if file.suffix == ".parquet" else "file_is_complete"
    return file.data[: len(file.data) // 2], rule


def _csv(rows: pl.DataFrame, sender: Sender, options: CsvOptions) -> File:
    texts = _texts(rows, sender)
    fields = [_csv_field(pl.col(c), options) for c in sender.names]
    line = pl.concat_str(fields, separator=options.delimiter)
    short = pl.concat_str(fields[:-1], separator=options.delimiter) if fields[1:] else line + options.delimiter
    ragged = pl.when(pl.int_range(pl.len()) % 2 == 0).then(short).otherwise(line + f"{options.delimiter}surplus")
    lines = texts.select(pl.when(pl.col(RULE) == RAGGED).then(ragged).otherwise(line)).to_series()
    head = pl.select(_csv_field(pl.lit(pl.Series(list(sender.names.values()))), options)).to_series()
    parts = [options.delimiter.join(head)] if options.header else []
    parts += [lines.str.join("\n").item()] if rows.height else []
    if options.trailer:
        parts.append(_trailer(options.trailer, rows.height, sender))
    return File(("\n".join(parts) + "\n").encode(options.encoding), ".csv", 2 if options.header else 1)


def _csv_field(value: pl.Expr, options: CsvOptions) -> pl.Expr:
    """An unquoted empty field is a missing value, a quoted one is empty text."""
    special = value.str.contains_any([options.delimiter, options.quote, "\n", "\r"]) | (value == "")
    escaped = value.str.replace_all(options.quote, options.quote * 2, literal=True)
    quoted = pl.lit(options.quote) + escaped + pl.lit(options.quote)
    return pl.when(special).then(quoted).otherwise(value).fill_null("")


def _trailer(pattern: str, rows: int, sender: Sender) -> str:
    """A control line that fits the configured pattern, where counting rows is all it asks for."""
    counted = re.sub(r"\(\?P<rows>[^()]*\)", str(rows), pattern.removeprefix("^").removesuffix("$"))
    line = re.sub(r"\\(.)", r"\1", counted)
    found = re.fullmatch(pattern, line)
    if found is None or set(found.groupdict()) != {"rows"}:
        raise ConfigurationError(
            f"institution {sender.code} dataset {sender.dataset} format.trailer",
            found=repr(pattern),
            expected=r"for sample files, plain text around (?P<rows>\d+)",
        )
    return line


def _json(rows: pl.DataFrame, sender: Sender, options: JsonOptions) -> File:
    texts = _texts(rows, sender)
    is_plain = (sender.dialect.decimal, sender.dialect.thousands) == (".", "")
    members: list[pl.Expr] = []
    for name, theirs in sender.names.items():
        is_number = is_plain and rows.schema[name].is_numeric()
        value = pl.col(name)
        string = pl.lit('"') + value.str.replace_many(["\\", '"'], ["\\\\", '\\"']) + pl.lit('"')
        written = pl.when(_is_unread(name)).then(string).otherwise(value) if is_number else string
        opening = "{" if not members else ","
        members += [pl.lit(f"{opening}{json.dumps(theirs, ensure_ascii=False)}:"), written.fill_null("null")]
    line = pl.concat_str([*members, pl.lit("}")])
    half = line.str.head(line.str.len_chars() // 2)
    lines = texts.select(pl.when(pl.col(RULE) == BROKEN_JSON).then(half).otherwise(line)).to_series()
    is_array = options.layout == "array" or bool(options.records)
    text = (lines.str.join(",\n" if is_array else "\n").item() or "") + "\n"
    if is_array:
        path = options.records.split(".") if options.records else []
        opening = "".join(f"{{{json.dumps(part)}:" for part in path)
        text = f"{opening}[\n{text}]{'}' * len(path)}\n"
    data = gzip.compress(text.encode(options.encoding), compresslevel=GZIP_LEVEL, mtime=0)
    return File(data, ".json.gz" if is_array else ".jsonl.gz", 1)


def _parquet(rows: pl.DataFrame, sender: Sender) -> File:
    table = rows.select(pl.col(c).alias(theirs) for c, theirs in sender.names.items()).to_arrow()
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return File(sink.getvalue().to_pybytes(), ".parquet", 1)


def _texts(rows: pl.DataFrame, sender: Sender) -> pl.DataFrame:
    """All columns as text, those values unreadable that shall be."""
    texts = [to_text(rows[c], sender.dialect_of(c)).alias(c) for c in sender.names]
    frame = pl.DataFrame([*texts, rows[RULE]])
    bad = pl.lit(unreadable(sender))
    typed = [c for c in sender.names if rows.schema[c] != pl.String()]
    return frame.with_columns(pl.when(_is_unread(c)).then(bad).otherwise(pl.col(c)).alias(c) for c in typed)


def _is_unread(column: str) -> pl.Expr:
    return pl.col(RULE).eq_missing(pl.lit(type_rule(column)))
