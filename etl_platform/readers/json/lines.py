"""Blocks of JSON, one record per line, from its layouts: JSON lines, an array inside a document, objects in a row.

Belongs here: cutting at record boundaries with bounded memory. Not here: records' content, lines that are no records
(`apart.py`).

Writers forget line ends (`{...}{...}`) and commas (`[{...}{...}]`), or write commas where no array is: where an object
is closed and another opens, a record ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import numpy as np

from etl_platform.limits import JSON_BEGINNING_BYTES, JSON_BLOCK_BYTES
from etl_platform.readers.json.apart import NEXT_OBJECT, find_seams, records_of, tell_apart
from etl_platform.readers.json.path import BLANKS, DocumentPath, too_deep
from etl_platform.readers.json.text import end_of_object, loads_or_none
from etl_platform.readers.json.tokens import (
    CLOSE,
    CLOSE_ARRAY,
    COMMA,
    IS_BLANK,
    LINE_END,
    OPEN,
    Tokens,
    in_strings,
    tokenise,
)
from etl_platform.readers.records import Mask, Positions, Records, positions_of
from etl_platform.readers.source import Source

# A raw line end inside a string is no JSON: it becomes another character that is none either.
_FORBIDDEN = 1
_NO_COMMA = re.compile(rb"\}[ \t\r\n]*\{")


def lines_of(source: Source, chunks: Iterator[bytes]) -> Iterator[Records]:
    """JSON lines; `rows` are line numbers."""
    carry: list[bytes] = []
    size, line, is_begun = 0, 1, False
    for chunk in _with_line_feeds(chunks):
        carry.append(chunk)
        size += len(chunk)
        if size < JSON_BLOCK_BYTES:
            continue
        text = b"".join(carry)
        used = text.rfind(b"\n") + 1 or _end_of_object(text)
        if used:
            lines = tell_apart(source, _ended(text[:used]), line, is_begun=is_begun, is_last=False)
            used = min(used, lines.used)
        if used:
            yield lines.records
            line, is_begun = lines.next_line, lines.is_begun
        else:
            _require_size(source, size, f"line {line}")
        carry, size = [text[used:]], len(text) - used
    text = b"".join(carry)
    if text:
        yield tell_apart(source, _ended(text), line, is_begun=is_begun, is_last=True).records


def _ended(text: bytes) -> bytes:
    return text if text.endswith(b"\n") else text + b"\n"


def _end_of_object(text: bytes) -> int:
    """Where the last object ends behind which another opens, in text without a line end; 0 where there is none."""
    if not NEXT_OBJECT.search(text):
        return 0
    data = np.frombuffer(text, dtype=np.uint8)
    seams = find_seams(data, tokenise(text, reset_at_line_end=False)[0], is_begun=False)
    return max(int(seams.cuts.max(initial=0)), int(seams.commas.max(initial=-1)) + 1)


def beginning(chunks: Iterator[bytes]) -> tuple[Iterator[bytes], bytes]:
    """The chunks, and the text of the first of them, about a mebibyte; lines end in LF, also those of CR alone."""
    chunks = _with_line_feeds(chunks)
    held: list[bytes] = []
    while sum(map(len, held)) < JSON_BEGINNING_BYTES and (chunk := next(chunks, b"")):
        held.append(chunk)
    return chain(held, chunks), b"".join(held)


def spans_lines(text: bytes) -> bool:
    """Whether the first value of a text is an object that goes on behind the end of its line."""
    first, line_end, _ = text.lstrip(BLANKS).partition(b"\n")
    if not line_end or loads_or_none(first.decode(errors="replace")) is not None:
        return False
    begins = text.strip(BLANKS).decode(errors="ignore")
    return "\n" in begins[: end_of_object(begins)]


def values_of(source: Source, chunks: Iterator[bytes]) -> Iterator[Records]:
    """Objects one after another, each over any number of lines; `rows` are record numbers.

    After damage nobody can tell where the next begins: the file is refused.
    """
    data, number = b"", 1
    while more := _more(chunks):
        data += more
        tokens, _ = tokenise(data, reset_at_line_end=False)
        depths = tokens.depths()
        if len(depths) and int(depths.min()) < 0:
            raise source.refusal("file_is_readable", f"a bracket too many behind record {number}", "whole JSON objects")
        if len(depths) and int(depths.max()) > source.limits.json_depth:
            raise too_deep(source)
        is_end = (tokens.kinds == CLOSE) & (depths == 0)
        cuts = tokens.starts[is_end] + 1
        if len(cuts):
            line_ends = positions_of(data[: cuts[-1]], LINE_END)
            if in_strings(tokens, line_ends).any():
                found = f"a text that is not closed on its line, in record {number} or behind it"
                raise source.refusal("file_is_readable", found, "whole JSON objects")
            text = np.frombuffer(data[: cuts[-1]], dtype=np.uint8).copy()
            text[line_ends] = ord(" ")
            commas = _between(tokens, is_end, depths, is_begun=number > 1)
            text[commas[commas < cuts[-1]]] = ord(" ")
            records = records_of(np.insert(text, cuts, LINE_END).tobytes(), number)
            yield records
            number += len(records)
            data = data[cuts[-1] :]
        _require_size(source, len(data), f"record {number}")
    if data.strip(BLANKS) not in (b"", b"," if number > 1 else b""):
        raise source.refusal("file_is_complete", f"the file is cut off in record {number}", "whole JSON objects")


def _between(tokens: Tokens, is_end: Mask, depths: Positions, *, is_begun: bool) -> Positions:
    """Single commas between an object and the next. is_begun: whether an object ends before the text."""
    in_line = tokens.kinds != LINE_END
    tokens, is_end, depths = tokens.take(in_line), is_end[in_line], depths[in_line]
    commas = (tokens.kinds == COMMA) & (depths == 0)
    follows = np.concatenate(([is_begun], is_end[:-1]))
    opens = np.append(tokens.kinds[1:] == OPEN, False)
    between: Positions = tokens.starts[commas & follows & opens]
    return between


def _with_line_feeds(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The text of a file whose lines end in CR alone with LF instead: no string of JSON holds a bare CR."""
    is_changed: bool | None = None
    for chunk in chunks:
        if is_changed is None and (b"\r" in chunk or b"\n" in chunk):
            is_changed = b"\n" not in chunk and b"\r" in chunk[:-1]
        yield chunk.replace(b"\r", b"\n") if is_changed else chunk


