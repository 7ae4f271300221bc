"""The dialect of a CSV file in the form that the parser takes: delimiter and quote as single ASCII characters.

Belongs here: dialect checks, and the detour for delimiters and quotes outside ASCII: such a character and a control
character change places on the way in, and change back on the way out, so that no text is altered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow.csv as pc

from etl_platform.errors import ConfigurationError
from etl_platform.readers.options import CsvOptions
from etl_platform.readers.source import Source

_STAND_INS = {"delimiter": "\x1f", "quote": "\x1e"}


@dataclass(frozen=True)
class CsvDialect:
    """options: as the parser sees them. swaps: pairs of characters that changed places."""

    options: CsvOptions
    swaps: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, source: Source, options: CsvOptions) -> CsvDialect:
        """Raises ConfigurationError for a dialect in which no record could be told from the next."""
        marks = (options.delimiter, options.quote)
        if len(set(marks)) < 2 or any(mark in "\r\n\0\ufeff" for mark in marks):
            raise ConfigurationError(
                f"{source.subject} options delimiter, quote",
                found=f"{options.delimiter!r} and {options.quote!r}",
                expected="two different characters, neither a line end nor NUL",
            )
        changed = {name: mark for name in _STAND_INS if not (mark := getattr(options, name)).isascii()}
        swaps = tuple((mark, _STAND_INS[name]) for name, mark in changed.items())
        seen = {name: _STAND_INS[name] for name in changed}
        if swaps and options.comment:
            seen["comment"] = options.comment.translate(_table(swaps))
        return cls(options.model_copy(update=seen), swaps)

    def parse_options(self, *, has_quotes: bool, **more: Any) -> pc.ParseOptions:
        """For one block of whole records, blank lines counted."""
        return pc.ParseOptions(
            delimiter=self.options.delimiter,
            quote_char=self.options.quote,
            newlines_in_values=has_quotes,
            ignore_empty_lines=False,
            **more,
        )

    def inward(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The text as the parser sees it."""
        if not self.swaps:
            yield from chunks
            return
        table = _table(self.swaps)
        for chunk in chunks:
            yield chunk.decode().translate(table).encode()

    def outward(self, texts: pl.Series) -> pl.Series:
        """Text as the sender wrote it."""
        if not self.swaps:
            return texts
        table = {chr(old): new for old, new in _table(self.swaps).items()}
        return texts.str.replace_many(table)

    def outward_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """All columns as the sender wrote them."""
        return frame.select(self.outward(column) for column in frame) if self.swaps else frame

    def outward_rejects(self, rejects: pl.DataFrame) -> pl.DataFrame:
        """Rejects with their raw text as the sender wrote it."""
        return rejects.with_columns(self.outward(rejects["raw"])) if self.swaps else rejects

    def outward_names(self, names: list[str]) -> tuple[str, ...]:
        """Column names as the sender wrote them."""
        return tuple(self.outward(pl.Series(names, dtype=pl.String)) if self.swaps else names)


def _table(swaps: tuple[tuple[str, str], ...]) -> dict[int, str]:
    return {ord(a): b for pair in swaps for a, b in (pair, pair[::-1])}
