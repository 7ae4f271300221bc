"""Reading a sample file of which nobody has said how it is written: format, delimiter, encoding, comments, JSON path.

Belongs here: guesses about the file. Not here: guesses about its columns (`proposal.py`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from etl_platform.errors import FileRefusedError
from etl_platform.limits import INFERRED_HEAD_LINES, INFERRED_ROWS, SNIFFED_BYTES
from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions, read_file, sniff
from etl_platform.readers.archive import open_chunks
from etl_platform.readers.options import ReadLimits
from etl_platform.readers.sniff import head_text
from etl_platform.readers.source import Source
from etl_platform.transforms.infer_types import LIKE_DATE, LIKE_NUMBER, shown

DELIMITERS, ENCODINGS, COMMENTS = (",", ";", "\t", "|"), ("utf-8", "cp1252", "utf-16"), ("#", "//")
ENCODING_RULE = "file_is_in_declared_encoding"


@dataclass(frozen=True)
class Sample:
    """options: how the file is written. rows: its first ones. lines: where in the file each of them stands. doubts:
    sentences about the file."""

    options: FormatOptions
    rows: pl.DataFrame
    lines: pl.Series
    doubts: tuple[str, ...] = ()


def read_sample(file: Path) -> Sample:
    """The first rows of a file. Raises FileRefusedError where no way to read it fits."""
    refusals = []
    for options in _options(file):
        try:
            sample = _read(file, options)
        except FileRefusedError as refusal:
            refusals.append(refusal)
            continue
        if not sample.rows.width:
            raise FileRefusedError(
                str(file), rule="file_is_not_empty", found="no column", expected="at least one record with a field"
            )
        return _with_doubts(_within(file, sample))
    # What is wrong with a file that is in the encoding says more than that it is in no other.
    raise next((refusal for refusal in refusals if refusal.rule != ENCODING_RULE), refusals[-1])


def _options(file: Path) -> list[FormatOptions]:
    found = sniff(file)
    if found.format == "parquet":
        return [ParquetOptions()]
    if found.format == "json":
        return [JsonOptions()]
    head = next(open_chunks(Source(file, str(file), ReadLimits()), found.compression), b"")
    lines = [line for line in head_text(head[:SNIFFED_BYTES]).splitlines()[:INFERRED_HEAD_LINES] if line]
    comment = _comment(lines)
    delimiter = _delimiter([line for line in lines if not comment or not line.startswith(comment)])
    return [CsvOptions(delimiter=delimiter, encoding=encoding, comment=comment) for encoding in ENCODINGS]


def _delimiter(lines: list[str]) -> str:
    """The mark that stands equally often in the most lines."""

    def fits(mark: str) -> tuple[int, int]:
        counts = _counts(lines, mark)
        return (sum(1 for count in counts if count and count == counts[0]), counts[0] if counts else 0)

    return max(DELIMITERS, key=fits)


def _comment(lines: list[str]) -> str | None:
    """The mark of the first lines, unless they have the fields of the others: a header may begin with one, too."""
    for mark in COMMENTS:
        rest = [line for line in lines if not line.startswith(mark)]
        if rest and lines[0].startswith(mark):
            delimiter = _delimiter(rest)
            usual, _ = Counter(_counts(rest, delimiter)).most_common(1)[0]
            return mark if _counts(lines[:1], delimiter) != [usual] else None
    return None


def _counts(lines: list[str], mark: str) -> list[int]:
    """How often the mark stands in each line; quoted parts do not count."""
    return [re.sub(r'"[^"]*"', "", line).count(mark) for line in lines]


def _read(file: Path, options: FormatOptions) -> Sample:
    frames: list[pl.DataFrame] = []
    lines: list[pl.Series] = []
    rejects = rows = 0
    for batch in read_file(file, subject=str(file), options=options):
        frames.append(batch.columns)
        lines.append(batch.source_rows)
        rejects += batch.rejects.height
        rows += batch.columns.height
        if rows >= INFERRED_ROWS:
            break
    doubts = [f"only the first {rows} rows were looked at"] if rows >= INFERRED_ROWS else []
    if rejects:
        doubts.append(f"{rejects} records of the sample could not be taken apart; they would go to quarantine")
    found = pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()
    return Sample(options, found, pl.concat(lines) if lines else pl.Series(dtype=pl.Int64), tuple(doubts))


def _within(file: Path, sample: Sample) -> Sample:
    """A JSON document of one record that holds the records: read at their path."""
    if not isinstance(sample.options, JsonOptions) or sample.rows.height != 1:
        return sample
    for path in _paths(sample.rows.row(0, named=True)):
        try:
            inner = _read(file, JsonOptions(records=path))
        except FileRefusedError:
            continue
        return replace(inner, doubts=(f"the records are read at {shown(path)}", *inner.doubts))
    return sample


def _paths(record: dict[str, Any], parents: tuple[str, ...] = ()) -> Iterator[str]:
    """Where arrays of objects are, as dotted paths."""
    for name, value in record.items():
        if not parents and isinstance(value, str) and value.startswith(("{", "[")):
            try:
                value = json.loads(value)  # noqa: PLW2901 - the reader gives what is nested as text
            except ValueError:
                continue
        path = (*parents, name)
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            yield ".".join(path)
        elif isinstance(value, dict):
            yield from _paths(value, path)


def _with_doubts(sample: Sample) -> Sample:
    options, doubts = sample.options, list(sample.doubts)
    if isinstance(options, CsvOptions):
        if options.encoding == "cp1252":
            doubts.append("the file is not UTF-8: cp1252 is a guess, as nearly every byte is one of its letters")
        if options.comment:
            doubts.append(f"lines that begin with {options.comment} are read as comments")
        names = pl.Series(sample.rows.columns)
        values = names.filter(names.str.contains(LIKE_NUMBER) | names.str.contains(LIKE_DATE))
        if len(values) * 2 >= len(names):
            doubts.append(
                f"the header looks like values ({shown(values[0])}): a file without one needs `header: false` and "
                "`columns` in its format"
            )
    return replace(sample, doubts=tuple(doubts))
