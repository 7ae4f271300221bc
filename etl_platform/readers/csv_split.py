"""Where CSV records end: blocks of UTF-8 text cut at record boundaries, embedded line ends respected.

Belongs here: line ends (LF, CRLF, CR), quotes, line numbers. Not here: fields.

A quote opens only at the beginning of a field and closes before a delimiter or a line end; any other quote in an
unquoted field is text (`5" pipe`). Well-formed blocks are settled by parity over arrays of positions; a block with
a stray quote is walked quote by quote. Text after a closing quote breaks its record: on one line the row is
rejected alone; over several lines nobody can tell where the record ends, and the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from etl_platform.readers.options import CsvOptions
from etl_platform.readers.records import Positions, Records, positions_of
from etl_platform.readers.source import Source

# Measured 1 to 8 MiB: 2 is fastest (arrays of positions stay in the cache), and memory stays flat at some ten blocks.
BLOCK = 2 * 2**20
_LF, _CR = 10, 13
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Block:
    """Consecutive records. broken: indices of records with text after a closing quote. has_quotes: of any kind."""

    records: Records
    broken: Positions
    has_quotes: bool


@dataclass(frozen=True)
class _Quotes:
    """effective: quotes that open or close, alternating. junk: closing quotes followed by text."""

    effective: Positions
    junk: Positions = field(default_factory=lambda: _NONE)


def split(source: Source, chunks: Iterable[bytes], options: CsvOptions) -> Iterator[Block]:
    """Yield all records, comments and blank lines included. Raises FileRefusedError for a quote never closed."""
    carry: list[bytes] = []
    size, line = 0, 1
    for chunk in chunks:
        carry.append(chunk)
        size += len(chunk)
        if size < BLOCK:
            continue
        data = b"".join(carry)
        block, line_after = _scan(source, data, options, line, final=False)
        used = int(block.records.stops[-1]) if len(block.records) else 0
        if used:
            yield block
            line = line_after
        carry, size = [data[used:]], len(data) - used
        if size > source.limits.field_bytes:
            raise _too_long(source, data[used:], options, line)
    data = b"".join(carry)
    if data:
        yield _scan(source, data, options, line, final=True)[0]


def _scan(source: Source, data: bytes, options: CsvOptions, line: int, *, final: bool) -> tuple[Block, int]:
    ends = _line_ends(data, final=final)
    quotes = _quotes(data, ends, options)
    stops = ends
    if len(quotes.effective):
        stops = ends[(np.searchsorted(quotes.effective, ends) & 1) == 0]
        if final and len(quotes.effective) & 1:
            at = int(quotes.effective[-1])
            raise _never_closed(source, line + int(np.searchsorted(ends, at, side="right")))
    if final and (not len(stops) or stops[-1] < len(data)):
        stops = np.append(stops, len(data))
    starts = np.concatenate(([0], stops[:-1])) if len(stops) else stops
    numbers = line + np.searchsorted(ends, starts, side="right")
    used = int(stops[-1]) if len(stops) else 0
    text = data if used == len(data) else data[:used]
    records = Records(text, starts, stops, numbers)
    broken = records.holding(quotes.junk[quotes.junk < used])
    _hold_one_line(source, records, broken, ends)
    return Block(records, broken, bool(len(quotes.effective)) or ord(options.quote) in text), line + int(
        np.searchsorted(ends, used, side="right")
    )


def _line_ends(data: bytes, *, final: bool) -> Positions:
    """Positions just after each line end. A CR that ends an unfinished block may be half a CRLF: not yet one."""
    ends = positions_of(data, _LF) + 1
    if b"\r" not in data:
        return ends
    following = np.frombuffer(data[1:] + (b"\0" if final else b"\n"), dtype=np.uint8)
    returns = positions_of(data, _CR)
    return np.sort(np.concatenate((ends, returns[following[returns] != _LF] + 1)))


def _quotes(data: bytes, ends: Positions, options: CsvOptions) -> _Quotes:
    quote = ord(options.quote)
    if quote not in data:
        return _Quotes(_NONE)
    found = positions_of(data, quote)
    padded = np.frombuffer(b"\n" + data + b"\n", dtype=np.uint8)
    is_edge = np.zeros(256, dtype=np.bool_)
    is_edge[[_LF, _CR, ord(options.delimiter), quote]] = True
    regular = bool(is_edge[padded[found[0::2]]].all() and is_edge[padded[found[1::2] + 2]].all())
    # A quote beside a quote passes: by parity it is the second half of an escaped pair.
    if regular and not (options.comment and _comment_has_quote(data, ends, found, options.comment)):
        return _Quotes(found)
    return _walk(data, found.tolist(), ends, options)


def _comment_has_quote(data: bytes, ends: Positions, found: Positions, comment: str) -> bool:
    starts = np.concatenate(([0], ends))
    marked = starts[starts_with(data, starts, comment.encode())]
    stops = np.append(ends, len(data))[np.searchsorted(ends, marked, side="right")]
    return bool(np.any(np.searchsorted(found, marked) != np.searchsorted(found, stops)))


def _walk(data: bytes, found: list[int], ends: Positions, options: CsvOptions) -> _Quotes:
    """The rule of the module's docstring, one quote at a time: a few million quotes a second."""
    quote, delimiter = ord(options.quote), ord(options.delimiter)
    fences = (_LF, _CR, delimiter)
    comment = options.comment.encode() if options.comment else None
    effective: list[int] = []
    junk: list[int] = []
    is_open, skip_to = False, 0
    for at in found:
        if at < skip_to:
            continue
        if is_open:
            after = data[at + 1] if at + 1 < len(data) else _LF
            if after == quote:
                skip_to = at + 2
                continue
            is_open = False
            effective.append(at)
            if after not in fences:
                junk.append(at)
        elif at == 0 or data[at - 1] in fences:
            if comment:
                index = int(np.searchsorted(ends, at, side="right"))
                start = int(ends[index - 1]) if index else 0
                # A line that begins inside a quoted field is no comment, whatever it begins with.
                begins_outside = not effective or effective[-1] < start
                if begins_outside and data.startswith(comment, start):
                    skip_to = int(ends[index]) if index < len(ends) else len(data)
                    continue
            is_open = True
            effective.append(at)
    return _Quotes(np.array(effective, dtype=np.int64), np.array(junk, dtype=np.int64))


def starts_with(data: bytes, starts: Positions, prefix: bytes) -> Positions:
    """Indices of `starts` at which `data` goes on with `prefix`."""
    padded = np.frombuffer(data + b"\0" * len(prefix), dtype=np.uint8)
    kept = np.arange(len(starts))
    for offset, byte in enumerate(prefix):
        kept = kept[padded[starts[kept] + offset] == byte]
    return kept


def _hold_one_line(source: Source, records: Records, broken: Positions, ends: Positions) -> None:
    lines = np.searchsorted(ends, records.stops[broken]) - np.searchsorted(ends, records.starts[broken], side="right")
    several = broken[lines > 0]
    if len(several):
        raise _never_closed(source, int(records.rows[several[0]]))


def _never_closed(source: Source, line: int) -> Exception:
    return source.refusal(
        "quotes_are_closed", f"line {line}: a quoted field that is not closed", "a closing quote before the next field"
    )


def _too_long(source: Source, rest: bytes, options: CsvOptions, line: int) -> Exception:
    limit = source.limits.field_bytes
    if len(_quotes(rest, _line_ends(rest, final=False), options).effective) & 1:
        return _never_closed(source, line)
    return source.beyond(f"line {line}: a record of more than {limit} bytes", f"{limit} bytes at most")
