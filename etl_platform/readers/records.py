"""Records of a block of text, by position: their raw text, their line numbers, the frame of their rejects.

Belongs here: what CSV and JSON share once the record boundaries are known. Not here: finding them.
Positions are numpy arrays over the block's bytes, so that no record costs a Python object until it is quarantined.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from etl_platform.limits import RAW_CHARACTERS
from etl_platform.readers.batch import REJECT_SCHEMA, SOURCE_ROW

Positions = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]


def cut(text: bytes, starts: Positions, stops: Positions) -> pa.LargeStringArray:
    """The pieces `text[start:stop]`; positions ascend and do not overlap."""
    offsets = np.empty(2 * len(starts) + 1, dtype=np.int64)
    offsets[0:-1:2], offsets[1:-1:2] = starts, stops
    offsets[-1] = stops[-1] if len(stops) else 0
    pieces = pa.LargeStringArray.from_buffers(2 * len(starts), pa.py_buffer(offsets), pa.py_buffer(text))
    return pieces.take(pa.array(np.arange(0, 2 * len(starts), 2)))


def shorten(texts: pl.Series) -> pl.Series:
    """Raw text as it is kept in quarantine: without its line end, cut at RAW_CHARACTERS with an ellipsis.

    NUL is shown as its symbol: no database takes it in text, and quarantine must be writable everywhere.
    """
    frame = texts.alias("raw").to_frame()
    bare = pl.col("raw").str.replace(r"(\r\n|\r|\n)$", "").str.replace_all("\0", "\u2400", literal=True)
    kept = pl.when(bare.str.len_chars() > RAW_CHARACTERS).then(bare.str.head(RAW_CHARACTERS - 1) + "…").otherwise(bare)
    return frame.select(kept.alias("raw")).to_series()


def reject_frame(rows: pl.Series, rule: str, found: Iterable[str] | str, raw: pl.Series) -> pl.DataFrame:
    """Rows of REJECT_SCHEMA; one reason for all, or one for each."""
    reasons = [found] * len(rows) if isinstance(found, str) else list(found)
    columns = {SOURCE_ROW: rows, "rule": [rule] * len(rows), "found": reasons, "raw": raw}
    return pl.DataFrame(columns, schema=REJECT_SCHEMA)


@dataclass(frozen=True)
class Records:
    """starts / stops: of each record in `text`, its line end included. rows: its `_source_row`."""

    text: bytes
    starts: Positions
    stops: Positions
    rows: Positions

    @classmethod
    def none(cls) -> Records:
        """No records."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(b"", nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, index: Positions | Mask) -> Records:
        """Some of the records, over the same text."""
        return Records(self.text, self.starts[index], self.stops[index], self.rows[index])

    def raw(self, indices: pl.Series) -> pl.Series:
        """The raw text of the records at `indices`, in that order."""
        order, inverse = np.unique(indices.to_numpy().astype(np.int64), return_inverse=True)
        # A quarantined record may be megabytes of one line: four bytes a character are enough for what is kept.
        stops = np.minimum(self.stops[order], self.starts[order] + 4 * RAW_CHARACTERS + 8)
        stops = _at_character(self.text, stops, self.starts[order])
        pieces = pl.Series(pl.from_arrow(cut(self.text, self.starts[order], stops)), dtype=pl.String)
        return shorten(pieces.gather(inverse))

    def joined(self) -> bytes:
        """The text of these records alone."""
        lengths = self.stops - self.starts
        if int(lengths.sum()) == len(self.text):
            return self.text
        edges = np.zeros(len(self.text) + 1, dtype=np.int8)
        edges[self.starts] += 1
        edges[self.stops] -= 1
        return np.frombuffer(self.text, dtype=np.uint8)[np.cumsum(edges[:-1], dtype=np.int8) > 0].tobytes()

    def rejects(self, indices: Positions, rule: str, found: Iterable[str] | str) -> pl.DataFrame:
        """The records at `indices` as rows of REJECT_SCHEMA."""
        return reject_frame(pl.Series(self.rows[indices]), rule, found, self.raw(pl.Series(indices, dtype=pl.UInt32)))

    def holding(self, positions: Positions) -> Positions:
        """Indices of the records that contain any of these positions of the text."""
        index = np.searchsorted(self.starts, positions, side="right") - 1
        index = np.unique(index[index >= 0])
        return index.astype(np.int64)


def _at_character(text: bytes, stops: Positions, starts: Positions) -> Positions:
    """Move each stop back to where a UTF-8 character begins (at most three bytes)."""
    data = np.frombuffer(text + b"\0", dtype=np.uint8)
    for _ in range(3):
        stops = np.where((data[stops] & 0xC0 == 0x80) & (stops > starts), stops - 1, stops)
    return stops


def positions_of(text: bytes, byte: int) -> Positions:
    """Where a byte occurs."""
    return np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == byte)
