"""CSV row by row: what text comes out, which line it came from, which rows are rejected alone."""

from __future__ import annotations

import polars as pl
import pytest

from etl_platform.readers import CsvOptions
from etl_platform_tests.unit.readers.reading import read, small_blocks

PLAIN = CsvOptions()


def test_text_survives_as_written() -> None:
    out = read(b'id,note,amount\n007,NA,1.10\n08,null,1e5\n+9, x ,"1,000"\n', PLAIN)
    assert out.rows == [("007", "NA", "1.10"), ("08", "null", "1e5"), ("+9", " x ", "1,000")]
    assert set(out.columns.dtypes) == {pl.String}


def test_missing_is_null_and_quoted_empty_is_empty() -> None:
    assert read(b'a,b\n,""\n"",\n', PLAIN).rows == [(None, ""), ("", None)]


@pytest.mark.parametrize(
    "names", [["a", "b"], ["a", ""], ["", "\t", " a "], ["NULL", "é", "\\"], ["\x0b", "\u2028", "\x85"], ["a"]]
)
def test_a_header_reads_the_same_with_and_without_quotes(names: list[str]) -> None:
    row = ",".join("1" * len(names))
    header, in_quotes = ",".join(names), ",".join(f'"{name}"' for name in names)
    plain, quoted = (read(f"{line}\n{row}\n".encode(), PLAIN) for line in (header, in_quotes))
    assert plain.columns.columns == quoted.columns.columns == names
    assert plain.rows == quoted.rows == [tuple("1" * len(names))]


