"""Quotes that belong to nobody never make a row vanish, and never give it the values of another."""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from etl_platform.errors import FileRefusedError
from etl_platform.readers import CsvOptions, ReadLimits
from etl_platform_tests.support.delivered import deliver
from etl_platform_tests.support.hostile_files import BOOKINGS, booking
from etl_platform_tests.support.stray_quotes import Record, StrayFile, stray_file
from etl_platform_tests.unit.readers.reading import read, refusal, small_blocks

PLAIN = CsvOptions()
# The cell of line 3 is cut off; the quote in line 7 would close it.
STRAY = 'id,at,note\n1,a,card\n2,b,"Rent for flat 12 J\n3,c,card\n4,d,""\n5,e,card\n6,f,pipe 5"\n7,g,card\n'


def as_stands(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


@dataclass
class Told:
    """What became of generated files."""

    loaded: int = 0
    good: int = 0
    good_refused: int = 0
    files_refused: int = 0
    wrong: list[tuple[int, Record | tuple[str | None, ...]]] = field(default_factory=list)

    def take(self, seed: int, file: StrayFile) -> None:
        """Every record is loaded as it was meant, or its lines stand in quarantine; nothing else is loaded."""
        try:
            out = read(file.content, file.options)
        except FileRefusedError:
            self.files_refused += 1
            return
        rows = Counter(out.rows)
        quarantined = set(as_stands("\n".join(out.rejects["raw"])).split("\n"))
        for record in file.records:
            self.good += record.is_good
            if rows[record.values]:
                rows[record.values] -= 1
                self.loaded += 1
                continue
            self.good_refused += record.is_good
            if not {line for text in record.lines for line in as_stands(text).split("\n") if line} <= quarantined:
                self.wrong.append((seed, record))
        self.wrong += [(seed, row) for row in rows.elements()]


def told(seeds: range, share: float | None = None) -> Told:
    result = Told()
    for seed in seeds:
        result.take(seed, stray_file(seed, share))
    return result


def hold(result: Told, files: int) -> None:
    assert result.wrong == []
    assert result.loaded > 0.9 * result.good
    assert result.good_refused < 0.02 * result.good
    assert result.files_refused < 0.08 * files


def test_no_row_vanishes_and_none_is_bent() -> None:
    hold(told(range(300)), 300)


@pytest.mark.long
def test_no_row_vanishes_and_none_is_bent_in_10000_files() -> None:
    hold(told(range(10_000, 20_000)), 10_000)


def test_text_over_several_lines_loads_from_files_without_a_defect() -> None:
    result = told(range(50), share=0)
    assert (result.wrong, result.files_refused) == ([], 0)
    assert result.good_refused < 0.005 * result.good  # those whose last line looks like a record


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("between", [1, 3, 4000])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_a_cut_off_cell_does_not_pair_with_a_later_quote(end: str, between: int, order: tuple[int, ...]) -> None:
    rows = [("0", "a", "card"), ("1", "b", '"Rent for flat 12 J')]
    rows += [(str(number), "c", "card") for number in range(2, between + 2)] + [("x", "d", 'pipe 5"'), ("y", "e", "z")]
    lines = [",".join(row[column] for column in order) for row in [("id", "at", "note"), *rows]]
    out = read(gzip.compress(end.join(lines).encode()), PLAIN)
    assert out.columns.select("id", "at", "note").rows() == [row for row in rows if row[0] != "1"]
    assert out.verdicts == [(3, "quotes_are_closed")]
    assert out.rejects["raw"].to_list() == [lines[2]]
    assert out.source_rows == [2, *range(4, len(lines) + 1)]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_nobody_can_tell_a_cut_off_cell_from_a_text_that_ends_on_the_next_line(order: tuple[int, ...]) -> None:
    rows = [("id", "at", "note"), ("1", "b", '"Rent for flat 12 J'), ("2", "d", 'pipe 5"'), ("3", "e", "z")]
    lines = [",".join(row[column] for column in order) for row in rows]
    out = read("\n".join(lines).encode(), PLAIN)
    assert out.columns.select("id", "at", "note").rows() == [rows[3]]
    assert out.rejects["raw"].to_list() == ["\n".join(lines[1:3])]
    assert "multiline: trusted" in out.rejects["found"][0]
    assert len(read("\n".join(lines).encode(), CsvOptions(multiline="trusted")).rows) == 2


@pytest.mark.parametrize(
    ("header", "record"),
    [
        ("id,note,amount", '7,"Rent for March\nflat 3, house 4",12.50'),
        ("id,note,amount", '7,"Rent, for March\nflat 3, house 4",12.50'),
        ("id,note,amount", '7,"Rent for March\n\nflat 3, house 4",12.50'),
        ("id,note,amount", '7,"Rent, heating\nfor March\nflat 3, house 4",12.50'),
        ("id,note,amount", '7,"Rent for March\n""flat"", 3\nin, house 4",12.50'),
        ("id,amount,note", '7,12.50,"Rent for March\nflat 3, house 4, left"'),
        ("id,account,note,amount,currency", '7,A,"Rent\nflat 3, house 4, left",12.50,EUR'),
        ("note,id", '"Rent, heating\nflat 3",7'),
        ("note,id,amount", '"Rent, heating, water\nflat 3",7,12.50'),
        ("id,note,amount", '7,"Rent\nheating, water, oil\nfor March\nflat 3, house 4",12.50'),
        ("id,note,place", '7,"Rent\nflat 3, house 4","Main street\n5, left"'),
        ('"id","note","amount"', '"7","Rent for March\nflat 3, house 4",12.50'),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_no_line_of_a_text_is_loaded_where_nobody_can_tell(header: str, record: str, end: str) -> None:
    width = header.count(",") + 1
    before, after = (",".join(name * width) for name in "xy")
    out = read("\n".join([header, before, record, after]).replace("\n", end).encode(), PLAIN)
    assert out.rows == [("x",) * width, ("y",) * width]
    assert out.rejects["raw"].to_list() == [record.replace("\n", end)]
    assert out.verdicts == [(3, "quotes_are_closed")]


@pytest.mark.parametrize(
    ("header", "record", "row"),
    [
        (
            "id,note,amount",
            '7,"Rent\nfor March\nflat 3, house 4",12.50',
            ("7", "Rent\nfor March\nflat 3, house 4", "12.50"),
        ),
        ("note,id", '"Rent\nflat 3",7', ("Rent\nflat 3", "7")),
        ('"id","note","amount"', '"7","Rent, heating\nflat 3, 4","1"', ("7", "Rent, heating\nflat 3, 4", "1")),
        ('"id","amount","note"', '"7","""1""","Rent\na, b, c"', ("7", '"1"', "Rent\na, b, c")),
        ('"note","id"', '"Rent, heating\nflat 3","7"', ("Rent, heating\nflat 3", "7")),
    ],
)
def test_text_whose_last_line_looks_like_a_record_loads_where_it_can_be_known(
    header: str, record: str, row: tuple[str, ...]
) -> None:
    out = read(f"{header}\n{record}\n{record}".encode(), PLAIN)
    assert (out.rows, out.verdicts) == ([row, row], [])


@pytest.mark.parametrize("header", ["id,note", '"id","note"'])
def test_a_comment_is_no_end_of_a_text(header: str) -> None:
    out = read(f'{header}\n"1","cut\n# pipe 5"\n2,x\n'.encode(), CsvOptions(comment="#"))
    assert out.rows == [("2", "x")]
    assert out.rejects["raw"].to_list() == ['"1","cut\n# pipe 5"']


def test_the_text_behind_a_doubted_field_is_doubted_too() -> None:
    """The quote that closes the field may be the one that opens the text."""
    out = read(b'note,id\n"card,1\n", pipe\nflat",2\nx,3\n', PLAIN)
    assert out.rows == [("x", "3")]
    assert out.rejects["raw"].to_list() == ['"card,1\n", pipe', 'flat",2']


def test_a_text_whose_quotes_are_not_doubled_is_never_loaded_in_part() -> None:
    first, second = '1,"a "so" b\nflat 3, house 4",2', '2,", a\n\nflat 3, house 4"","3"'
    out = read(f"id,note,amount\n{first}\n{second}\n3,x,4\n".encode(), PLAIN)
    assert out.rows == [("3", "x", "4")]
    assert "\n".join(out.rejects["raw"]) == f"{first}\n{second}".replace("\n\n", "\n")  # but for the blank line


@pytest.mark.parametrize("size", [1, 2, 5, 16, 33, 64])
def test_block_boundaries_change_nothing(size: int) -> None:
    content = (STRAY + '8,h,"ok"\n9,i,"he said "so"\nand went"\n10,j,"x\n"\n11,k,"pipe 5"\nlong"\n12,l,end\n').encode()
    whole = read(content, PLAIN)
    with small_blocks(size):
        out = read(content, PLAIN)
    assert (out.rows, out.raw, out.source_rows) == (whole.rows, whole.raw, whole.source_rows)
    assert out.rejects.equals(whole.rejects)
    assert [row[0] for row in out.rows] == ["1", "3", "4", "5", "6", "7", "8", "10", "12"]


def test_quotes_in_every_cell() -> None:
    content = b'"id","note"\n"1","Rent for\n"2","card"\n"3",""\n"4","pipe 5""\n"5","card"\n"6","end"\n'
    out = read(content, PLAIN)
    assert out.rows == [("2", "card"), ("3", ""), ("5", "card"), ("6", "end")]
    assert out.verdicts == [(2, "quotes_are_closed"), (5, "quotes_are_closed")]


def test_an_escaped_quote_at_the_end_of_a_cell() -> None:
    out = read(b'id,note\n1,"pipe 5\\""\n2,"a \\"b\\" c"\n3,"C:\\"\n4,x\n', PLAIN)
    assert out.rows == [("3", "C:\\"), ("4", "x")]
    assert out.verdicts == [(2, "quotes_are_closed"), (3, "quotes_are_closed")]


def test_never_closed_with_records_behind_it_is_that_row_alone() -> None:
    out = read(b'id,note\n1,a\n2,"cut\n3,b\n\n4,c\n', PLAIN)
    assert out.rows == [("1", "a"), ("3", "b"), ("4", "c")]
    assert out.rejects["raw"].to_list() == ['2,"cut']


def test_never_closed_in_a_whole_last_line_is_that_row_alone() -> None:
    assert read(b'id,note\n1,a\n2,"cut\n', PLAIN).verdicts == [(3, "quotes_are_closed")]
    assert refusal(b'id,note\n1,a\n2,"cut', PLAIN).rule == "quotes_are_closed"


def test_never_closed_is_found_out_within_the_limit_of_a_record() -> None:
    content = b'id,note\n1,"cut\n' + b"2,x\n" * 50_000
    with small_blocks(10_000):
        out = read(content, PLAIN, limits=ReadLimits(field_bytes=50_000))
    assert out.verdicts == [(2, "quotes_are_closed")]
    assert len(out.rows) == 50_000


def test_text_over_several_lines_still_loads() -> None:
    content = b'id,note,x\n1,"first, of all\n\nsecond, third\n",a\n2,"a\nb",b\n3,"a ""b""\r\nc",c\n'
    assert [row[1] for row in read(content, PLAIN).rows] == [
        "first, of all\n\nsecond, third\n",
        "a\nb",
        'a "b"\r\nc',
    ]


def test_text_over_several_lines_in_the_first_column_still_loads() -> None:
    assert read(b'note,id\n"a\nb",1\n"c\nd\ne",2\n', PLAIN).rows == [("a\nb", "1"), ("c\nd\ne", "2")]


def test_trusted_text_is_taken_as_it_stands() -> None:
    out = read(STRAY.encode(), CsvOptions(multiline="trusted"))
    assert [row[0] for row in out.rows] == ["1", "2", "7"]
    assert out.rejects.is_empty()


def test_one_column_has_nothing_to_tell_a_record_by() -> None:
    assert read(b'note\n"a\nb"\nc\n', PLAIN).rows == [("a\nb",), ("c",)]


def test_an_inch_mark_behind_a_broken_row_is_text() -> None:
    assert read(b'id,note\n1,"a"b\n2,pipe 5"\n3,"x"\n4,5"\n', PLAIN).rows == [("2", 'pipe 5"'), ("3", "x"), ("4", '5"')]


def test_places_where_quotes_are_wrong_are_counted(tmp_path: Path) -> None:
    good, cut = BOOKINGS + booking(1), BOOKINGS + booking(2) + booking(3, '"cut') + booking(4, 'pipe 5"')
    unread = BOOKINGS + 'T5,"cut'
    assert deliver([good.encode()], tmp_path / "good", PLAIN, dataset="transactions").result.wrong_quotes == 0
    out = deliver([text.encode() for text in (good, cut, unread)], tmp_path / "bad", PLAIN, dataset="transactions")
    assert out.result.wrong_quotes == 1
    assert out.broken == [(3, ["quotes_are_closed"]), (None, ["quotes_are_closed"])]
