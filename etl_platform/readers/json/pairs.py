"""Keys and values of JSON objects, one object per line, as positions in the text.

Belongs here: the grammar of a flat object; a nested value is one opaque span. Not here: values' text (`values.py`).
The grammar is a table of which token may follow which: every neighbour pair of a block is checked at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etl_platform.readers.json.tokens import (
    CLOSE,
    CLOSE_ARRAY,
    COLON,
    COMMA,
    IS_BLANK,
    LINE_END,
    OPEN,
    OPEN_ARRAY,
    QUOTE,
    Tokens,
    in_strings,
    tokenise,
)
from etl_platform.readers.records import Mask, Positions

# Token kinds beside the punctuation's own byte.
STRING = QUOTE
SCALAR, NESTED, KEY = ord("1"), ord("["), ord("k")
_FOLLOWERS = {
    LINE_END: (OPEN, LINE_END),
    OPEN: (KEY, CLOSE),
    KEY: (COLON,),
    COLON: (STRING, SCALAR, NESTED),
    COMMA: (KEY,),
    **dict.fromkeys((STRING, SCALAR, NESTED), (COMMA, CLOSE)),
    CLOSE: (LINE_END,),
}
_ALLOWED = np.zeros(2**14, dtype=np.bool_)
for _kind, _next in _FOLLOWERS.items():
    _ALLOWED[[_kind << 7 | follower for follower in _next]] = True
_OPENS_KEY = np.zeros(256, dtype=np.bool_)
_OPENS_KEY[[OPEN, COMMA]] = True


@dataclass(frozen=True)
class Pairs:
    """One entry per key of a good line, in file order. lines: index of its line. kinds: STRING, SCALAR or NESTED.

    Spans are without quotes. broken: indices of lines that are no JSON object. depth: the deepest nesting met.
    """

    lines: Positions
    key_starts: Positions
    key_stops: Positions
    starts: Positions
    stops: Positions
    kinds: np.ndarray[tuple[int], np.dtype[np.uint8]]
    broken: Mask
    depth: int


def find_pairs(text: bytes) -> Pairs:
    """The pairs of all lines; `text` ends with a line end."""
    data = np.frombuffer(text, dtype=np.uint8)
    tokens, odd = tokenise(text, reset_at_line_end=True)
    broken = np.zeros(int(np.count_nonzero(tokens.kinds == LINE_END)), dtype=np.bool_)
    broken[odd] = True
    broken[_lines_with_control(data, tokens)] = True
    tokens, lines, depths = _balanced(tokens, broken)
    deepest = int(depths.max(initial=0))
    tokens, lines = _flat(tokens, lines, depths)
    tokens, lines = _with_scalars(data, tokens, lines)
    kinds = tokens.kinds
    kinds[1:][(kinds[1:] == STRING) & _OPENS_KEY[kinds[:-1]]] = KEY
    pairs = np.full(len(kinds), LINE_END << 7, dtype=np.int16)
    np.left_shift(kinds[:-1], 7, out=pairs[1:], dtype=np.int16)
    pairs |= kinds
    broken[lines[~_ALLOWED[pairs]]] = True
    colons = np.flatnonzero(kinds == COLON)
    if broken.any():
        colons = colons[~broken[lines[colons]]]
    quoted = kinds[colons + 1] == STRING
    return Pairs(
        lines=lines[colons],
        key_starts=tokens.starts[colons - 1] + 1,
        key_stops=tokens.ends[colons - 1],
        starts=tokens.starts[colons + 1] + quoted,
        stops=tokens.ends[colons + 1] + 1 - quoted,
        kinds=kinds[colons + 1],
        broken=broken,
        depth=deepest,
    )


def _lines_with_control(data: np.ndarray, tokens: Tokens) -> Positions:
    """Lines with a raw control character inside a string, which JSON forbids."""
    control = data < 32
    ends = tokens.starts[tokens.kinds == LINE_END]
    if np.count_nonzero(control) == len(ends):
        return np.empty(0, dtype=np.int64)
    positions = np.flatnonzero(control)
    return np.searchsorted(ends, positions[in_strings(tokens, positions)])


def _balanced(tokens: Tokens, broken: Mask) -> tuple[Tokens, Positions, Positions]:
    """The tokens of lines whose brackets balance, of other lines only the line end; their lines and depths."""
    lines, depths = tokens.lines(), tokens.depths()
    at_end = depths[tokens.kinds == LINE_END]
    base = np.concatenate(([0], at_end[:-1])).astype(depths.dtype) if len(at_end) else at_end
    if base.any() or (len(at_end) and at_end[-1]):
        depths = depths - base[lines]
    broken[at_end != base] = True
    broken[lines[depths < 0]] = True
    if not broken.any():
        return tokens, lines, depths
    kept = ~broken[lines] | (tokens.kinds == LINE_END)
    depths[tokens.kinds == LINE_END] = 0
    return tokens.take(kept), lines[kept], depths[kept]


def _flat(tokens: Tokens, lines: Positions, depths: Positions) -> tuple[Tokens, Positions]:
    """The tokens of the objects themselves: a nested value becomes one token from its first to its last bracket."""
    if int(depths.max(initial=0)) < 2:
        return tokens, lines
    opens = (tokens.kinds == OPEN) | (tokens.kinds == OPEN_ARRAY)
    closes = (tokens.kinds == CLOSE) | (tokens.kinds == CLOSE_ARRAY)
    nested_opens, nested_closes = opens & (depths == 2), closes & (depths == 1)
    kept = (depths < 2) & ~nested_closes | nested_opens
    ends, kinds = tokens.ends.copy(), tokens.kinds.copy()
    ends[nested_opens] = tokens.starts[nested_closes]
    kinds[nested_opens] = NESTED
    return Tokens(tokens.starts[kept], ends[kept], kinds[kept]), lines[kept]


def _with_scalars(data: np.ndarray, tokens: Tokens, lines: Positions) -> tuple[Tokens, Positions]:
    """The tokens and, between them, everything else that is not blank: numbers, true, false, null, or nonsense."""
    after = np.empty_like(tokens.ends)
    after[:1] = 0
    np.add(tokens.ends[:-1], 1, out=after[1:])
    gaps = np.flatnonzero(tokens.starts > after)
    starts, stops = _stripped(data, after[gaps], tokens.starts[gaps])
    filled = starts < stops
    gaps, starts, stops = gaps[filled], starts[filled], stops[filled]
    # The merged order: each scalar takes the place before the token that ends its gap.
    own = gaps + np.arange(len(gaps))
    total = len(lines) + len(gaps)
    target = np.ones(total, dtype=np.bool_)
    target[own] = False
    merged = Tokens(np.empty(total, np.int32), np.empty(total, np.int32), np.full(total, SCALAR, dtype=np.uint8))
    merged_lines = np.empty(total, dtype=lines.dtype)
    merged.starts[target], merged.ends[target], merged.kinds[target] = tokens.starts, tokens.ends, tokens.kinds
    merged.starts[own], merged.ends[own] = starts, stops - 1
    merged_lines[target], merged_lines[own] = lines, lines[gaps]
    return merged, merged_lines


def _stripped(data: np.ndarray, starts: Positions, stops: Positions) -> tuple[Positions, Positions]:
    """Spans without blanks at their ends; an all-blank span becomes empty."""
    # One blank after a colon or comma is the common style: settled without looking at the whole block.
    starts = starts + IS_BLANK[data[starts]]
    inner = np.minimum(starts, stops - 1)
    if not (IS_BLANK[data[inner]] & (starts < stops)).any() and not IS_BLANK[data[stops - 1]][starts < stops].any():
        return starts, stops
    solid = np.flatnonzero(~IS_BLANK[data])
    first = np.append(solid, len(data))[np.searchsorted(solid, starts)]
    last = np.append(-1, solid)[np.searchsorted(solid, stops)] + 1
    return first, np.maximum(first, last)
