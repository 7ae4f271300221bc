"""What pages hold is known before it is decoded, and what is known never stops an honest file."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.readers import ParquetOptions, ReadLimits
from etl_platform.readers.parquet.pages import Chunk, survey
from etl_platform.readers.source import Source
from etl_platform_tests.support import bombs
from etl_platform_tests.unit.readers.parquet.test_records import written
from etl_platform_tests.unit.readers.reading import read, refusal

PARQUET = ParquetOptions()
DELTA: dict[str, Any] = {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}}
TEXTS = st.lists(st.none() | st.text("ab\u00e9", max_size=40), min_size=1, max_size=300)


def surveyed(content: bytes, **limits: int) -> list[list[Chunk]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        path.write_bytes(content)
        return survey(Source(path, "s", ReadLimits(**limits)), pq.read_metadata(path))


@settings(max_examples=60, deadline=None)
@given(
    texts=TEXTS,
    codec=st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
    version=st.sampled_from(["1.0", "2.0"]),
    page=st.sampled_from([100, 2**20]),
    group=st.sampled_from([1, 7, 1000]),
    is_nested=st.booleans(),
)
def test_lengths_of_texts_with_shared_prefixes_are_known_exactly(
    texts: list[str | None], codec: str, version: str, page: int, group: int, is_nested: bool
) -> None:
    texts = sorted(texts, key=lambda text: text or "")
    column = pa.array(
        [[text] for text in texts] if is_nested else texts, pa.list_(pa.string()) if is_nested else pa.string()
    )
    name = "a.list.element" if is_nested else "a"
    content = written(
        pa.table({"a": column}),
        use_dictionary=False,
        column_encoding={name: "DELTA_BYTE_ARRAY"},
        compression=codec,
        data_page_version=version,
        data_page_size=page,
        row_group_size=group,
        write_batch_size=5,
    )
    chunks = [chunk for chunks in surveyed(content) for chunk in chunks]
    lengths = [len((text or "").encode()) for text in texts]
    assert sum(chunk.text for chunk in chunks) == sum(lengths)
    assert max(chunk.width for chunk in chunks) >= max(lengths)
    assert [row[0] for row in read(content, PARQUET).rows] == column.to_pylist()


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", None])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_text_is_read_in_every_encoding(encoding: str | None, kind: pa.DataType) -> None:
    column = pa.array([f"text {number % 50}" for number in range(5000)] + [None]).cast(kind)
    options: dict[str, Any] = {"use_dictionary": True}
    if encoding:
        options = {"use_dictionary": False, "column_encoding": {"a": encoding}}
    content = written(pa.table({"a": column, "b": range(5001)}), row_group_size=1000, **options)
    assert [row[0] for row in read(content, PARQUET, batch_rows=700).rows] == column.to_pylist()


def test_a_column_may_have_dictionaries_in_some_row_groups_only() -> None:
    buffer = io.BytesIO()
    first = pa.table({"a": ["x", "x"], "b": ["y", "z"]})
    with pq.ParquetWriter(buffer, first.schema, dictionary_pagesize_limit=50) as writer:
        writer.write_table(first)
        writer.write_table(pa.table({"a": [str(number) for number in range(4000)], "b": ["y"] * 4000}))
    assert len(read(buffer.getvalue(), PARQUET).rows) == 4002


def test_wide_texts_come_in_small_batches_however_they_are_encoded() -> None:
    column = pa.array(["x" * 1_000_000] * 100)
    for options in (
        {},
        {"use_dictionary": False},
        {"use_dictionary": False, "column_encoding": {"a": "DELTA_BYTE_ARRAY"}},
    ):
        out = read(written(pa.table({"a": column}), **options), PARQUET)
        assert sum(out.heights) == 100 and max(out.heights) <= 34, options


@pytest.mark.parametrize(
    ("make", "limits", "found"),
    [
        (bombs.lying_page, {}, "a page of 1922 bytes expands to 2147483647"),
        (bombs.repeated_nested_text, {}, "column a.list.element"),
        (bombs.repeated_fixed, {"decompressed_bytes": 2**30}, "3000000000 bytes of text"),
        (bombs.repeated_prefix, {"decompressed_bytes": 2**30}, "3000000000 bytes of text"),
        (lambda: written(pa.table({"a": ["x" * 2000]}), **DELTA), {"field_bytes": 1000}, "a value of 2000 bytes"),
    ],
    ids=["page", "nested", "fixed", "prefix", "value"],
)
def test_what_expands_beyond_the_limits_is_refused(
    make: Callable[[], bytes], limits: dict[str, int], found: str
) -> None:
    error = refusal(make(), PARQUET, limits=ReadLimits(**limits))
    assert error.rule == "file_is_within_limits"
    assert found in error.found


def test_nested_columns_of_an_ordinary_size_are_read() -> None:
    column = pa.array([[{"k": "status", "v": ["open"] * (number % 4)}] for number in range(20_000)])
    out = read(written(pa.table({"a": column})), PARQUET)
    assert out.columns["a"].to_list() == column.to_pylist()


def test_a_page_header_that_cannot_be_read_refuses_the_file() -> None:
    content = bytearray(written(pa.table({"a": ["x"] * 10})))
    content[4:8] = b"\xff\xff\xff\xff"
    error = refusal(bytes(content), PARQUET)
    assert (error.rule, "page header" in error.found) == ("file_is_readable", True)


def _zigzag(number: int) -> bytes:
    """As Thrift writes a number that is not negative."""
    left, out = number << 1, b""
    while left > 127:
        out += bytes([left & 127 | 128])
        left >>= 7
    return out + bytes([left])


def as_of_an_old_writer(uncounted: int) -> bytes:
    """Parquet whose footer names an early writer and does not count that many bytes of a column's pages."""
    content = written(pa.table({"a": ["x", "yy"] * 50}), compression="none")
    metadata = pq.read_metadata(io.BytesIO(content))
    size = metadata.row_group(0).column(0).total_compressed_size
    name = metadata.created_by.encode()
    old = b"parquet-mr version 1.2.8 (build".ljust(len(name) - 1) + b")"
    said, less = _zigzag(size), _zigzag(size - uncounted)
    assert len(said) == len(less) and content.count(b"\x16" + said + b"\x16" + said) == 1
    content = content.replace(b"\x16" + said + b"\x16" + said, b"\x16" + said + b"\x16" + less)
    return content.replace(name, old)


def test_old_writers_that_do_not_count_the_header_of_a_dictionary_are_read() -> None:
    assert [row[0] for row in read(as_of_an_old_writer(14), PARQUET).rows] == ["x", "yy"] * 50


def test_pages_that_end_far_behind_what_the_footer_says_are_damage() -> None:
    content = written(pa.table({"a": [f"{number:0300}" for number in range(9)]}), compression="none")
    size = pq.read_metadata(io.BytesIO(content)).row_group(0).column(0).total_compressed_size
    said, less = b"\x16" + _zigzag(size), b"\x16" + _zigzag(size - 200)
    assert refusal(content.replace(said + said, said + less), PARQUET).rule == "file_is_readable"
