"""Batches of small files that pass the casts and rules together: a query costs a file of one row more than its row.

Belongs here: which batches may, and the rows of all of them as one. Not here: what happens to them (`judge.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from etl_platform.limits import OBSERVED_ROWS, TOGETHER_BYTES, TOGETHER_ROWS
from etl_platform.readers.batch import SOURCE_ROW, Batch
from etl_platform.transforms.deduplicate import DELIVERY
from etl_platform.transforms.normalise import Mapped, SenderFormat, supplied_columns

_PIECE = "_piece"


@dataclass(frozen=True)
class Piece:
    """A batch of a file, and how its columns are mapped and read. key, delivery: of the file."""

    key: str
    delivery: int
    sender: SenderFormat
    mapped: Mapped
    batch: Batch

    @property
    def height(self) -> int:
        return self.batch.columns.height

    @cached_property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        rejected = self.batch.rejects.estimated_size() if self.batch.rejects.height else 0
        return int(self.batch.columns.estimated_size() + rejected) + self.batch.held

    @cached_property
    def _format(self) -> SenderFormat:
        return replace(self.sender, supplied=dict.fromkeys(self.sender.supplied, ""))

    def passes_with(self, other: Piece) -> bool:
        """Whether both have the same columns, of the same types, read and mapped in the same way."""
        return (
            self.batch.columns.schema == other.batch.columns.schema
            and self.mapped == other.mapped
            and self._format == other._format
        )


class Waiting:
    """Pieces of the same columns until there are enough of them."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._rows = self._bytes = 0

    def takes(self, piece: Piece) -> bool:
        """Whether the piece may wait with those that do."""
        return not self.pieces or self.pieces[-1].passes_with(piece)

    def add(self, piece: Piece) -> None:
        """Let it wait."""
        self.pieces.append(piece)
        self._rows += piece.height
        self._bytes += piece.size

    def drop_last(self, delivery: int) -> list[Piece]:
        """Take out the pieces of the file that came last, if it has any here."""
        dropped: list[Piece] = []
        while self.pieces and self.pieces[-1].delivery == delivery:
            piece = self.pieces.pop()
            self._rows -= piece.height
            self._bytes -= piece.size
            dropped.insert(0, piece)
        return dropped

    @property
    def is_enough(self) -> bool:
        """Whether waiting for more would gain nothing: for a large batch, it never does."""
        return self._rows >= TOGETHER_ROWS or self._bytes >= TOGETHER_BYTES or self.pieces[-1].height >= OBSERVED_ROWS


@dataclass(frozen=True)
class Together:
    """The rows of pieces that pass together, in their order."""

    pieces: Sequence[Piece] = field(repr=False)

    @cached_property
    def columns(self) -> pl.DataFrame:
        """As received."""
        frames = [piece.batch.columns for piece in self.pieces]
        return frames[0] if len(frames) == 1 else pl.concat(frames, rechunk=True)

    @cached_property
    def starts(self) -> list[int]:
        """Where each piece begins, and where the last one ends."""
        starts = [0]
        for piece in self.pieces:
            starts.append(starts[-1] + piece.height)
        return starts

    @cached_property
    def number(self) -> pl.Series:
        """Of the piece that each row belongs to."""
        heights = pl.Series([piece.height for piece in self.pieces], dtype=pl.Int64)
        return self._each(pl.Series(_PIECE, range(len(self.pieces)), dtype=pl.UInt32), heights)

    @cached_property
    def source_rows(self) -> pl.Series:
        """The line of each row in its file."""
        rows = [piece.batch.source_rows for piece in self.pieces]
        return (rows[0] if len(rows) == 1 else pl.concat(rows)).alias(SOURCE_ROW)

    def origin(self, number: Callable[[], pl.Series]) -> list[pl.Expr | pl.Series]:
        """File and delivery of rows, given by the numbers of their pieces."""
        keys = [piece.key for piece in self.pieces]
        deliveries = [piece.delivery for piece in self.pieces]
        if len(self.pieces) == 1:
            return [pl.lit(keys[0]).alias("_source_file"), pl.lit(deliveries[0], pl.Int64).alias(DELIVERY)]
        found = number()
        return [
            pl.Series("_source_file", keys, dtype=pl.String).gather(found),
            pl.Series(DELIVERY, deliveries, dtype=pl.Int64).gather(found),
        ]

    def supplied(self) -> dict[str, pl.Series]:
        """What landing keys or configuration give, for each row."""
        senders = [piece.sender for piece in self.pieces]
        if len(senders) == 1:
            return supplied_columns(senders[0], self.pieces[0].height)
        return {
            name: pl.Series(name, [sender.supplied[name] for sender in senders], dtype=pl.String).gather(self.number)
            for name in senders[0].supplied
        }

    def bare(self) -> dict[str, pl.Series]:
        """Of columns that have some, which values are written without quotes, for each row."""
        if len(self.pieces) == 1:
            return dict(self.pieces[0].batch.bare)
        names = dict.fromkeys(name for piece in self.pieces for name in piece.batch.bare)
        return {
            name: pl.concat(
                [
                    piece.batch.bare[name]
                    if name in piece.batch.bare
                    else pl.repeat(False, piece.height, dtype=pl.Boolean, eager=True)
                    for piece in self.pieces
                ]
            )
            for name in names
        }

    def raw(self, indices: pl.Series) -> pl.Series:
        """Raw text of the rows at these positions, which rise."""
        if len(self.pieces) == 1:
            return self.pieces[0].batch.raw(indices)
        places = pl.DataFrame({_PIECE: self.number.gather(indices), "index": indices})
        texts = [
            self.pieces[number].batch.raw((own.get_column("index") - self.starts[number]).cast(pl.UInt32))
            for (number,), own in places.partition_by(_PIECE, as_dict=True, maintain_order=True).items()
        ]
        found: pl.Series = pl.concat(texts)
        return found

    @staticmethod
    def _each(values: pl.Series, heights: pl.Series) -> pl.Series:
        return pl.DataFrame({_PIECE: values, "n": heights}).select(pl.col(_PIECE).repeat_by("n").explode()).to_series()
