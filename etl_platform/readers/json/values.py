"""Text columns from the pairs of a block: exact numbers, unescaped strings, nested values as their JSON text.

Belongs here: what a single value must look like. Not here: finding it (`pairs.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from etl_platform.readers.json.pairs import NESTED, SCALAR, STRING, Pairs
from etl_platform.readers.json.text import loads_or_none, unescape
from etl_platform.readers.records import Positions, cut

_SCALAR = r"^(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)$"
_SURROGATE = r"\\u[dD][89a-fA-F]"
_SURROGATE_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"


@dataclass
class Values:
    """columns: by key, one entry per line of the block, null where missing. bare: of keys that have some, which values
    are numbers, true or false. refused: by rule, (line, reason)."""

    columns: dict[str, pl.Series] = field(default_factory=dict)
    bare: dict[str, pl.Series] = field(default_factory=dict)
    refused: list[tuple[str, Positions, str]] = field(default_factory=list)


def find_keys(text: bytes, pairs: Pairs) -> pa.DictionaryArray:
    """The key of each pair, as it is spelled."""
    return cut(text, pairs.key_starts, pairs.key_stops).dictionary_encode()


def read_values(text: bytes, pairs: Pairs, keys: pa.DictionaryArray) -> Values:
    """The columns of a block: one for each key, as high as the block has lines."""
    result = Values()
    texts = pl.Series(pl.from_arrow(cut(text, pairs.starts, pairs.stops)), dtype=pl.String)
    if b"\\" in text:
        texts = _unescaped(texts, pairs, result)
    _require_values(texts, pairs, result)
    codes = keys.indices.to_numpy()
    names = _names(keys.dictionary.to_pylist(), codes, pairs, result)
    is_scalar = pairs.kinds == SCALAR
    is_null = is_scalar & (np.frombuffer(text, dtype=np.uint8)[pairs.starts] == ord("n"))
    # Radix sort of 16-bit codes: linear, also where a block has thousands of keys.
    order = np.argsort(codes.astype(np.uint16) if len(keys.dictionary) < 2**16 else codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(keys.dictionary) + 1))
    picks: dict[str, pl.Expr] = {}
    for name, wanted in names.items():
        at = np.concatenate([order[bounds[code] : bounds[code + 1]] for code in wanted])
        if len(wanted) > 1:
            at.sort()
        lines = pairs.lines[at]
        twice = lines[1:][np.diff(lines) == 0]
        if len(twice):
            result.refused.append(("line_has_unique_keys", twice, f"key {name!r} twice"))
        if (bare := is_scalar[at]).any():
            on_line = np.zeros(len(pairs.broken), dtype=np.bool_)
            on_line[lines] = bare
            result.bare[name] = pl.Series(on_line)
        source = np.full(len(pairs.broken), -1, dtype=np.int64)
        source[lines] = np.where(is_null[at], -1, at)
        index = pl.Series(source)
        picks[name] = pl.lit(index).replace(-1, None) if source.min(initial=0) < 0 else pl.lit(index)
    gathered = texts.alias("").to_frame().select(**{name: pl.col("").gather(pick) for name, pick in picks.items()})
    result.columns = dict(zip(picks, gathered, strict=True))
    return result


def _names(raw: list[str], codes: Positions, pairs: Pairs, result: Values) -> dict[str, list[int]]:
    """The dictionary codes of each key; two spellings of one key (escapes) are one key."""
    names: dict[str, list[int]] = {}
    for code, spelled in enumerate(raw):
        name = unescape(spelled) if "\\" in spelled else spelled
        if name is None or "\0" in name:
            result.refused.append(("line_is_json", pairs.lines[codes == code], f"key {spelled[:100]!r} is no text"))
        else:
            names.setdefault(name, []).append(code)
    return names


def _require_values(texts: pl.Series, pairs: Pairs, result: Values) -> None:
    scalars = np.flatnonzero(pairs.kinds == SCALAR)
    wrong = scalars[~(texts.gather(scalars) if len(scalars) < len(texts) else texts).str.contains(_SCALAR).to_numpy()]
    if len(wrong):
        result.refused.append(("line_is_json", pairs.lines[wrong], "a value that is no number, true, false or null"))
    nested = np.flatnonzero(pairs.kinds == NESTED)
    if len(nested):
        wrong = nested[~_are_json(texts.gather(nested))]
        if len(wrong):
            result.refused.append(("line_is_json", pairs.lines[wrong], "a nested value that is not JSON"))


def _are_json(texts: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    document = ('{"":' + texts + "}\n").str.join("").item()
    try:
        # A schema of another key: the lines are parsed and checked, nothing is built.
        pl.read_ndjson(document.encode(), schema={"-": pl.String})
    except pl.exceptions.ComputeError:
        return np.array([loads_or_none(text) is not None for text in texts], dtype=np.bool_)
    return np.ones(len(texts), dtype=np.bool_)


def _unescaped(texts: pl.Series, pairs: Pairs, result: Values) -> pl.Series:
    strings = pl.Series(pairs.kinds == STRING)
    at = np.flatnonzero((strings & texts.str.contains("\\", literal=True)).to_numpy())
    quoted = '"' + texts.gather(at) + '"'
    risky = quoted.str.replace_all(_SURROGATE_PAIR, "").str.contains(_SURROGATE).to_numpy()
    plain, by_hand = at[~risky], at[risky]
    try:
        done = quoted.filter(pl.Series(~risky)).str.json_decode(pl.String)
    except pl.exceptions.ComputeError:
        plain, by_hand = at[:0], at
        done = quoted.head(0)
    parsed = pl.Series([unescape(text) for text in texts.gather(by_hand)], dtype=pl.String)
    wrong = by_hand[parsed.is_null().to_numpy()]
    if len(wrong):
        result.refused.append(("line_is_json", pairs.lines[wrong], "an escape that is no character"))
    order = np.concatenate((plain, by_hand))
    values = pl.concat([done, parsed])
    nul = order[values.str.contains("\0", literal=True).fill_null(False).to_numpy()]
    if len(nul):
        result.refused.append(("text_has_no_nul", pairs.lines[nul], "a NUL character"))
    return texts.scatter(order, values)