def _require_size(source: Source, size: int, what: str) -> None:
    if size > source.limits.field_bytes + JSON_BLOCK_BYTES:
        limit = source.limits.field_bytes
        raise source.beyond(f"{what}: a record of more than {limit} bytes", f"{limit} bytes at most")


def elements_of(source: Source, chunks: Iterator[bytes], path: tuple[str, ...]) -> Iterator[Records]:
    """The elements of the array at `path`, each on one line; `rows` are record numbers."""
    around = DocumentPath(source, path)
    data = _find_array(source, chunks, around)
    number, closed = 1, -1
    while closed < 0:
        data = _with_commas(data)
        text, used, closed = _elements(source, data, first=number == 1)
        if text:
            records = records_of(text, number)
            yield records
            number += len(records)
        data = data[used:]
        if closed < 0:
            _require_size(source, len(data), f"record {number}")
            more = _more(chunks)
            if not more:
                raise source.refusal(
                    "file_is_complete", f"the array is cut off in record {number}", "its closing bracket"
                )
            data += more
    around.leave_array()
    _require_end(source, data, chunks, around)


def _more(chunks: Iterator[bytes]) -> bytes:
    parts: list[bytes] = []
    while sum(map(len, parts)) < JSON_BLOCK_BYTES and (chunk := next(chunks, b"")):
        parts.append(chunk)
    return b"".join(parts)


def _find_array(source: Source, chunks: Iterator[bytes], around: DocumentPath) -> bytes:
    """What follows the array's opening bracket."""
    data = b""
    while more := _more(chunks):
        data += more
        used, found = around.walk(data, to_end=False)
        data = data[used:]
        if found:
            return data
        _require_size(source, len(data), "the text before the records")
    if around.depth:
        raise source.refusal("file_is_complete", "the document is cut off before its records", "a closed document")
    where = ".".join(around.wanted) or "the top level"
    raise source.refusal("file_is_in_declared_format", f"no array at {where}", f"an array of records at {where}")


def _with_commas(data: bytes) -> bytes:
    """The text with a comma between the elements of its array where an object directly follows on another.

    The last object of the text is the first of the next: what follows it is looked at then.
    """
    if not _NO_COMMA.search(data):
        return data
    tokens, _ = tokenise(data, reset_at_line_end=False)
    tokens = tokens.take(tokens.kinds != LINE_END)
    depths = tokens.depths()
    is_inside = np.minimum.accumulate(depths) >= 0
    is_cut = (tokens.kinds[:-1] == CLOSE) & (depths[:-1] == 0) & (tokens.kinds[1:] == OPEN) & is_inside[:-1]
    cuts, opens = tokens.ends[:-1][is_cut] + 1, tokens.starts[1:][is_cut]
    text = np.frombuffer(data, dtype=np.uint8)
    solid = np.concatenate(([0], np.cumsum(~IS_BLANK[text], dtype=np.int32)))
    return np.insert(text, cuts[solid[cuts] == solid[opens]], COMMA).tobytes()


def _elements(source: Source, data: bytes, *, first: bool) -> tuple[bytes, int, int]:
    """Whole elements of `data` as lines, how much of it they take, and where the array closes (-1: not here)."""
    tokens, _ = tokenise(data, reset_at_line_end=False)
    depths = tokens.depths()
    closing = np.flatnonzero((depths < 0) & (tokens.kinds == CLOSE_ARRAY))[:1]
    limit = source.limits.json_depth
    inner = depths[: closing[0]] if len(closing) else depths
    if len(inner) and int(inner.max()) > limit:
        raise too_deep(source)
    commas = tokens.starts[: len(inner)][(tokens.kinds[: len(inner)] == COMMA) & (inner == 0)]
    end = int(tokens.starts[closing[0]]) if len(closing) else (int(commas[-1]) if len(commas) else -1)
    if end < 0:
        return b"", 0, -1
    text = bytearray(data[: end + 1])
    view = np.frombuffer(text, dtype=np.uint8)
    line_ends: Positions = positions_of(data[: end + 1], LINE_END)
    if len(line_ends):
        view[line_ends] = np.where(in_strings(tokens, line_ends), _FORBIDDEN, ord(" "))
    view[commas] = LINE_END
    view[end] = LINE_END
    del view
    if len(closing) and first and not len(commas) and not text.strip(BLANKS):
        return b"", end + 1, end
    return bytes(text), end + 1, end if len(closing) else -1


def _require_end(source: Source, data: bytes, chunks: Iterator[bytes], around: DocumentPath) -> None:
    """Refuse a document that goes on after its end or stops before it."""
    closed = around.depth == 0
    while True:
        if not closed:
            used, closed = around.walk(data, to_end=True)
            data = data[used:]
            _require_size(source, len(data), "the text after the records")
        if closed and data.strip(BLANKS):
            raise source.refusal("file_is_readable", "text after the end of the document", "one JSON document")
        more = _more(chunks)
        if not more:
            break
        data = more if closed else data + more
    if not closed:
        raise source.refusal("file_is_complete", "the document is cut off after its records", "its closing brackets")
