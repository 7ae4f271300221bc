"""CSV files as broken writers make them: quotes stray, doubled once too often or not at all, escaped, never closed.

Belongs here: the generator, which knows what each record was, and is the oracle. Not here: reading them
(`unit/readers/csv/test_stray_quotes.py`).

Left out is what no reader can know: a broken text that is another text written well (`""` for two quotes that were not
doubled), lines inside a text that are themselves as wide as the header (those are `multiline: trusted`), and a broken
text of which both the first and the last line are. The last line of a text written well may look like a record.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import zstandard

from etl_platform.readers import CsvOptions
from etl_platform_tests.support.dialects import zipped

COMPRESSIONS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    lambda data: gzip.compress(data, 1, mtime=0),
    zstandard.compress,
    lambda data: zipped(("day.csv", data)),
)
_WORDS = ("rent", "card", "12 J", "flat", "Müller", "fee", "€ 5", "pipe", "x", "N/A", "o'clock", "=1+1")


@dataclass(frozen=True)
class Record:
    """values: as the sender meant them. lines: as they stand in the file. is_good: written as CSV says."""

    values: tuple[str, ...]
    lines: tuple[str, ...]
    is_good: bool


@dataclass(frozen=True)
class StrayFile:
    """A file, how it is read, and what every record of it was."""

    content: bytes
    options: CsvOptions
    records: tuple[Record, ...]


@dataclass(frozen=True)
class _Style:
    """quotes: `minimal`, `all` or `text`: which cells the writer quotes."""

    delimiter: str
    quote: str
    end: str
    width: int
    text_column: int
    quotes: str

    def well(self, value: str, column: int) -> str:
        """A cell as CSV says."""
        needed = any(mark in value for mark in (self.delimiter, "\n", "\r")) or value.startswith(self.quote)
        if needed or self.quotes == "all" or (self.quotes == "text" and column == self.text_column):
            return self.quote + value.replace(self.quote, self.quote * 2) + self.quote
        return value


def stray_file(seed: int, share: float | None = None) -> StrayFile:
    """The same file for the same seed. share: of records that are written badly."""
    random = Random(seed)
    width = random.choice((2, 3, 4, 5, 7, 12))
    text_column = random.choice((0, width - 1, random.randrange(width)))
    style = _Style(
        delimiter=random.choice(",,;|\t"),
        quote=random.choice('"""\''),
        end=random.choice(("\n", "\n", "\r\n", "\r")),
        width=width,
        text_column=text_column,
        quotes=random.choice(("minimal", "all", "text")),
    )
    rows = random.choice((2, 5, 12, 40, 150))
    share = random.choice((0.02, 0.1, 0.3)) if share is None else share
    records = [_record(random, style, number, share) for number in range(1, rows + 1)]
    names = [f"c{index}" for index in range(width)]
    header = style.delimiter.join(style.well(name, index) for index, name in enumerate(names))
    lines = [header, *(line for record in records for line in record.lines)]
    text = style.end.join(lines) + random.choice(("", style.end))
    encoding = random.choice(("utf-8", "utf-8", "utf-16", "cp1252"))
    options = CsvOptions(delimiter=style.delimiter, quote=style.quote, encoding=encoding)
    content = random.choice(COMPRESSIONS)(text.encode(encoding))
    return StrayFile(content, options, tuple(records))


def _record(random: Random, style: _Style, number: int, share: float) -> Record:
    values = [f"{random.choice('TK')}{number}-{index}" for index in range(style.width)]
    while True:
        text = _text(random, style)
        values[style.text_column] = text
        cells = [style.well(value, column) for column, value in enumerate(values)]
        is_good = random.random() >= share
        if not is_good:
            written = _broken(random, style, text)
            if random.random() < 0.1:  # a quote that nobody opened is text: an inch mark
                written = values[style.text_column] = _single(style, text).lstrip(style.quote) + style.quote
            is_good = written in (cells[style.text_column], values[style.text_column])
            cells[style.text_column] = written
        line = style.delimiter.join(cells)
        if not is_good and style.text_column and random.random() < 0.2:
            line = style.delimiter.join(cells[: style.text_column + 1])  # the rest of the line is cut off, too
        lines = line.split(style.end)
        if _can_be_known(style, lines, is_good=is_good):
            return Record(tuple(values), tuple(lines), is_good)


def _can_be_known(style: _Style, lines: Sequence[str], *, is_good: bool) -> bool:
    """No line inside a text is a record; its first and its last line may look like one, in a broken text not both."""
    fits = [line.count(style.delimiter) + 1 == style.width for line in lines]
    return len(lines) == 1 or not (any(fits[1:-1]) or (fits[0] and fits[-1] and not is_good))


def _text(random: Random, style: _Style) -> str:
    pieces = [random.choice(_WORDS) for _ in range(random.randint(1, 4))]
    kind = random.random()
    if kind < 0.25:
        pieces[-1] += f" 5{style.quote}"  # an inch mark
    elif kind < 0.35:
        pieces.insert(random.randrange(len(pieces)), f"a{style.quote}b")
    elif kind < 0.5:
        pieces.insert(random.randrange(len(pieces) + 1), style.delimiter)
    elif kind < 0.6:
        pieces.insert(0, f"{style.quote}so{style.quote}")
    if random.random() < 0.15:
        for _ in range(random.randint(1, 3)):
            pieces.insert(random.randint(1, len(pieces)), style.end)
    return random.choice((" ", " ", "")).join(pieces)


def _single(style: _Style, text: str) -> str:
    return " ".join(text.split()).replace(style.delimiter, " ")


def _broken(random: Random, style: _Style, text: str) -> str:
    """The text of a cell as a writer with this defect leaves it."""
    quote = style.quote
    escaped = text.replace(quote, quote * 2)
    single = _single(style, text)
    ways = {
        "unclosed": quote + single.replace(quote, quote * 2),
        "cut": quote + single.replace(quote, "")[: random.randint(0, 4)],
        "undoubled": quote + text + quote,
        "doubled_end": quote + escaped + quote * 2,
        "doubled_start": quote * 2 + escaped + quote,
        "doubled_both": quote * 2 + text + quote * 2,
        "backslash": quote + text.replace(quote, "\\" + quote) + quote,
    }
    if text.startswith(style.delimiter):
        del ways["doubled_start"], ways["doubled_both"]  # two well-written cells
    if text.endswith(style.delimiter):
        ways = {way: written for way, written in ways.items() if way not in ("doubled_end", "doubled_both")}
    return ways[random.choice(list(ways))]
