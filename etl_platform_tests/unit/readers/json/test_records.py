"""JSON record by record: values exactly as sent, broken lines rejected alone."""

from __future__ import annotations

import time

import polars as pl
import pytest

from etl_platform.errors import ConfigurationError
from etl_platform.readers import JsonOptions, ReadLimits
from etl_platform.readers.json import reader as json_reader
from etl_platform_tests.unit.readers.reading import read, refusal, small_blocks

LINES = JsonOptions()


@pytest.mark.parametrize(
    "number",
    ["12.0", "1e5", "0.10", "-0", "1E-400", "12345678901234567890123.10", "0.1000000000000000055511151231257827"],
)
def test_no_number_is_bent(number: str) -> None:
    out = read(f'{{"a":{number},"b":[{number}]}}\n'.encode(), LINES)
    assert out.rows == [(number, f"[{number}]")]


def test_every_value_comes_out_as_text() -> None:
    content = (
        b'{"s":"x","t":true,"f":false,"n":null,"e":"","o":{ "k" : [1, "}"] },"u":"\\u00e9\\n\\"\\ud83d\\ude00\\/"}\n'
    )
    out = read(content, LINES)
    assert out.rows == [("x", "true", "false", None, "", '{ "k" : [1, "}"] }', 'é\n"😀/')]
    assert set(out.columns.dtypes) == {pl.String}


@pytest.mark.parametrize("rows", [2, 100])
def test_bare_values_are_known_from_strings(rows: int) -> None:
    content = b'{"a":1.0,"b":"x"}\n{"a":"1.0"}\noops\n{"b":"y"}\n{"a":null}\n{"a":true,"b":"z"}\n'
    out = read(content, LINES, batch_rows=rows)
    assert out.columns["a"].to_list() == ["1.0", "1.0", None, None, "true"]
    assert out.bare["a"].to_list() == [True, False, False, True, True]
    assert "b" not in out.bare.columns


def test_strings_that_look_like_json_stay_strings() -> None:
    out = read(b'{"a":"null","b":"1.0","c":"{\\"x\\":1,\\"y\\":2}","d":"a\\\\"}\n', LINES)
    assert out.rows == [("null", "1.0", '{"x":1,"y":2}', "a\\")]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('{"a":oops}', "line_is_json"),
        ('{"a":1', "line_is_json"),
        ('{"a":"cut', "line_is_json"),
        ('{"a":1}}', "line_is_json"),
        ("}{", "line_is_json"),
        ('{"a":1}x{"a":2}', "line_is_json"),
        ('{"a":1,}', "line_is_json"),
        ('{"a" 1}', "line_is_json"),
        ('{"a":1 "b":2}', "line_is_json"),
        ('{"a":1 2}', "line_is_json"),
        ('{"a":01}', "line_is_json"),
        ('{"a":NaN}', "line_is_json"),
        ('{"a":-Infinity}', "line_is_json"),
        ('{"a":1.}', "line_is_json"),
        ("{'a':1}", "line_is_json"),
        ("{a:1}", "line_is_json"),
        ('{"a":"tab\there"}', "line_is_json"),
        ('{"a":"\\x"}', "line_is_json"),
        ('{"a":"\\ud800"}', "line_is_json"),
        ('{"\\ud800":1}', "line_is_json"),
        ('{"a":[1,]}', "line_is_json"),
        ('{"a":[1}}', "line_is_json"),
        ('{"a":{"b":tru}}', "line_is_json"),
        ('{"a":1]', "line_is_json"),
        ("[1]", "line_is_object"),
        ("[]", "line_is_object"),
        ('"text"', "line_is_object"),
        ("42", "line_is_object"),
        ("null", "line_is_object"),
        ('{"a":1,"a":2}', "line_has_unique_keys"),
        ('{"a":1,"\\u0061":2}', "line_has_unique_keys"),
        ('{"a":"x\0"}', "text_has_no_nul"),
        ('{"a":"\\u0000"}', "text_has_no_nul"),
    ],
)
def test_bad_line_is_rejected_alone(line: str, rule: str) -> None:
    out = read(f'{{"a":"first"}}\n{line}\n\n{{"a":"last"}}\n'.encode(), LINES)
    assert out.verdicts == [(2, rule)]
    assert out.rejects["raw"].to_list() == [line.replace("\0", "␀")]
    assert out.rejects["found"].str.len_chars().min() > 0  # type: ignore[operator]
    assert out.columns["a"].to_list() == ["first", "last"]
    assert out.source_rows == [1, 4]
    assert out.raw == ['{"a":"first"}', '{"a":"last"}']


RECORD = b'{"a":"}{","b":{"c":[{}]}}'


