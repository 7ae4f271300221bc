"""Frames that wait: in memory while they fit the budget, in scratch files beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from etl_platform.limits import FEW_ROWS
from etl_platform.readers.no_rows import no_rows

Engine = Literal["in-memory", "streaming"]
"""What Polars runs a query with."""


class FrameSpool:
    """Frames of one schema, appended, then scanned as one lazy frame in the order of appending.

    Beyond `budget` bytes in memory everything goes to uncompressed Arrow files in `folder` (which the caller
    removes), so that memory stays flat however many rows come.
    """

    def __init__(self, schema: pl.Schema, folder: Path, budget: int) -> None:
        self._schema, self._folder, self._budget = schema, folder, budget
        self._frames: list[pl.DataFrame] = []
        self._held = 0
        self._files: list[Path] = []
        self.rows = 0

    @property
    def is_spilled(self) -> bool:
        return bool(self._files)

    @property
    def engine(self) -> Engine:
        """What runs a query over `scan()`: streaming bounds memory, but its start costs more than few rows."""
        return "in-memory" if self.rows <= FEW_ROWS and not self._files else "streaming"

    def append(self, frame: pl.DataFrame) -> None:
        """Take `frame`; its columns must be the spool's."""
        if frame.is_empty():
            return
        kept = frame[self._schema.names()]
        if kept.schema != self._schema:
            kept = kept.cast(self._schema)
        self._frames.append(kept)
        self._held += int(kept.estimated_size())
        self.rows += kept.height
        if self._held > self._budget:
            self._spill()

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{len(self._files):06}.arrow"
        pl.concat(self._frames).write_ipc(path)
        self._files.append(path)
        self._frames, self._held = [], 0

    def scan(self) -> pl.LazyFrame:
        """All rows so far. A spilled spool scans its files; the rest is already in memory."""
        parts = [pl.scan_ipc(path) for path in self._files]
        parts += [frame.lazy() for frame in self._frames]
        if len(parts) == 1:
            return parts[0]
        return pl.concat(parts) if parts else no_rows(self._schema).lazy()
