"""Content decides what a file is; what was declared must agree; archives hold one file."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from etl_platform.readers import (
    CsvOptions,
    FormatOptions,
    JsonOptions,
    ParquetOptions,
    ReadLimits,
    Sniffed,
    read_file,
    sniff,
)
from etl_platform_tests.support.hostile_files import encrypted_parquet
from etl_platform_tests.unit.readers.reading import read, refusal


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), buffer)
    return buffer.getvalue()


CSV, JSON = b"a,b\n1,2\n", b'{"a":1}\n'
XLSX = zipped(("[Content_Types].xml", b"<Types/>"), ("xl/workbook.xml", b"<workbook/>"))
HTML = b"\n<!DOCTYPE html><html><body>Service unavailable</body></html>"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CSV, Sniffed("csv", "none")),
        (JSON, Sniffed("json", "none")),
        (b'\xef\xbb\xbf [\n {"a":1}]', Sniffed("json", "none")),
        (JSON.decode().encode("utf-16"), Sniffed("json", "none")),
        (b"[id],{name}\n1,2\n", Sniffed("csv", "none")),
        (b"{},0,A\n", Sniffed("csv", "none")),
        (b"[1] ;x\n", Sniffed("csv", "none")),
        (b"{}0,A\n", Sniffed("csv", "none")),
        (b'{"a":1}x\n', Sniffed("json", "none")),
        (b'{},\n{"a":1}\n', Sniffed("json", "none")),
        (b'{"a":1}{"a":2}', Sniffed("json", "none")),
        (parquet(), Sniffed("parquet", "none")),
        (b"", Sniffed("empty", "none")),
        (HTML, Sniffed("html", "none")),
        (b"<?xml version='1.0'?><a/>", Sniffed("xml", "none")),
        (b"%PDF-1.7\n", Sniffed("pdf", "none")),
        (XLSX, Sniffed("excel", "zip")),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), Sniffed("excel", "none")),
        (bytes(range(256)) * 4, Sniffed("binary", "none")),
        (gzip.compress(CSV), Sniffed("csv", "gzip")),
        (zstandard.compress(JSON), Sniffed("json", "zstd")),
        (zipped(("x", CSV)), Sniffed("csv", "zip")),
        (zipped(("x", zipped(("y", CSV)))), Sniffed("archive", "zip")),
        (b"\x1f\x8bgarbage", Sniffed("archive", "gzip")),
        (b"BZh91AY&SY....", Sniffed("archive", "none")),
    ],
)
def test_content_decides(content: bytes, expected: Sniffed, tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet.csv.json"
    path.write_bytes(content)
    assert sniff(path) == expected


@pytest.mark.parametrize(
    ("content", "options", "found"),
    [
        (HTML, CsvOptions(), "html"),
        (gzip.compress(HTML), CsvOptions(), "html in gzip"),
        (XLSX, CsvOptions(), "excel"),
        (b"%PDF-1.7\n", CsvOptions(), "pdf"),
        (parquet(), CsvOptions(), "parquet"),
        (JSON, CsvOptions(), "json"),
        (parquet(), JsonOptions(), "parquet"),
        (CSV, JsonOptions(), "csv"),
        (HTML, JsonOptions(), "html"),
        (CSV, ParquetOptions(), "csv"),
        (gzip.compress(CSV), ParquetOptions(), "csv in gzip"),
        (b"BZh91AY&SY....", CsvOptions(), "archive"),
    ],
)
def test_lying_content_is_refused_and_named(content: bytes, options: FormatOptions, found: str) -> None:
    error = refusal(content, options)
    assert error.rule == "file_is_in_declared_format"
    assert found in error.found


@pytest.mark.parametrize(
    "content", [gzip.compress(JSON), zstandard.compress(JSON), zipped(("x", JSON)), zipped(("d/", b""), ("d/x", JSON))]
)
def test_compressed_json_is_read(content: bytes) -> None:
    assert read(content, JsonOptions()).rows == [("1",)]


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress, lambda content: zipped(("x.parquet", content))])
def test_compressed_parquet_is_read_and_leaves_nothing_behind(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "delivered"
    path.write_bytes(packed(parquet()))
    batches = list(read_file(path, subject="file x", options=ParquetOptions()))
    assert [row for batch in batches for row in batch.columns.rows()] == [(1,)]
    assert list(tmp_path.iterdir()) == [path]


def test_several_gzip_members_are_one_file() -> None:
    assert read(gzip.compress(b"a,b\n1,") + gzip.compress(b"2\n"), CsvOptions()).rows == [("1", "2")]


SKIPPED = b"\x50\x2a\x4d\x18\x05\0\0\0hello"


@pytest.mark.parametrize(
    "content",
    [
        zstandard.compress(b"a,b\n1,") + zstandard.compress(b"2\n"),
        SKIPPED + zstandard.compress(b"a,b\n1,2\n"),
        zstandard.compress(b"") + zstandard.compress(b"a,b\n1,") + SKIPPED + zstandard.compress(b"2\n") + SKIPPED,
    ],
)
def test_several_zstd_frames_are_one_file_and_skippable_ones_are_none_of_it(content: bytes) -> None:
    assert read(content, CsvOptions()).rows == [("1", "2")]


@pytest.mark.parametrize(
    "name", ["__MACOSX/._day.csv", ".DS_Store", "d/.DS_Store", "Thumbs.db", "d/desktop.ini", "d/._x"]
)
def test_files_of_the_system_in_a_zip_are_not_seen(name: str) -> None:
    assert read(zipped((name, b"x"), ("d/day.csv", CSV), ("d/", b"")), CsvOptions()).rows == [("1", "2")]


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_encrypted_parquet_is_called_encrypted(plaintext_footer: bool) -> None:
    error = refusal(encrypted_parquet(plaintext_footer=plaintext_footer), ParquetOptions())
    assert (error.rule, error.found) == ("file_is_readable", "encrypted Parquet")


def test_an_encrypted_zip_is_called_encrypted() -> None:
    assert refusal(encrypted(), CsvOptions()).found == "an encrypted zip"


def encrypted() -> bytes:
    content = bytearray(zipped(("x", CSV)))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (zipped(("a", CSV), ("b", CSV)), "archive_holds_one_file"),
        (zipped(), "archive_holds_one_file"),
        (zipped((".DS_Store", b"x")), "archive_holds_one_file"),
        (SKIPPED, "file_is_not_empty"),
        (zipped(("../a", CSV)), "archive_holds_one_file"),
        (zipped(("/etc/a", CSV)), "archive_holds_one_file"),
        (zipped(("x\\..\\..\\a", CSV)), "archive_holds_one_file"),
        (zipped(("a", zipped(("b", CSV)))), "archive_holds_one_file"),
        (zipped(("a", gzip.compress(CSV))), "archive_holds_one_file"),
        (gzip.compress(gzip.compress(CSV)), "archive_holds_one_file"),
        (gzip.compress(zipped(("a", CSV))), "archive_holds_one_file"),
        (zstandard.compress(gzip.compress(CSV)), "archive_holds_one_file"),
        (zipped(*((f"f{n}", b"") for n in range(20_000))), "archive_holds_one_file"),
        (zipped(("a", CSV), method=zipfile.ZIP_LZMA), "file_is_readable"),
        (encrypted(), "file_is_readable"),
        (zipped(("a", CSV * 1000))[:-30], "file_is_readable"),
        (zipped(("a", CSV), method=zipfile.ZIP_STORED).replace(b"1,2", b"1,3"), "file_is_readable"),
        (gzip.compress(CSV)[:-4], "file_is_complete"),
        (gzip.compress(CSV * 1000)[:-20], "file_is_complete"),
        (zstandard.compress(CSV * 1000)[:-2], "file_is_complete"),
        (gzip.compress(CSV)[:-8] + bytes(8), "file_is_readable"),
        (gzip.compress(CSV) + b"tail", "file_is_readable"),
        (gzip.compress(b""), "file_is_not_empty"),
        (zipped(("a", b"")), "file_is_not_empty"),
    ],
)
def test_damaged_or_odd_archive_is_refused(content: bytes, rule: str) -> None:
    assert refusal(content, CsvOptions()).rule == rule


def test_small_regular_file_is_no_bomb() -> None:
    content = b"a,b\n" + b"1,2\n" * 100_000
    assert len(read(gzip.compress(content), CsvOptions()).rows) == 100_000


def test_content_beyond_the_limit_is_refused() -> None:
    limits = ReadLimits(decompressed_bytes=1000)
    assert (
        refusal(gzip.compress(b"a,b\n" + b"1,2\n" * 1000), CsvOptions(), limits=limits).rule == "file_is_within_limits"
    )
