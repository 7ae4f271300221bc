"""Small CSV in memory gives what the parser gives of the same bytes on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.errors import ConfigurationError, FileRefusedError
from etl_platform.limits import SMALL_CSV_BYTES
from etl_platform.readers import read_file
from etl_platform.readers.batch import Batch
from etl_platform.readers.csv.small import small_batch
from etl_platform.readers.options import CsvOptions, ReadLimits
from etl_platform.readers.source import Source

PIECES = (
    *("a", "b", "ä", "1", " ", "", "\ufeff", "\x0b", "\x85", "\u2028", "\0", "'", '"', '""', "#"),
    *(",", ",", ";", "\t", "\n", "\n", "\n", "\r\n", "\r"),
)
OPTIONS = st.builds(
    CsvOptions,
    delimiter=st.sampled_from([",", ";", "\t", "¦", "'"]),
    quote=st.sampled_from(['"', "'"]),
    encoding=st.sampled_from(["utf-8", "UTF8", "utf-8-sig", "cp1252"]),
    header=st.booleans(),
    columns=st.just(("x", "y")),
    comment=st.sampled_from([None, "#"]),
)
CONTENTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.builds(
    lambda names, rows, end: "\n".join([names, *rows]) + end,
    st.sampled_from(["a,b", "a;b", "a,", "a,a"]),
    st.lists(st.sampled_from(["1,2", "1;2", ",", ";", "ä, b", "1", "1,2,3", "\ufeff1,2", ""]), max_size=5),
    st.sampled_from(["", "\n", "\r\n"]),
)


def outcome(path: Path, options: CsvOptions, limits: ReadLimits, content: bytes | None) -> object:
    """All that a reader of the file sees: rows, lines, raw texts and rejects; or why it is refused."""
    try:
        batches = list(read_file(path, subject="it", options=options, limits=limits, batch_rows=3, content=content))
    except (FileRefusedError, ConfigurationError) as error:
        return str(error)
    return [seen(batch) for batch in batches]


def seen(batch: Batch) -> tuple[object, ...]:
    every = pl.Series(range(batch.columns.height), dtype=pl.UInt32)
    raw = batch.raw(every[::-1]).to_list() if batch.columns.height else []
    columns = batch.columns
    rejects = batch.rejects.rows()
    return columns.schema, columns.rows(), batch.source_rows.dtype, batch.source_rows.to_list(), raw, rejects


@given(CONTENTS, OPTIONS, st.sampled_from([ReadLimits(), ReadLimits(columns=1), ReadLimits(field_bytes=8)]))
def test_what_is_in_memory_reads_as_what_is_on_disk(content: str, options: CsvOptions, limits: ReadLimits) -> None:
    data = content.encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        assert outcome(Path(folder) / "no file", options, limits, data) == outcome(path, options, limits, None)


@pytest.mark.parametrize("content", [b"a;b\n1;\n", b"a;b\r\n1;\r\n;2", "ä;b\n\ufeff1;2\n".encode()])
def test_plain_lines_need_no_parser(content: bytes) -> None:
    source = Source(Path("no file"), "it", ReadLimits(), content)
    assert small_batch(source, CsvOptions(delimiter=";"), 10) is not None


@pytest.mark.parametrize(
    "content",
    [
        b"a;b\n",
        b'a;b\n"1";2\n',
        b"a;b\n1\n",
        b"a;b\n\n1;2\n",
        b"a;a\n1;2\n",
        b"a;b\n\xff;2\n",
        b"a;b\r1;2\r",
        b"a\n" * SMALL_CSV_BYTES,
    ],
)
def test_whatever_is_in_doubt_is_left_to_the_parser(content: bytes) -> None:
    source = Source(Path("no file"), "it", ReadLimits(), content)
    assert small_batch(source, CsvOptions(delimiter=";"), 10**6) is None
