"""Any table of text, in any dialect, cut anywhere, reads back equal."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.readers import CsvOptions
from etl_platform_tests.unit.readers.reading import read, small_blocks

TEXT = st.text(st.sampled_from("ab0,;§|\"'\n\r\t #NAé\x1e\x1f€漢"), max_size=6)


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bars", data)
    return buffer.getvalue()


COMPRESSIONS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, zstandard.compress, zipped]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str | None]]]:
    width = draw(st.integers(1, 4))
    names = draw(st.lists(TEXT.filter(bool), min_size=width, max_size=width, unique=True))
    cells = st.lists(st.none() | TEXT, min_size=width, max_size=width)
    return names, draw(st.lists(cells, max_size=8))


@settings(max_examples=150, deadline=None)
@given(
    table=tables(),
    delimiter=st.sampled_from(",;|\t§"),
    quote=st.sampled_from("\"'“"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "gb18030"]),
    compress=st.sampled_from(COMPRESSIONS),
    always=st.booleans(),
    header=st.booleans(),
    last_end=st.booleans(),
    comment=st.sampled_from([None, "#"]),
    size=st.sampled_from([1, 2, 5, 16, 1_000_000]),
    batch_rows=st.sampled_from([1, 3, 1000]),
)
def test_any_table_in_any_dialect_reads_back_equal(
    table: tuple[list[str], list[list[str | None]]],
    delimiter: str,
    quote: str,
    end: str,
    encoding: str,
    compress: Callable[[bytes], bytes],
    always: bool,
    header: bool,
    last_end: bool,
    comment: str | None,
    size: int,
    batch_rows: int,
) -> None:
    names, rows = table
    special = (delimiter, quote, "\r", "\n", "#")

    def write(value: str | None) -> str:
        if value is None:
            return ""
        if always or value == "" or any(mark in value for mark in special):
            return quote + value.replace(quote, quote * 2) + quote
        return value

    lines = ([names] if header else []) + rows
    text = "".join(delimiter.join(map(write, line)) + end for line in lines)
    if not last_end and lines and lines[-1] != [None]:
        text = text.removesuffix(end)
    if not text or (not header and not rows):
        return
    options = CsvOptions(
        delimiter=delimiter,
        quote=quote,
        encoding=encoding,
        header=header,
        columns=() if header else names,
        comment=comment,
        multiline="trusted",  # any text: its lines may look like records
    )
    with small_blocks(size):
        out = read(compress(text.encode(encoding)), options, batch_rows=batch_rows)
    assert out.columns.columns == names
    assert out.rows == [tuple(row) for row in rows]
    assert out.rejects.is_empty()
    assert out.raw == [delimiter.join(map(write, row)) for row in rows]
