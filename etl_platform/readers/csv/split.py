"""Where CSV records end: blocks of UTF-8 text cut at record boundaries, embedded line ends respected.

Belongs here: line ends (LF, CRLF, CR), blocks, line numbers, which records are broken. Not here: which quotes count
(`quotes.py`), fields.

Text after a closing quote breaks its record: on one line the row is rejected alone; over several lines nobody can tell
where the record ends, and the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from etl_platform.limits import CSV_BLOCK_BYTES, TORN_BYTES, TORN_LINES
from etl_platform.readers.csv.quotes import CR, LF, Quotes, Text, are_quoted, count_fields, find_quotes
from etl_platform.readers.options import CsvOptions
from etl_platform.readers.records import Positions, Records, positions_of
from etl_platform.readers.source import Source

UNCLOSED = "a quoted field that is not closed, and lines behind it that are records"
DOUBTFUL = "a quoted field over several lines, some of which may be records (`multiline: trusted` takes it as text)"
TORN = "quotes inside a text over several lines that are not doubled"
JUNK = "text after a closing quote"


@dataclass(frozen=True)
class Block:
    """Consecutive records. broken: indices of those whose quotes are wrong; found: how. has_quotes: of any kind."""

    records: Records
    broken: Positions
    found: tuple[str, ...]
    has_quotes: bool

    def before(self, index: int) -> Block:
        """The records before the one at `index`."""
        kept = int(np.searchsorted(self.broken, index))
        return Block(
            self.records.take(np.arange(index)), self.broken[:kept], self.found[:kept], has_quotes=self.has_quotes
        )


def split(source: Source, chunks: Iterable[bytes], options: CsvOptions) -> Iterator[Block]:
    """Yield all records, comments and blank lines included. Raises FileRefusedError for a quote never closed."""
    splitter = _Splitter(source, options)
    carry: list[bytes] = []
    size = 0
    for chunk in chunks:
        carry.append(chunk)
        size += len(chunk)
        if size < CSV_BLOCK_BYTES:
            continue
        data = b"".join(carry)
        block = splitter.next_block(data, final=False)
        used = int(block.records.stops[-1]) if len(block.records) else 0
        if used:
            yield block
        carry, size = [data[used:]], len(data) - used
    data = b"".join(carry)
    if data:
        yield splitter.next_block(data, final=True)


class _Splitter:
    """Cuts one file; `line` is where the next block begins, `width` the fields of the header once it is known."""

    def __init__(self, source: Source, options: CsvOptions) -> None:
        self.source, self.options = source, options
        self.is_checked = options.multiline == "checked"
        self.line = 1
        self.width = 0 if options.header else len(options.columns)
        self.header_is_read = not options.header
        self.is_quoted = False

    def next_block(self, data: bytes, *, final: bool) -> Block:
        ends = _line_ends(data, final=final)
        text = Text(data, ends, self.options, 0, final=final)
        since = 0
        if not self.header_is_read:
            since = self._read_header(text)
        if self.is_checked and self.width > 1:
            text = replace(text, width=self.width, since=since, is_quoted=self.is_quoted)
        quotes, stops = self._stops(text)
        whole = int(stops[-1]) if len(stops) else 0
        if not final and len(data) - whole > self.source.limits.field_bytes:
            text = replace(text, cut=True)
            quotes, stops = self._stops(text)
            if not len(stops) or stops[-1] == whole:
                raise self._too_long(data[whole:], self.line + int(np.searchsorted(ends, whole, side="right")))
        if not final and text.width:
            stops = stops[: self._settled(text, quotes, stops)]
        return self._block(text, quotes, stops)

    def _read_header(self, text: Text) -> int:
        """Where the header ends (the whole text while it does not): nobody knows yet how wide a record is."""
        _, stops = self._stops(replace(text, final=False))
        starts = np.concatenate(([0], stops[:-1])) if len(stops) else stops
        comment = (self.options.comment or "").encode()
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            bare = text.data[start:stop].rstrip(b"\r\n")
            if bare and not (comment and bare.startswith(comment)):
                self.width, self.header_is_read = count_fields(bare, 0, len(bare), self.options)[0], True
                self.is_quoted = are_quoted(bare, self.options)
                return int(stop)
        return len(text.data)

    def _stops(self, text: Text) -> tuple[Quotes, Positions]:
        quotes, stops = find_quotes(text), text.ends
        if len(quotes.effective):
            stops = stops[quotes.outside(stops)]
            if text.final and len(quotes.effective) & 1:
                at = int(quotes.effective[-1])
                raise _never_closed(self.source, self.line + int(np.searchsorted(text.ends, at, side="right")))
        if text.final and (not len(stops) or stops[-1] < len(text.data)):
            stops = np.append(stops, len(text.data))
        return quotes, stops

    def _block(self, text: Text, quotes: Quotes, stops: Positions) -> Block:
        starts = np.concatenate(([0], stops[:-1])) if len(stops) else stops
        numbers = self.line + np.searchsorted(text.ends, starts, side="right")
        used = int(stops[-1]) if len(stops) else 0
        data = text.data if used == len(text.data) else text.data[:used]
        records = Records(data, starts, stops, numbers)
        self.line += int(np.searchsorted(text.ends, used, side="right"))
        broken = records.holding(quotes.junk[quotes.junk < used])
        self._require_one_line(records, broken, text.ends)
        reasons = dict.fromkeys(broken.tolist(), JUNK)
        reasons |= dict.fromkeys(_torn(text, quotes, records), TORN)
        doubtful = records.holding(quotes.doubtful[quotes.doubtful < used])
        reasons |= dict.fromkeys(doubtful.tolist(), DOUBTFUL)
        reasons |= dict.fromkeys(records.holding(quotes.unclosed[quotes.unclosed < used]).tolist(), UNCLOSED)
        broken = np.array(sorted(reasons), dtype=np.int64)
        has_quotes = bool(len(quotes.effective)) or ord(self.options.quote) in data
        return Block(records, broken, tuple(reasons[index] for index in broken.tolist()), has_quotes)

    def _settled(self, text: Text, quotes: Quotes, stops: Positions) -> int:
        """How many records do not wait for a quote in the lines behind them that belongs to them."""
        for index in range(len(stops) - 1, max(-1, len(stops) - 1 - TORN_LINES), -1):
            start, stop = int(stops[index - 1]) if index else 0, int(stops[index])
            if start < text.since or len(text.data) - start > TORN_BYTES:
                break
            if _opens_quote(quotes, start, stop):
                return index
            if _is_whole(text, start, stop):
                break
        return len(stops)

    def _require_one_line(self, records: Records, broken: Positions, ends: Positions) -> None:
        first = np.searchsorted(ends, records.starts[broken], side="right")
        several = broken[np.searchsorted(ends, records.stops[broken]) > first]
        if len(several):
            raise _never_closed(self.source, int(records.rows[several[0]]))

    def _too_long(self, rest: bytes, line: int) -> Exception:
        limit = self.source.limits.field_bytes
        text = Text(rest, _line_ends(rest, final=False), self.options, 0)
        if len(find_quotes(text).effective) & 1:
            return _never_closed(self.source, line)
        return self.source.beyond(f"line {line}: a record of more than {limit} bytes", f"{limit} bytes at most")


def _torn(text: Text, quotes: Quotes, records: Records) -> list[int]:
    """Records that are the lines of one text whose quotes are not doubled: from one with a quoted field to one where
    a quote closes that nobody opened.

    Where the first is as wide as the header, the text is in the last column, and its last line is not as wide.
    """
    found: list[int] = []
    for stray in quotes.strays[quotes.strays < len(records.text)].tolist():
        last = int(np.searchsorted(records.starts, stray, side="right")) - 1
        first = last - 1
        while first > last - TORN_LINES and _is_rest(text, quotes, records, first):
            first -= 1
        if first < 0 or records.starts[first] < text.since:
            continue
        above, below = ((int(records.starts[index]), int(records.stops[index])) for index in (first, last))
        if not _opens_quote(quotes, *above):
            continue
        is_whole = _is_whole(text, *above), _is_whole(text, *below)
        is_last_column = text.data[stray + 1 : stray + 2] != text.options.delimiter.encode()
        is_told = not is_whole[0] or (is_last_column and not is_whole[1])
        # Behind a doubted field nobody can tell whether the last is a record that holds a quote, or the end of a text.
        if is_told or _holds(quotes.unclosed, *above) or _holds(quotes.doubtful, *above):
            found += range(first, last + 1)
    return found


def _is_rest(text: Text, quotes: Quotes, records: Records, index: int) -> bool:
    """Whether a record is no record but a line of a text: without quoted field, and not as wide as the header."""
    if index < 0 or records.starts[index] < text.since:
        return False
    bounds = int(records.starts[index]), int(records.stops[index])
    return not _opens_quote(quotes, *bounds) and not _is_whole(text, *bounds)


def _opens_quote(quotes: Quotes, start: int, stop: int) -> bool:
    return _holds(quotes.effective, start, stop) or _holds(quotes.unclosed, start, stop)


def _holds(marks: Positions, start: int, stop: int) -> bool:
    return bool(len(marks)) and bool(np.searchsorted(marks, stop) > np.searchsorted(marks, start))


def _is_whole(text: Text, start: int, stop: int) -> bool:
    return count_fields(text.data, start, stop, text.options) == (text.width, False)


def _line_ends(data: bytes, *, final: bool) -> Positions:
    """Positions just after each line end. A CR that ends an unfinished block may be half a CRLF: not yet one."""
    ends = positions_of(data, LF) + 1
    if b"\r" not in data:
        return ends
    following = np.frombuffer(data[1:] + (b"\0" if final else b"\n"), dtype=np.uint8)
    returns = positions_of(data, CR)
    return np.sort(np.concatenate((ends, returns[following[returns] != LF] + 1)))


def _never_closed(source: Source, line: int) -> Exception:
    return source.refusal(
        "quotes_are_closed", f"line {line}: a quoted field that is not closed", "a closing quote before the next field"
    )