@pytest.mark.parametrize("size", [1, 7, 30, 1_000_000])
@pytest.mark.parametrize(
    "content",
    [
        RECORD * 3,
        RECORD * 3 + b"\n",
        RECORD + b" \t" + RECORD + b"\n" + RECORD,
        RECORD + b"\r\n" + RECORD * 2,
        RECORD + b"\r" + RECORD * 2,
        RECORD.replace(b",", b",\n ") * 3,
        RECORD.replace(b",", b",\r\n") + b"\n\n" + RECORD * 2,
        b"\n" + RECORD.replace(b",", b"\r,") + RECORD + b"\r" + RECORD + b"\r",
    ],
)
def test_records_are_counted_by_their_brackets_and_not_by_line_ends(content: bytes, size: int) -> None:
    with small_blocks(size):
        out = read(content, LINES)
    assert [row[0] for row in out.rows] == ["}{"] * 3
    assert out.rejects.is_empty()
    assert len(set(out.source_rows)) == 3


LONG = b'{\n"a":"}{",\n"b":{"c":[\n{"d":1},\n{}\n]}\n}'


@pytest.mark.parametrize("size", [7, 30, 1_000_000])
@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (RECORD + b"," + RECORD + b" , " + RECORD, [1, 2, 3]),
        (RECORD + b",\n" + RECORD + b",\r\n" + RECORD + b",\n", [1, 2, 3]),
        (RECORD + b"\n," + RECORD + b"\n,\n" + RECORD, [1, 2, 4]),
        (b"[" + RECORD * 2 + b"\n" + RECORD + b"]", [1, 2, 3]),
        (b"[" + RECORD + b"," + RECORD + b" \n " + RECORD + b"]", [1, 2, 3]),
        (RECORD + b"\n" + LONG + b"\n" + LONG, [1, 2, 9]),
        (RECORD + b",\n" + LONG + b",\n" + LONG + b",\n", [1, 2, 9]),
        (RECORD + b"\n" + LONG + b"," + RECORD, [1, 2, 9]),
        (LONG + b",\n" + LONG + b" , " + RECORD + b",", [1, 2, 3]),
        ((LONG + b"\n" + LONG + b"\n" + RECORD).replace(b"\n", b"\r"), [1, 2, 3]),
    ],
)
def test_whatever_stands_between_whole_objects_they_are_records(content: bytes, rows: list[int], size: int) -> None:
    with small_blocks(size):
        out = read(content, LINES)
    assert [row[0] for row in out.rows] == ["}{"] * 3
    assert (out.source_rows, out.verdicts) == (rows, [])


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_damaged_lines_take_no_record_over_several_lines_with_them(size: int) -> None:
    damaged = [b'{"a":1,', b'{"a":[', b'{"a":"x']
    with small_blocks(size):
        out = read(b"".join(RECORD + b"\n" + line + b"\n" + LONG + b"\n" for line in damaged), LINES)
        doubled = read(RECORD + b",," + RECORD + b",\n," + RECORD, LINES)
    assert [row[0] for row in out.rows] == ["}{"] * 6
    assert out.source_rows == [1, 3, 10, 12, 19, 21]
    assert out.rejects.select("_source_row", "raw").rows() == [
        (line, text.decode()) for line, text in zip((2, 11, 20), damaged, strict=True)
    ]
    assert (doubled.source_rows, [row for row, _ in doubled.verdicts]) == ([1], [2, 3])


def test_lines_that_open_brackets_again_and_again_cost_no_more_than_their_number() -> None:
    content = b'{"a":[{"b":1},\n' * 20_000
    started = time.process_time()
    assert len(read(content, LINES).verdicts) == 20_000
    assert time.process_time() - started < 20


def test_a_file_of_one_line_is_read_in_bounded_memory() -> None:
    with small_blocks(10_000):
        out = read(RECORD * 20_000, LINES, limits=ReadLimits(field_bytes=20_000))
    assert len(out.rows) == 20_000
    assert out.heights[0] < 2_000


def test_a_cut_off_record_between_others_is_rejected_alone() -> None:
    out = read(b'{"a":1}{"a":2\n{"a":3}{"a":4}\n', LINES)
    assert out.rows == [("1",), ("3",), ("4",)]
    assert out.rejects.select("_source_row", "rule", "raw").rows() == [(2, "line_is_json", '{"a":2')]


@pytest.mark.parametrize(
    ("content", "rule", "found"),
    [
        (b'{\n"a":1}\n{\n"a":2}\n{\n"a', "file_is_complete", "cut off in record 3"),
        (b'{\n"a":1}}\n{\n"a":2}', "file_is_readable", "a bracket too many"),
        (RECORD + b"\n" + LONG.replace(b"[", b"x") + b"\n" + LONG, "file_is_readable", "from line 2 on"),
        (RECORD + b"\n" + LONG + b"\n" + LONG[:-9], "file_is_complete", "cut off in the record of line 9"),
        (b'{\n"a":1}\n{\n"a":"x}\n{\n"a":"2"}\n{\n"b":"y}', "file_is_readable", "not closed on its line"),
    ],
)
def test_damage_among_records_over_several_lines_refuses_the_file(content: bytes, rule: str, found: str) -> None:
    error = refusal(content, LINES)
    assert error.rule == rule
    assert found in error.found