@pytest.mark.parametrize("size", [1, 8, 1_000])
def test_a_byte_order_mark_in_front_of_a_row_is_text_of_its_first_field(size: int) -> None:
    with small_blocks(size):
        out = read('\ufeffa,b\n\ufeffx,1\n\ufeff"y",2\n\ufeff\ufeffz,3\n'.encode(), PLAIN)
    assert out.columns.columns == ["a", "b"]
    assert out.rows == [("\ufeffx", "1"), ('\ufeff"y"', "2"), ("\ufeff\ufeffz", "3")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_understood(end: str) -> None:
    out = read(end.join(["a,b", "1,2", "3,4"]).encode(), PLAIN)
    assert out.rows == [("1", "2"), ("3", "4")]
    assert out.source_rows == [2, 3]


def test_line_numbers_hold_across_embedded_line_ends_comments_blanks_and_rejects() -> None:
    content = b'# made by x "\na,b\n1,"x\ny"\n\n# c\n2,z\n3\n"4\r\n",w\r\n5,v'
    out = read(content, CsvOptions(comment="#"))
    assert out.rows == [("1", "x\ny"), ("2", "z"), ("4\r\n", "w"), ("5", "v")]
    assert out.source_rows == [3, 7, 9, 11]
    assert out.verdicts == [(8, "row_has_all_fields")]
    assert out.raw == ['1,"x\ny"', "2,z", '"4\r\n",w', "5,v"]


def test_line_inside_a_quoted_field_is_no_comment() -> None:
    out = read(b'"a\n#","b"\n1,"x\n#y","z"\n# "\n"3\n#","4"\n', CsvOptions(comment="#"))
    assert out.columns.columns == ["a\n#", "b"]
    assert out.rows == [("3\n#", "4")]
    # A comment behind a cell that was cut off, or the end of a text: nobody can tell.
    assert out.verdicts == [(3, "quotes_are_closed")]


@pytest.mark.parametrize("size", range(1, 40))
def test_block_boundaries_change_nothing(size: int) -> None:
    content = '\ufeffä,b\r\n1,"x\r\n""y"""\r\n\r\n5" p,é\r\n"ab"c,2\r\n7\r\nn\0,2\r\n,""'.encode()
    with small_blocks(size):
        out = read(content, PLAIN)
    assert out.columns.columns == ["ä", "b"]
    assert out.rows == [("1", 'x\r\n"y"'), ('5" p', "é"), (None, "")]
    assert out.source_rows == [2, 5, 9]
    assert out.raw == ['1,"x\r\n""y"""', '5" p,é', ',""']
    assert out.verdicts == [(6, "quotes_are_closed"), (7, "row_has_all_fields"), (8, "text_has_no_nul")]


def test_ragged_rows_are_rejected_alone_with_raw_text_and_reason() -> None:
    out = read(b'a,b,c\n1,2,3\n1,2\n1,"2,",3,4\n4,5,6\n', PLAIN)
    assert out.source_rows == [2, 5]
    assert out.rejects.rows() == [
        (3, "row_has_all_fields", "2 fields, expected 3", "1,2"),
        (4, "row_has_all_fields", "4 fields, expected 3", '1,"2,",3,4'),
    ]


def test_row_with_nul_is_rejected_alone_and_its_raw_text_can_be_stored() -> None:
    out = read(b"a,b\n1,x\0y\n2,z\n", PLAIN)
    assert out.rows == [("2", "z")]
    assert out.rejects.rows() == [(2, "text_has_no_nul", "a NUL byte", "1,x␀y")]


def test_quote_inside_an_unquoted_field_is_text() -> None:
    out = read(b'a,b\n5" pipe,7"" x\n"q""q",2\n', PLAIN)
    assert out.rows == [('5" pipe', '7"" x'), ('q"q', "2")]


def test_blank_line_is_a_missing_value_only_where_there_is_one_column() -> None:
    assert read(b"a\n1\n\n2\n", PLAIN).rows == [("1",), (None,), ("2",)]
    assert read(b"a,b\n1,2\n\n3,4\n", PLAIN).rows == [("1", "2"), ("3", "4")]


def test_header_alone_gives_columns_and_no_rows() -> None:
    out = read(b"a,b\n", PLAIN)
    assert out.columns.columns == ["a", "b"]
    assert out.rows == []


def test_file_without_header_takes_its_names_from_the_options() -> None:
    out = read(b"1,2\n3,4\n", CsvOptions(header=False, columns=("x", "y")))
    assert out.columns.to_dict(as_series=False) == {"x": ["1", "3"], "y": ["2", "4"]}
    assert out.source_rows == [1, 2]


def test_header_names_are_kept_as_text() -> None:
    assert read(b'007,"a ""b""", c\n1,2,3\n', PLAIN).columns.columns == ["007", 'a "b"', " c"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|", "§", "\x1f"])
@pytest.mark.parametrize("quote", ["'", "“"])
def test_any_delimiter_and_quote(delimiter: str, quote: str) -> None:
    value = f"x{delimiter}y{quote}z\x1e\x1f"
    content = f"a{delimiter}b\n1{delimiter}{quote}{value.replace(quote, quote * 2)}{quote}\n1\n".encode()
    out = read(content, CsvOptions(delimiter=delimiter, quote=quote))
    assert out.rows == [("1", value)]
    assert out.raw == [content.decode().split("\n")[1]]
    assert out.verdicts == [(3, "row_has_all_fields")]


def test_batches_hold_at_most_the_asked_rows() -> None:
    content = b"a,b\n" + b"".join(b"%d,x\n" % number for number in range(250)) + b"bad\n"
    out = read(content, PLAIN, batch_rows=100)
    assert out.heights == [100, 100, 50]
    assert out.source_rows == list(range(2, 252))
    assert out.raw[249] == "249,x"
    assert out.verdicts == [(252, "row_has_all_fields")]


def test_raw_text_of_a_giant_row_is_cut() -> None:
    out = read(b"a,b\n" + "é".encode() * 50_000 + b",1\n", PLAIN)
    assert len(out.raw[0]) == 16_384
    assert out.raw[0].endswith("é…")


def test_raw_gives_any_rows_in_any_order() -> None:
    import tempfile
    from pathlib import Path

    from etl_platform.readers import read_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        path.write_bytes(b"a,b\n1,x\n2,y\n3,z\n")
        (batch,) = read_file(path, subject="s", options=PLAIN)
    assert batch.raw(pl.Series([2, 0, 2], dtype=pl.UInt32)).to_list() == ["3,z", "1,x", "3,z"]
    assert batch.raw(pl.Series([], dtype=pl.UInt32)).to_list() == []


def test_a_column_without_a_name_keeps_that_name() -> None:
    assert read(b",open\n2025-01-15,1\n", PLAIN).columns.columns == ["", "open"]
