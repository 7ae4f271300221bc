"""A stream of rows that can be sent again: what was taken from its source is kept until the load is through.

Belongs here: keeping and giving again. Not here: where batches wait (`spool.py`), when a load is repeated
(`retries.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from etl_platform.limits import REPLAY_HELD_BYTES
from etl_platform.stores.spool import Spool


class Rereading:
    """`source` once, whoever asks how often: each asking gets all rows from the first on.

    failed: the source itself broke off. A broken generator looks like one that has ended, so nothing may be sent from
    it again: the rows would be a part of the partition.
    """

    def __init__(self, schema: pa.Schema, source: Iterable[pa.RecordBatch], scratch: Path | None = None) -> None:
        self.failed = False
        self._schema, self._source, self._scratch = schema, iter(source), scratch
        self._taken: list[Spool] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows: those that were taken before, then the rest of the source."""
        if self.failed:
            raise RuntimeError("the source broke off: its rows are not all there")
        for spool in self._taken:
            yield from spool.batches(keep=True)
        # Each asking appends to a spool of its own: one that was read takes no more.
        taken = Spool(self._schema, self._scratch, in_memory=REPLAY_HELD_BYTES)
        self._taken.append(taken)
        while (batch := self._next()) is not None:
            taken.append(batch)
            yield batch

    def close(self) -> None:
        """Forget the rows. Closing twice does no harm."""
        for spool in self._taken:
            spool.close()

    def _next(self) -> pa.RecordBatch | None:
        try:
            return next(self._source, None)
        except BaseException:  # whatever broke the source off, what was taken of it is not all of it
            self.failed = True
            raise
