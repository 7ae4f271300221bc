"""Records of JSON lines told apart by their brackets, where the line ends do not.

Belongs here: several objects on a line, commas between objects, one object over several lines. Not here: reading the
file block by block (`lines.py`).

A sequence of whole objects has one meaning whatever stands between them: blanks, line ends or single commas. Lines
that begin and end like an object, as nearly all do, are not looked at any closer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from etl_platform.limits import JSON_READS_IN_VAIN
from etl_platform.readers.json.text import object_at
from etl_platform.readers.json.tokens import (
    CLOSE,
    COMMA,
    IS_BLANK,
    LINE_END,
    OPEN,
    Tokens,
    tokenise,
)
from etl_platform.readers.records import Mask, Positions, Records, positions_of
from etl_platform.readers.source import Source

NEXT_OBJECT = re.compile(rb"\}[ \t\r]*(?:,[ \t\r]*)?\{")
_CARRIAGE_RETURN = ord("\r")
_SEPARATOR = re.compile(r"[ \t\r]*(?:,[ \t\r]*)?")
# A line that ends within an object, before one that goes on with it: no damage to a single line looks so.
_GOES_ON = re.compile(r'[^\n]*[{\[,:][ \t\r]*\n\s*(?:"[^"\n]*"[ \t]*:[^\n]*[^}\s]|[}\]][}\],]*)[ \t\r]*(?:\n|$)')


class Lines(NamedTuple):
    """The records of a block; how much of it they take. Of what follows: the number of its first line, and whether it
    stands behind a whole object."""

    records: Records
    used: int
    next_line: int
    is_begun: bool


def records_of(text: bytes, first: int) -> Records:
    """The lines of a text that ends with a line end, numbered from `first`."""
    stops = positions_of(text, LINE_END) + 1
    return Records(text, np.concatenate(([0], stops[:-1])), stops, np.arange(first, first + len(stops)))


def tell_apart(source: Source, text: bytes, first: int, *, is_begun: bool, is_last: bool) -> Lines:
    """The records of whole lines. What is left at their end is the beginning of an object that goes on behind them.

    `rows` are the numbers of the lines that the records begin on. Where several begin on one line they go on counting,
    so that each has a number of its own.
    """
    if NEXT_OBJECT.search(text) is None and not _has_other_lines(text):
        records = records_of(text, first)
        return Lines(records, len(text), first + len(records), is_begun or b"}" in text)
    tokens, _ = tokenise(text, reset_at_line_end=True)
    joined, used = np.empty(0, dtype=np.int64), len(text)
    if opening := _opening_lines(text, tokens):
        joined, used = _inner_line_ends(source, text, opening, first, is_last=is_last)
    if not used:
        return Lines(Records.none(), 0, first, is_begun)
    if used < len(text):
        # Of the line that it may begin in the middle of, what stands before it is a line of its own.
        text = text[:used] if text[:used].endswith(b"\n") else text[:used] + b"\n"
    data = np.frombuffer(text, dtype=np.uint8).copy()
    data[joined] = ord(" ")
    if opening:
        tokens, _ = tokenise(data.tobytes(), reset_at_line_end=True)
    seams = find_seams(data, tokens, is_begun=is_begun)
    data[seams.commas] = LINE_END
    data[seams.ends] = ord(" ")
    records = records_of(np.insert(data, seams.cuts, LINE_END).tobytes(), first)
    joined = joined + np.searchsorted(seams.cuts, joined, side="right")
    rows = records.rows + np.searchsorted(joined, records.starts)
    numbered = Records(records.text, records.starts, records.stops, rows)
    return Lines(numbered, used, first + len(records) + len(joined), seams.is_behind)


def _has_other_lines(text: bytes) -> bool:
    """Whether a line begins or ends otherwise than an object does: one over several lines has such lines."""
    data = np.frombuffer(text, dtype=np.uint8)
    stops = positions_of(text, LINE_END)
    starts = np.concatenate(([0], stops[:-1] + 1))
    starts, stops = starts[starts < stops], stops[starts < stops]
    last = data[stops - 1]
    last = np.where(last == _CARRIAGE_RETURN, data[stops - 2], last)
    return bool(((data[starts] != OPEN) | (last != CLOSE)).any())


def _opening_lines(text: bytes, tokens: Tokens) -> list[int]:
    """Where the lines begin that open more brackets than they close."""
    at_end = tokens.depths()[tokens.kinds == LINE_END]
    opening = np.flatnonzero(np.diff(at_end, prepend=0) > 0)
    starts = np.concatenate(([0], positions_of(text, LINE_END) + 1))
    found: list[int] = starts[opening].tolist()
    return found


def _inner_line_ends(
    source: Source, text: bytes, opening: list[int], first: int, *, is_last: bool
) -> tuple[Positions, int]:
    """The line ends inside of whole objects, and where an object begins that the text does not end.

    Only objects over several lines are parsed here, one by one. A line that begins no whole object is left as it is.
    """
    chars = text.decode("latin-1")  # one character for each byte
    filled = len(chars.rstrip(" \t\r\n"))
    spans: list[tuple[int, int]] = []
    used, done, wasted = len(text), 0, 0
    for start in opening:
        at = start
        while at >= done and wasted <= JSON_READS_IN_VAIN * len(text):
            at = _separator_end(chars, at)
            if chars[at] != "{":
                break
            end, stopped = object_at(chars, at)
            if end:
                spans.append((at, end))
                at = done = end
                continue
            if stopped >= filled and not is_last:
                used = at
            elif _GOES_ON.match(chars, at):
                raise _damaged(source, first + text.count(b"\n", 0, at), is_cut_off=stopped >= filled)
            wasted += stopped - at if stopped else len(text)
            break
        if used < len(text):
            break
    line_ends = positions_of(text[:used], LINE_END)
    begins, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    index = np.searchsorted(begins, line_ends) - 1
    return line_ends[(index >= 0) & (line_ends < np.append(ends, 0)[index])], used


def _separator_end(chars: str, at: int) -> int:
    found = _SEPARATOR.match(chars, at)
    return found.end() if found else at


def _damaged(source: Source, line: int, *, is_cut_off: bool) -> Exception:
    if is_cut_off:
        return source.refusal("file_is_complete", f"the file is cut off in the record of line {line}", _WHOLE)
    found = f"a record over several lines that is no JSON, from line {line} on"
    return source.refusal("file_is_readable", found, _WHOLE)


_WHOLE = "whole JSON objects"


@dataclass(frozen=True)
class Seams:
    """Where objects meet. cuts: where one ends and the next begins on its line without a comma. commas: between two on
    one line. ends: commas at the end or the beginning of a line. is_behind: whether the text ends behind an object."""

    cuts: Positions
    commas: Positions
    ends: Positions
    is_behind: bool


def find_seams(data: np.ndarray, tokens: Tokens, *, is_begun: bool) -> Seams:
    """The seams between the objects of lines. is_begun: whether an object stands before the text."""
    on_line = _depths_on_line(tokens)
    if not _may_meet(tokens, on_line):
        latest = np.flatnonzero(tokens.kinds != LINE_END)[-1:]
        ends_object = (tokens.kinds[latest] == CLOSE) & (on_line[latest] == 0)
        nothing = np.empty(0, dtype=np.int64)
        return Seams(nothing, nothing, nothing, bool(ends_object.all()) if len(latest) else is_begun)
    # Two tokens before the text and one behind it, so that each comma has neighbours.
    kinds = np.concatenate(([CLOSE if is_begun else LINE_END, LINE_END], tokens.kinds, [LINE_END]))
    starts = np.concatenate(([-1, -1], tokens.starts, [len(data)]))
    ends = np.concatenate(([-1, -1], tokens.ends, [len(data)]))
    depths = np.concatenate(([0, 0], on_line, [0]))
    solid = np.concatenate(([0], np.cumsum(~IS_BLANK[data], dtype=np.int32)))
    is_next = np.append(solid[np.maximum(starts[1:], 0)] == solid[ends[:-1] + 1], False)
    closes = (kinds == CLOSE) & (depths == 0)
    cuts: Mask = closes[:-1] & (kinds[1:] == OPEN) & is_next[:-1]
    latest = np.maximum.accumulate(np.where(kinds != LINE_END, np.arange(len(kinds)), 0))
    at = np.flatnonzero((kinds == COMMA) & (depths == 0))
    at = at[is_next[at - 1] & closes[latest[at - 1]] & is_next[at]]
    follows = np.isin(kinds[at + 1], (OPEN, LINE_END))
    # One comma too many belongs to the object behind it.
    at = at[follows | (closes[at - 1] & (kinds[at + 1] == COMMA))]
    is_between = closes[at - 1] & (kinds[at + 1] != LINE_END)
    is_behind = bool(closes[latest[-1]])
    return Seams(ends[:-1][cuts] + 1, starts[at[is_between]], starts[at[~is_between]], is_behind)


def _may_meet(tokens: Tokens, on_line: Positions) -> bool:
    """Whether anything stands between objects: objects of arrays do not count, and are common."""
    at = np.flatnonzero(on_line == 0)
    commas = tokens.kinds[at] == COMMA
    opens = np.append(tokens.kinds, LINE_END)[at + 1] == OPEN
    return bool((commas | (opens & (tokens.kinds[at] == CLOSE))).any())


def _depths_on_line(tokens: Tokens) -> Positions:
    """Depth after each token, counted from the beginning of its line."""
    depths = tokens.depths()
    at_end = depths[tokens.kinds == LINE_END]
    on_line: Positions = depths - np.concatenate(([0], at_end))[tokens.lines()]
    return on_line
