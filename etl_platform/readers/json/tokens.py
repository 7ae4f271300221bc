"""Where JSON's punctuation is: positions of brackets, colons, commas, line ends and strings, outside strings.

Belongs here: the one pass that tells text from structure. Not here: what the structure means.

Why not a library: every JSON reader at hand passes numbers through binary floats, keeps the first or the last of two
equal keys, and re-writes nested values. Positions cut the sender's own text out of the file, so that nothing is bent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl_platform.readers.records import Mask, Positions

QUOTE, BACKSLASH, LINE_END, OPEN, CLOSE, OPEN_ARRAY, CLOSE_ARRAY, COLON, COMMA = (ord(char) for char in '"\\\n{}[]:,')

_IS_TOKEN = np.zeros(256, dtype=np.bool_)
_IS_TOKEN[[QUOTE, LINE_END, OPEN, CLOSE, OPEN_ARRAY, CLOSE_ARRAY, COLON, COMMA]] = True
IS_BLANK = np.zeros(256, dtype=np.bool_)
IS_BLANK[[ord(char) for char in " \t\r\n"]] = True
_STEP = np.zeros(256, dtype=np.int8)
_STEP[[OPEN, OPEN_ARRAY]] = 1
_STEP[[CLOSE, CLOSE_ARRAY]] = -1


@dataclass(frozen=True)
class Tokens:
    """starts / ends: first and last byte of each token (they differ for strings only). kinds: its first byte."""

    starts: Positions
    ends: Positions
    kinds: np.ndarray[tuple[int], np.dtype[np.uint8]]

    def take(self, kept: Mask) -> Tokens:
        """Some of the tokens."""
        return Tokens(self.starts[kept], self.ends[kept], self.kinds[kept])

    def depths(self) -> Positions:
        """Depth after each token."""
        return np.cumsum(_STEP[self.kinds], dtype=np.int32)

    def lines(self) -> Positions:
        """Index of the line that each token is on; a line end belongs to the line that it ends."""
        ends = self.kinds == LINE_END
        lines = np.cumsum(ends, dtype=np.int32)
        lines -= ends
        return lines


def tokenise(text: bytes, *, reset_at_line_end: bool) -> tuple[Tokens, Positions]:
    """The tokens of text that begins outside a string; an unclosed string at its end yields none.

    With `reset_at_line_end` a string cannot span lines: lines with an odd number of quotes are reported (second
    result) and yield only their line end.
    """
    data = np.frombuffer(text, dtype=np.uint8)
    # Half the bytes of the platform's integer: these arrays are what the time goes into.
    at = np.flatnonzero(_IS_TOKEN[data]).astype(np.int32)
    kinds = data[at]
    if b"\\" in text:
        kept = ~_escaped(data, at, kinds)
        at, kinds = at[kept], kinds[kept]
    odd = np.empty(0, dtype=np.int64)
    if reset_at_line_end:
        odd = _odd_lines(kinds)
        if len(odd):
            ends = kinds == LINE_END
            kept = ends | ~np.isin(np.cumsum(ends) - ends, odd)
            at, kinds = at[kept], kinds[kept]
    quotes = kinds == QUOTE
    # Parity of the quotes up to and including the token: even for what is outside, odd for an opening quote.
    outside = np.bitwise_xor.accumulate(quotes) == quotes
    opening = outside & quotes
    closers = at[quotes & ~outside]
    openers = int(np.count_nonzero(opening))
    starts, kinds = at[outside], kinds[outside]
    ends_at = starts.copy()
    strings = np.flatnonzero(kinds == QUOTE)
    ends_at[strings[: len(closers)]] = closers
    tokens = Tokens(starts, ends_at, kinds)
    if openers > len(closers):
        tokens = Tokens(starts[:-1], ends_at[:-1], kinds[:-1])
    return tokens, odd


def _odd_lines(kinds: np.ndarray) -> Positions:
    """Lines with an odd number of quotes."""
    parity = np.bitwise_xor.accumulate(kinds == QUOTE)[kinds == LINE_END]
    return np.flatnonzero(parity != np.append(False, parity[:-1])) if parity.any() else np.empty(0, dtype=np.int64)


def _escaped(data: np.ndarray, at: Positions, kinds: np.ndarray) -> Mask:
    """True for quotes that follow an odd number of backslashes."""
    slashes = np.flatnonzero(data == BACKSLASH)
    first_of_run = np.append(True, np.diff(slashes) > 1)
    run_start = np.maximum.accumulate(np.where(first_of_run, slashes, 0))
    quotes = np.flatnonzero(kinds == QUOTE)
    after = np.searchsorted(slashes, at[quotes]) - 1
    follows = (after >= 0) & (slashes[after] == at[quotes] - 1)
    odd = follows & (((at[quotes] - run_start[after]) & 1) == 1)
    escaped = np.zeros(len(at), dtype=np.bool_)
    escaped[quotes[odd]] = True
    return escaped


def in_strings(tokens: Tokens, positions: Positions) -> Mask:
    """True for positions inside a string."""
    strings = tokens.kinds == QUOTE
    starts, ends = tokens.starts[strings], tokens.ends[strings]
    index = np.searchsorted(starts, positions) - 1
    return (index >= 0) & (positions < np.append(ends, 0)[index])
