"""The vectorised JSON reader against Python's own parser, line by line: same verdicts, same values."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.readers import JsonOptions
from etl_platform_tests.unit.readers.reading import Outcome, read, small_blocks

TEXT = st.text(st.sampled_from('a0:,{}[]"\\\n\t é😀'), max_size=5)
NUMBER = st.sampled_from(["0", "-1", "12.0", "1e5", "0.10", "123456789012345678901.5", "-0.0E+7"])
SCALAR = NUMBER | TEXT.map(json.dumps) | st.sampled_from(["true", "false", "null"])
NESTED = st.recursive(
    SCALAR,
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=2).map(
            lambda items: "{" + ",".join(f'"k{n}":{v}' for n, v in enumerate(items)) + "}"
        )
    ),
    max_leaves=4,
)


def as_text(value: str) -> str | None:
    if value == "null":
        return None
    return str(json.loads(value)) if value.startswith('"') else value


@settings(max_examples=100, deadline=None)
@given(
    records=st.lists(st.dictionaries(TEXT, NESTED, max_size=4), min_size=1, max_size=6),
    spaces=st.sampled_from([(",", ":"), (", ", ": "), ("  ,\t", " :  ")]),
    as_array=st.booleans(),
    ascii_only=st.booleans(),
    size=st.sampled_from([1, 5, 40, 1_000_000]),
)
def test_any_records_read_back_equal(
    records: list[dict[str, str]], spaces: tuple[str, str], as_array: bool, ascii_only: bool, size: int
) -> None:
    comma, colon = spaces
    lines = [
        "{"
        + comma.join(json.dumps(key, ensure_ascii=ascii_only) + colon + value for key, value in record.items())
        + "}"
        for record in records
    ]
    content = f"[{', '.join(lines)}]" if as_array else "\n".join(lines)
    with small_blocks(size):
        out = read(content.encode(), JsonOptions())
    names = list(dict.fromkeys(key for record in records for key in record))
    assert out.rejects.is_empty()
    assert out.columns.columns == names
    assert out.rows == [tuple(as_text(record.get(name, "null")) for name in names) for record in records]
    assert out.source_rows == list(range(1, len(records) + 1))


class _Number(str):
    """A number as written."""


def _oracle(line: str) -> dict[str, Any] | str | None:  # noqa: PLR0911 - one return per rule reads best
    """What a line should become: a record, the rule that it breaks, or None for a blank line."""
    if "\0" in line:
        return "text_has_no_nul"
    if not line.strip(" \t\r\n"):
        return None

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        loaded = json.loads(line, parse_constant=refuse, parse_int=_Number, parse_float=_Number)
    except ValueError:
        return "line_is_json"
    if not isinstance(loaded, dict):
        return "line_is_object"
    items: list[tuple[str, Any]] = []

    def top(found: list[tuple[str, Any]]) -> dict[str, Any]:
        items[:] = found  # the outermost object is the last to close
        return dict(found)

    json.loads(line, object_pairs_hook=top, parse_int=_Number, parse_float=_Number)
    if any(
        "\ud800" <= char <= "\udfff" for key, value in items for char in key + (value if isinstance(value, str) else "")
    ):
        return "line_is_json"
    if any("\0" in key for key, _ in items):
        return "line_is_json"
    if len({key for key, _ in items}) < len(items):
        return "line_has_unique_keys"
    if any(isinstance(value, str) and "\0" in value for _, value in items):
        return "text_has_no_nul"
    return dict(items)


def _same(text: str | None, value: Any) -> bool:
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, list | dict):
        return text is not None and json.loads(text, parse_int=_Number, parse_float=_Number) == value
    return bool(text == value)


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def _apart(lines: list[str]) -> Iterator[str]:
    """The objects of lines, cut where one is closed and another opens on its line, without single commas between them.

    A line with an open string is one piece, and no neighbour to any other.
    """
    is_behind = False
    for line in lines:
        bare = _STRING.sub(lambda found: "x" * len(found[0]), line)
        depth, part = 0, ""
        for at, char in enumerate(bare if '"' not in bare else ""):
            depth += (char in "{[") - (char in "}]")
            rest = bare[at + 1 :].lstrip(" \t")
            ends_object = char == "}" and depth == 0
            is_first = not part.strip(" \t")
            is_comma = char == "," and depth == 0 and is_behind and (is_first or part.rstrip(" \t").endswith("}"))
            is_seam = is_comma and rest[:1] in (("", "{") if is_first else ("", "{", ","))
            part += "" if is_seam else line[at]
            if (is_seam and rest and not is_first) or (ends_object and rest.startswith("{")):
                yield part
                part = ""
            if char in "{}[]:,x":
                is_behind = ends_object
        yield part if '"' not in bare else line


def _hold(out: Outcome, lines: list[str]) -> None:
    rejected = dict(out.verdicts)
    read_rows = dict(zip(out.source_rows, out.columns.to_dicts(), strict=True))
    for number, line in enumerate(_apart(lines), 1):
        expected = _oracle(line)
        if isinstance(expected, dict):
            row = read_rows.pop(number)
            assert all(_same(row.pop(key), value) for key, value in expected.items()), line
            assert not any(row.values()), line
        elif expected is None:
            assert number not in rejected and number not in read_rows, line
        else:
            assert rejected.pop(number) == expected, line
    assert not read_rows and not rejected


SEEDS = [
    '{"a":"x\\"y","b":12.50,"c":null,"d":[1,{"e":"}"}]}',
    '{"a" : true, "b":-1e5 ,"c":"\\u00e9\\ud83d\\ude00", "d":{}}',
    '{"a":"","b":0,"c":"x:1,\\\\","d":[]}',
    "{}",
]
ALPHABET = [
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    " ",
    "\t",
    "\0",
    "0",
    "1",
    "-",
    ".",
    "e",
    "n",
    "\\ud83d",
    "\\u0000",
    "é",
]


@pytest.mark.parametrize("seed", range(8))
def test_mutated_lines_get_the_verdict_of_a_strict_parser(seed: int) -> None:
    rng = random.Random(seed)
    lines = ["{}"]
    for _ in range(300):
        line = rng.choice(SEEDS)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(line) + 1)
            line = line[:at] + rng.choice([*ALPHABET, ""]) + line[at + rng.randint(0, 2) :]
        lines.append(line)
    with small_blocks(rng.choice([50, 1000, 1_000_000])):
        out = read("\n".join(lines).encode(), JsonOptions(layout="lines"))
    _hold(out, lines)
