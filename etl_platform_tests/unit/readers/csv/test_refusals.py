"""CSV files that are refused whole: each with its rule, and a message that helps."""

from __future__ import annotations

import pytest

from etl_platform.errors import ConfigurationError
from etl_platform.readers import CsvOptions, ReadLimits
from etl_platform_tests.unit.readers.reading import read, refusal, small_blocks

PLAIN = CsvOptions()


@pytest.mark.parametrize(
    ("content", "options", "rule", "found"),
    [
        (b"", PLAIN, "file_is_not_empty", "0 bytes"),
        (b"\n\r\n\n", PLAIN, "file_is_not_empty", "no header"),
        (b"\xef\xbb\xbf", PLAIN, "file_is_not_empty", "no header"),
        (b"# only\n", CsvOptions(comment="#"), "file_is_not_empty", "no header"),
        (b"\n", CsvOptions(header=False, columns=("a", "b")), "file_is_not_empty", "no header and no row"),
        (b"a,b,a\n1,2,3\n", PLAIN, "header_names_are_unique", "'a'"),
        (b"a,,\n1,2,3\n", PLAIN, "header_names_are_unique", "''"),
        (b'a,b\n1,2\n3,"4\n5\n', PLAIN, "quotes_are_closed", "line 3"),
        (b'a,b\n1,"x\n2,"y",z\n', PLAIN, "quotes_are_closed", "line 2"),
        (b'a,b\n1,2\n3,"cut off', PLAIN, "quotes_are_closed", "line 3"),
        (b"a\0,b\n1,2\n", PLAIN, "file_is_readable", "broken header"),
        (b"ab\0" + "é".encode() * 200 + b",b\n", PLAIN, "file_is_readable", "broken header"),
        (b'"a"x,b\n1,2\n', PLAIN, "file_is_readable", "broken header"),
        ("a,b\n1,ä\n2,é\n".encode("cp1252"), PLAIN, "file_is_in_declared_encoding", "line 2: byte 0xe4"),
        ("a,b\n1,ä\n".encode("utf-16"), PLAIN, "file_is_in_declared_encoding", "line 1: byte 0xff"),
        ("a,b\n".encode("utf-16-le") + b"\0\xdc", CsvOptions(encoding="utf-16"), "file_is_in_declared_encoding", "BOM"),
        (b"a,b\n1,\x81\n", CsvOptions(encoding="cp1252"), "file_is_in_declared_encoding", "line 2: byte 0x81"),
        (b"a,b\n1,\xc3", PLAIN, "file_is_in_declared_encoding", "line 2: byte 0xc3"),
        (",".join(f"c{n}" for n in range(10_001)).encode(), PLAIN, "file_is_within_limits", "10000 columns"),
    ],
)
def test_refused_with_rule_and_place(content: bytes, options: CsvOptions, rule: str, found: str) -> None:
    error = refusal(content, options)
    assert error.rule == rule
    assert found in error.found


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_of_a_wrong_byte_is_right_across_chunks(encoding: str, end: str) -> None:
    lines = [f"{number},x{end}" for number in range(300)]
    wrong = {"utf-8": b"\xff", "utf-16": b"\x00\xdc", "shift_jis": b"\x81\x01"}[encoding]
    content = "".join(lines[:200]).encode(encoding) + wrong + "".join(lines[200:]).encode(encoding)
    with small_blocks(7):
        error = refusal(content, CsvOptions(encoding=encoding))
    assert error.rule == "file_is_in_declared_encoding"
    assert "line 201:" in error.found


def test_endless_record_is_refused_in_bounded_memory() -> None:
    limits = ReadLimits(field_bytes=100_000)
    error = refusal(b"a,b\n" + b"x" * 5_000_000, PLAIN, limits=limits)
    assert (error.rule, error.found[:6]) == ("file_is_within_limits", "line 2")
    with small_blocks(10_000):
        error = refusal(b'a,b\n1,2\n1,"' + b"x\n" * 2_500_000, PLAIN, limits=limits)
    assert (error.rule, error.found[:6]) == ("quotes_are_closed", "line 3")


@pytest.mark.parametrize(
    "options",
    [
        CsvOptions(delimiter='"'),
        CsvOptions(delimiter="\n"),
        CsvOptions(encoding="klingon"),
        CsvOptions(encoding="zlib"),
        CsvOptions(header=False),
        CsvOptions(trailer="T,(?P<rows"),
        CsvOptions(trailer="T,.*"),
        CsvOptions(trailer="(?P<count>.*)"),
    ],
)
def test_impossible_options_are_a_configuration_error(options: CsvOptions) -> None:
    with pytest.raises(ConfigurationError):
        read(b"a,b\n1,2\n", options)