def test_a_cut_off_first_line_does_not_make_the_lines_one_record() -> None:
    assert read(b'{"a":1\n{"a":2}\n', LINES).verdicts == [(1, "line_is_json")]


def test_cut_last_line_is_rejected_alone() -> None:
    out = read(b'{"a":1}\r\n{"a":2}\r\n{"a', LINES)
    assert out.rows == [("1",), ("2",)]
    assert out.verdicts == [(3, "line_is_json")]


def test_expected_columns_are_always_there_and_new_keys_are_never_lost() -> None:
    content = b'{"b":1}\n{"b":2,"late":"x"}\n{}\n'
    with small_blocks(8):
        out = read(content, LINES, expected_columns=("a", "b"))
    assert out.columns.to_dict(as_series=False) == {
        "a": [None, None, None],
        "b": ["1", "2", None],
        "late": [None, "x", None],
    }
    assert read(b"[]", LINES, expected_columns=("a",)).columns.schema == {"a": pl.String()}


def test_records_without_any_key_are_still_rows() -> None:
    assert read(b"{}\n{}\n", LINES).source_rows == [1, 2]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 64, 1_000_000])
def test_array_is_read_like_lines_wherever_blocks_end(size: int) -> None:
    content = b'\n[{"a":1},\n {"a":\n  "}],[{"},{"a":oops},7, {"a":{"b":[1,{}]}} ,{"a":"x\ny"},{"a":"q\\"]"}]\n '
    with small_blocks(size):
        out = read(content, LINES)
    assert out.rows == [("1",), ("}],[{",), ('{"b":[1,{}]}',), ('q"]',)]
    assert out.source_rows == [1, 2, 5, 7]
    assert out.verdicts == [(3, "line_is_json"), (4, "line_is_object"), (6, "line_is_json")]


@pytest.mark.parametrize("size", [1, 2, 5, 1_000_000])
def test_records_are_found_under_their_path(size: int) -> None:
    content = (
        b'{"items":[0],"m\\"{":"[{","data":[{"items":[9]}],"x":{"data":{"items":[8]}},'
        b'"data":{"n":{"items":[7]},"items":[{"a":1},{"a":2}],"t":"]}"},"z":[1,{}]} '
    )
    with small_blocks(size):
        out = read(content, JsonOptions(records="data.items"))
    assert out.rows == [("1",), ("2",)]


RECORDS = '"d":{"r":[{"a":1},{"a":2}]}'


@pytest.mark.parametrize("size", [1, 2, 5, 1_000_000])
@pytest.mark.parametrize(
    "document",
    [
        # Whoever takes the first of two arrays loses the second.
        f"{{{RECORDS},{RECORDS}}}",
        '{"d":{"r":[{"a":1}],"r":[{"a":2}]}}',
        '{"d":{"r":[{"a":1}],"\\u0072":[{"a":2}]}}',
        f'{{{RECORDS},"d":null}}',
        f"{{xx {RECORDS}}}",
        f'{{"a":tru,{RECORDS}}}',
        f'{{"a":01,{RECORDS}}}',
        f'{{"a":1 2,{RECORDS}}}',
        f'{{"a" 1,{RECORDS}}}',
        f'{{"a",{RECORDS}}}',
        f'{{"a":,{RECORDS}}}',
        f"{{,{RECORDS}}}",
        f'{{"a":[1}},{RECORDS}}}',
        f'{{"a":[1,],{RECORDS}}}',
        f'{{1:"a",{RECORDS}}}',
        f'{{"a":"b"{RECORDS}}}',
        f'{{{RECORDS},"n":2]',
        f'{{{RECORDS} "n":2}}',
        f"{{{RECORDS},}}",
        f'{{{RECORDS},"n":nul}}',
        f'{{{RECORDS}"n"}}',
    ],
)
def test_a_damaged_document_around_the_records_is_refused(document: str, size: int) -> None:
    with small_blocks(size):
        assert refusal(document.encode(), JsonOptions(records="d.r")).rule == "file_is_readable"


