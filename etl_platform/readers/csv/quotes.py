"""Which quotes of a CSV text open and close fields, and which quotes belong to nobody.

Belongs here: the rule of quotes, and the doubt about it. Not here: line numbers, blocks (`split.py`), fields' values.

A quote opens only at the beginning of a field and closes before a delimiter or a line end; any other quote in an
unquoted field is text (`5" pipe`). Text after a closing quote breaks its record.

A cell that was cut off after its opening quote pairs with any later quote, and everything between them becomes text of
one field: rows vanish without a trace. So a field over several lines is believed only where none of the lines inside it
splits into as many fields as the header. Where more than half of them do, the opening quote is unclosed: its line is
broken, the lines behind it are records. Where fewer do nobody can tell, and the whole record is broken. The line of the
closing quote proves nothing by its width: the end of a text with the fields behind it may be as wide as a record. Where
nothing else tells (no line inside, no file in which everything is quoted) the whole record is broken, too. The reverse,
a text over several lines whose quotes are not doubled, ends too early: what follows it is no record, and a quote closes
there that nobody opened; then all its lines are broken.

Blocks without a stray quote are settled over arrays of positions, others are walked quote by quote.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from etl_platform.limits import LINES_COUNTED_SINGLY
from etl_platform.readers.options import CsvOptions
from etl_platform.readers.records import Mask, Positions, positions_of

LF, CR = 10, 13
_Verdict = Literal["text", "unclosed", "doubtful"]
_NONE = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Quotes:
    """effective: quotes that open or close, alternating. junk: closing quotes followed by text.

    unclosed: quotes that open a field which never ends: it ends with its line. doubtful: quotes that open a field of
    which some lines may be records. strays: closing quotes that nobody opened.
    """

    effective: Positions = field(default_factory=lambda: _NONE)
    junk: Positions = field(default_factory=lambda: _NONE)
    unclosed: Positions = field(default_factory=lambda: _NONE)
    doubtful: Positions = field(default_factory=lambda: _NONE)
    strays: Positions = field(default_factory=lambda: _NONE)

    def outside(self, ends: Positions) -> Mask:
        """True for line ends that end a record."""
        outside: Mask = (np.searchsorted(self.effective, ends) & 1) == 0
        return outside


@dataclass(frozen=True)
class _Regular(Quotes):
    """Quotes that pair up; `known` is what `outside` tells."""

    known: Mask = field(default_factory=lambda: _NONE.astype(np.bool_))

    def outside(self, ends: Positions) -> Mask:
        return self.known if len(self.known) == len(ends) else super().outside(ends)


@dataclass(frozen=True)
class Text:
    """ends: just after each line end. final: nothing follows. cut: what follows is not waited for.

    width: fields of a record, 0 where lines inside quotes are not doubted. since: where the header ends. is_quoted:
    each name in the header is quoted.
    """

    data: bytes
    ends: Positions
    options: CsvOptions
    width: int
    since: int = 0
    final: bool = False
    cut: bool = False
    is_quoted: bool = False


def find_quotes(text: Text) -> Quotes:
    """The quotes of text that begins at the beginning of a record."""
    quote, options = ord(text.options.quote), text.options
    if quote not in text.data:
        return Quotes()
    found = positions_of(text.data, quote)
    padded = np.frombuffer(b"\n" + text.data + b"\n", dtype=np.uint8)
    is_edge = np.zeros(256, dtype=np.bool_)
    is_edge[[LF, CR, ord(options.delimiter), quote]] = True
    # A quote beside a quote passes: by parity it is the second half of an escaped pair.
    regular = bool(is_edge[padded[found[0::2]]].all() and is_edge[padded[found[1::2] + 2]].all())
    if regular and options.comment:
        regular = not _comment_has_quote(text, found, options.comment)
    if regular:
        paired = Quotes(found)
        outside = paired.outside(text.ends)
        if not (text.width and _is_doubtful(text, found, outside)):
            return _Regular(found, known=outside)
    return _Walk(text, found.tolist()).quotes()


def count_fields(data: bytes, start: int, stop: int, options: CsvOptions) -> tuple[int, bool]:
    """Fields of `data[start:stop]`, read as a record, and whether the last is still open."""
    delimiter, quote = options.delimiter.encode(), options.quote.encode()
    if data.find(quote, start, stop) < 0:
        return data.count(delimiter, start, stop) + 1, False
    count, at = 1, start
    while True:
        if data.startswith(quote, at, stop):
            at = data.find(quote, at + 1, stop)
            while at >= 0 and data.startswith(quote, at + 1, stop):
                at = data.find(quote, at + 2, stop)
            if at < 0:
                return count, True
        at = data.find(delimiter, at, stop) + 1
        if not at:
            return count, False
        count += 1


def are_quoted(line: bytes, options: CsvOptions) -> bool:
    """Whether every field of a line is quoted."""
    delimiter, parts = options.delimiter.encode(), line.split(options.quote.encode())
    # Every other part is outside: nothing at either end, and between the halves of an escaped quote.
    is_closed = len(parts) > 1 and len(parts) & 1 and not parts[0] and not parts[-1]
    return bool(is_closed) and all(part in (b"", delimiter) for part in parts[::2])


def starts_with(data: bytes, starts: Positions, prefix: bytes) -> Positions:
    """Indices of `starts` at which `data` goes on with `prefix`."""
    padded = np.frombuffer(data + b"\0" * len(prefix), dtype=np.uint8)
    kept = np.arange(len(starts))
    for offset, byte in enumerate(prefix):
        kept = kept[padded[starts[kept] + offset] == byte]
    return kept


def _comment_has_quote(text: Text, found: Positions, comment: str) -> bool:
    starts = np.concatenate(([0], text.ends))
    marked = starts[starts_with(text.data, starts, comment.encode())]
    stops = np.append(text.ends, len(text.data))[np.searchsorted(text.ends, marked, side="right")]
    return bool(np.any(np.searchsorted(found, marked) != np.searchsorted(found, stops)))


def _is_doubtful(text: Text, found: Positions, outside: Mask) -> bool:
    """Whether a quote stays open, or a line inside a field has as many delimiters as a record."""
    if len(found) & 1 and (text.final or text.cut):
        return True
    inside = np.flatnonzero(~outside)
    starts, stops = text.ends[inside], np.append(text.ends, len(text.data))[inside + 1]
    if len(inside) > LINES_COUNTED_SINGLY:
        delimiters = positions_of(text.data, ord(text.options.delimiter))
        counts = np.searchsorted(delimiters, stops) - np.searchsorted(delimiters, starts)
        return bool((counts >= text.width - 1).any())
    delimiter = text.options.delimiter.encode()
    bounds = zip(starts.tolist(), stops.tolist(), strict=True)
    return any(text.data.count(delimiter, start, stop) >= text.width - 1 for start, stop in bounds)


class _Walk:
    """One quote at a time: about a million quotes a second."""

    def __init__(self, text: Text, found: list[int]) -> None:
        self.text, self.found = text, found
        self.data, self.ends = text.data, text.ends.tolist()
        self.quote, self.fences = ord(text.options.quote), (LF, CR, ord(text.options.delimiter))
        self.comment = text.options.comment.encode() if text.options.comment else None
        self.effective: list[int] = []
        self.junk: list[int] = []
        self.unclosed: list[int] = []
        self.doubtful: list[int] = []
        self.strays: list[int] = []

    def quotes(self) -> Quotes:
        index, skip_to = 0, 0
        while index < len(self.found):
            at = self.found[index]
            if at < skip_to:
                index += 1
            elif at and self.data[at - 1] not in self.fences:
                self._note_stray(at)
                index += 1
            elif (stop := self._end_of_comment(at)) is not None:
                skip_to = stop
            else:
                closing = self._closing(index + 1)
                line = bisect_right(self.ends, at)
                if self.text.width and self._may_end_text(at, closing):
                    self.strays.append(at)
                verdict = self._verdict(at, closing, line)
                if verdict == "unclosed":
                    self.unclosed.append(at)
                    skip_to = self.ends[line]
                    continue
                if verdict == "doubtful":
                    self.doubtful.append(at)
                self.effective.append(at)
                if closing is None:
                    break
                closed = self.found[closing]
                self.effective.append(closed)
                if self._follower(closed) not in self.fences:
                    self.junk.append(closed)
                index = closing + 1
        marks = (self.effective, self.junk, self.unclosed, self.doubtful, self.strays)
        return Quotes(*(np.array(at, np.int64) for at in marks))

    def _follower(self, at: int) -> int:
        return self.data[at + 1] if at + 1 < len(self.data) else LF

    def _closing(self, index: int) -> int | None:
        """Index of the quote that closes a field, from the one at `index` on; doubled quotes are passed over."""
        while index < len(self.found):
            if self._follower(self.found[index]) != self.quote:
                return index
            index += 2
        return None

    def _start_of_line(self, at: int) -> int:
        line = bisect_right(self.ends, at)
        return self.ends[line - 1] if line else 0

    def _end_of_comment(self, at: int) -> int | None:
        if not self.comment:
            return None
        start = self._start_of_line(at)
        # A line that begins inside a quoted field is no comment, whatever it begins with.
        if (self.effective and self.effective[-1] >= start) or not self.data.startswith(self.comment, start):
            return None
        line = bisect_right(self.ends, at)
        return self.ends[line] if line < len(self.ends) else len(self.data)

    def _note_stray(self, at: int) -> None:
        """A quote in front of a delimiter or line end, in a line in which none was opened before."""
        if not self.text.width or self._follower(at) not in self.fences:
            return
        start = self._start_of_line(at)
        if self.comment and self.data.startswith(self.comment, start):
            return
        if all(not marks or marks[-1] < start for marks in (self.effective, self.strays)) and start >= self.text.since:
            self.strays.append(at)

    def _may_end_text(self, at: int, closing: int | None) -> bool:
        """Whether an opening quote that begins its line may be the end of a text in the lines before: nothing is in it,
        or it is `""`."""
        if self._start_of_line(at) != at or at < self.text.since:
            return False
        is_empty = closing is not None and self.found[closing] == at + 1
        return self._follower(at + is_empty) in self.fences

    def _verdict(self, at: int, closing: int | None, line: int) -> _Verdict:
        """What the field is that the quote `at` opens, where it does not end on its own line."""
        text, ends = self.text, self.ends
        if not text.width or at < text.since or line >= len(ends):
            return "text"
        last = len(ends) if closing is None else bisect_right(ends, self.found[closing])
        if last == line:
            return "text"
        if last == len(ends) and not text.final and (closing is not None or not text.cut):
            return "text"  # nobody knows yet how it goes on: it is carried to the next block
        if text.final and closing is None and ends[line] == len(self.data) and self._is_record(at, line):
            return "unclosed"  # the last line is whole: the file is not cut off in it
        return self._judged(at, closing, line, last)

    def _judged(self, at: int, closing: int | None, line: int, last: int) -> _Verdict:
        """By the lines from the one behind that of the quote to that of its closing quote.

        The last of them is no proof of a record: the end of a text, with the fields behind it, may be as wide as one.
        """
        closed = len(self.data) if closing is None else self.found[closing]
        is_broken = closing is None or self._follower(closed) not in self.fences
        inner = [self._fits(index, is_last=False, is_broken=is_broken) for index in range(line + 1, last)]
        records, lines = inner.count(True), len(inner) - inner.count(None)
        ends_fit = self._fits(last, is_last=True, is_broken=is_broken)
        if is_broken:
            return "unclosed" if records or ends_fit else "text"
        if records * 2 > lines + (ends_fit is False):
            return "unclosed"
        if records:
            return "doubtful"
        return self._judged_by_ends(at, closing, line, last, ends_fit=ends_fit, is_short=not lines)

    def _judged_by_ends(
        self, at: int, closing: int | None, line: int, last: int, *, ends_fit: bool | None, is_short: bool
    ) -> _Verdict:
        """What a field is none of whose inner lines is a record. is_short: there are none but blank ones and comments.

        A text that is taken for records gives rows made of its parts, records that are taken for a text are lost: where
        nothing tells, neither.
        """
        closed = len(self.data) if closing is None else self.found[closing]
        if ends_fit is not None and self._is_quoted_throughout(at, closed, last):
            return "text"
        delimiter, since, until = self.text.options.delimiter.encode(), self.ends[line], self.ends[last - 1]
        # Behind the end of a text in the first column there stand all other fields: a line as wide as the header.
        is_first_column = at == self._start_of_line(at) and self.data.find(delimiter, until, closed) < 0
        if ends_fit is not False and not (is_first_column and not is_short):
            # A comment is evidence neither way. Two kinds of lines that no record leaves, however it was cut off, tell
            # of a text: one in the first column that is not wide enough; inner ones without any delimiter or quote.
            quote = self.text.options.quote.encode()
            is_bare = self.data.find(delimiter, since, until) < 0 and self.data.find(quote, since, until) < 0
            is_text = is_first_column or (is_bare and not is_short)
            return "text" if is_text and not self._is_record(at, line) else "doubtful"
        if self._opens_alike(at, closing):
            return "doubtful"
        is_record = self._is_record(at, line, 2) or (self._is_record(at, line, 1) and self._meets_fence(at, closing))
        return "doubtful" if is_record else "text"

    def _is_quoted_throughout(self, at: int, closed: int, last: int) -> bool:
        """Whether a text's last line begins unquoted where the header and all fields of its record are quoted."""
        if not self.text.is_quoted or self.data[self.ends[last - 1]] == self.quote:
            return False
        stop = self.ends[last] if last < len(self.ends) else len(self.data)
        cells = self.data[self._start_of_line(at) : at + 1] + self.data[closed:stop].rstrip(b"\r\n")
        return are_quoted(cells, self.text.options)

    def _is_record(self, at: int, line: int, least: int = 0) -> bool:
        """Whether the line of a quote is as wide as the header, with the quote as text; `least` fields stand behind
        that of the quote (without any, each text in the last column would do)."""
        delimiter, start = self.text.options.delimiter.encode(), self._start_of_line(at)
        behind = self.text.width - 1 - self.data.count(delimiter, start, at)
        return behind >= least and self.data.count(delimiter, at, self.ends[line]) >= behind

    def _inner(self, at: int, closing: int | None) -> list[int]:
        """The quotes behind the one at `at`, that which closes its field included."""
        first = bisect_right(self.found, at)
        return self.found[first : (closing or first) + 1]

    def _meets_fence(self, at: int, closing: int | None) -> bool:
        """Whether a quote stands where one opens."""
        return any(self.data[quote - 1] in self.fences for quote in self._inner(at, closing))

    def _opens_alike(self, at: int, closing: int | None) -> bool:
        """Whether a quote stands where one opens in the same column of a line behind."""
        delimiter = ord(self.text.options.delimiter)
        before = self.data.count(delimiter, self._start_of_line(at), at)
        for quote in self._inner(at, closing) if before else ():
            if self.data[quote - 1] == delimiter:
                start = self._start_of_line(quote)
                if start > at and self.data.count(delimiter, start, quote) == before:
                    return True
        return False

    def _fits(self, index: int, *, is_last: bool, is_broken: bool) -> bool | None:
        """Whether a line is as wide as the header; None for one that is blank, a comment or not here as a whole."""
        if index == len(self.ends) and not self.text.final:
            return None
        start = self.ends[index - 1]
        stop = self.ends[index] if index < len(self.ends) else len(self.data)
        while stop > start and self.data[stop - 1] in (LF, CR):
            stop -= 1
        if stop == start or (self.comment and self.data.startswith(self.comment, start)):
            return None
        count, is_open = count_fields(self.data, start, stop, self.text.options)
        if is_open:  # a field over several lines may begin in it
            return is_last and (count <= self.text.width if is_broken else count == self.text.width)
        return count == self.text.width