@pytest.mark.parametrize("size", [1, 2, 5, 1_000_000])
def test_whatever_json_stands_around_the_records_is_passed_over(size: int) -> None:
    around = '"n":-1.5e+3 , "t" : true,"f":false,"z":null,"o":{},"l":[],"m":[1,"x",{"d":[]},[[]]],"e":"\\"{"'
    content = f' {{ {around},{RECORDS},"x":{{{around}}},"y":[{{{around}}}] }}\n'.encode()
    with small_blocks(size):
        assert read(content, JsonOptions(records="d.r")).rows == [("1",), ("2",)]


def test_lines_may_end_in_cr_alone() -> None:
    out = read(b'{"a":1}\r{"a":oops}\r\r{"a":"x\\ry"}\r', LINES)
    assert (out.rows, out.source_rows, out.verdicts) == ([("1",), ("x\ry",)], [1, 4], [(2, "line_is_json")])
    assert out.raw == ['{"a":1}', '{"a":"x\\ry"}']
    # Beside LF a CR is a blank.
    mixed = read(b'{"a":1}\r\n{"a":\r2}\n', LINES)
    assert (mixed.rows, mixed.source_rows) == ([("1",), ("2",)], [1, 2])


def test_sparse_records_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(b'{"k%d":%d,"a":"x"}\n' % (number % 50, number) for number in range(200)) + b"oops\n{\0}\n"
    whole = read(content, LINES)
    monkeypatch.setattr(json_reader, "JSON_BATCH_CELLS", 300)
    parts = read(content, LINES)
    assert whole.heights == [200] and max(parts.heights) < 20 and len(parts.heights) > 30
    assert parts.columns.select(sorted(parts.columns.columns)).equals(
        whole.columns.select(sorted(whole.columns.columns)), null_equal=True
    )
    assert (parts.source_rows, parts.raw) == (whole.source_rows, whole.raw)
    assert sorted(parts.verdicts) == sorted(whole.verdicts) == [(201, "line_is_json"), (202, "text_has_no_nul")]


@pytest.mark.parametrize(
    ("content", "options", "rule"),
    [
        (b"", LINES, "file_is_not_empty"),
        (b" \n\n", LINES, "file_is_not_empty"),
        (b'[{"a":1},{"a":2}', LINES, "file_is_complete"),
        (b'[{"a":1},{"a":2', LINES, "file_is_complete"),
        (b"[", LINES, "file_is_complete"),
        (b'{"d":[{"a":1}]', JsonOptions(records="d"), "file_is_complete"),
        (b'{"d":{"x":1', JsonOptions(records="d"), "file_is_complete"),
        (b'{"d":{"x":1}}', JsonOptions(records="d"), "file_is_in_declared_format"),
        (b'{"a":1}\n', JsonOptions(layout="array"), "file_is_in_declared_format"),
        (b'[{"a":1}]\n[{"a":1}]', LINES, "file_is_readable"),
        (b'[{"a":1}] x', LINES, "file_is_readable"),
        (b"a,b\n1,2\n", LINES, "file_is_in_declared_format"),
        (b'{"a":"\xe4"}\n', LINES, "file_is_in_declared_encoding"),
        (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", LINES, "file_is_within_limits"),
        (b"[" * 100_000 + b"]" * 100_000, LINES, "file_is_within_limits"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, LINES, "file_is_within_limits"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JsonOptions(records="x"), "file_is_within_limits"),
    ],
)
def test_refused_whole(content: bytes, options: JsonOptions, rule: str) -> None:
    assert refusal(content, options).rule == rule


def test_too_many_keys_and_endless_records_are_refused() -> None:
    keys = ",".join(f'"k{number}":1' for number in range(10_001))
    assert refusal(f"{{{keys}}}\n".encode(), LINES).rule == "file_is_within_limits"
    spread = "".join(f'{{"k{number}":1}}\n' for number in range(101))
    with small_blocks(100):
        assert refusal(spread.encode(), LINES, limits=ReadLimits(columns=100)).rule == "file_is_within_limits"
    limits = ReadLimits(field_bytes=1000)
    with small_blocks(100):
        assert refusal(b'{"a":"' + b"x" * 10_000, LINES, limits=limits).rule == "file_is_within_limits"
        assert refusal(b'[{"a":"' + b"x" * 10_000, LINES, limits=limits).rule == "file_is_within_limits"


def test_path_with_layout_lines_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        read(b"{}", JsonOptions(layout="lines", records="a"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_any_encoding(encoding: str) -> None:
    out = read('{"ä":"é"}\n{"ä":"漢"}\n'.encode(encoding), JsonOptions(encoding=encoding))
    assert out.columns.to_dict(as_series=False) == {"ä": ["é", "漢"]}


def test_batches_hold_at_most_the_asked_rows() -> None:
    content = b"".join(b'{"a":%d}\n' % number for number in range(250))
    out = read(content, LINES, batch_rows=100)
    assert out.heights == [100, 100, 50]
    assert out.raw[249] == '{"a":249}'
