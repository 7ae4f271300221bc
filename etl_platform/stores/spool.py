"""A place for batches to wait, in memory while they are few, in a scratch file when they are many.

Stores read their whole input before they take a lock or open a transaction: the input may be a lazy query that
takes minutes, fails half-way, or reads from the very same store.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from etl_platform.limits import SPOOL_HELD_BYTES, SPOOL_PIECE_BYTES
from etl_platform.object_store.transfer import file_errors
from etl_platform.stores.exact_types import labelled


class Spool:
    """Arrow batches, appended, then read back in order: the first in memory, the rest in a scratch file.

    in_memory: bytes of the first. The file has no name: a crash leaves nothing.
    """

    def __init__(self, schema: pa.Schema, scratch: Path | None = None, in_memory: int | None = None) -> None:
        self.rows = 0
        self._schema = schema
        self._scratch = scratch
        self._in_memory = SPOOL_HELD_BYTES if in_memory is None else in_memory
        self._kept: deque[pa.RecordBatch] = deque()
        self._kept_bytes = 0
        self._file: BinaryIO | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    def append(self, batch: pa.RecordBatch) -> None:
        """Keep `batch`, which has the columns of the schema."""
        self.rows += batch.num_rows
        # Batches differ in their nullability labels, which a stream refuses.
        labelled_batch = labelled(self._schema, batch)
        # All that the batch keeps alive, of which its rows may be a small part.
        size = batch.get_total_buffer_size()
        if self._writer is None and self._kept_bytes + size <= self._in_memory:
            self._kept.append(labelled_batch)
            self._kept_bytes += size
            return
        with file_errors(f"scratch folder {self._scratch or tempfile.gettempdir()}"):
            # In pieces, for whoever reads them: each is in memory as a whole, beside what the reader makes of it.
            rows = max(1, batch.num_rows * SPOOL_PIECE_BYTES // max(batch.nbytes, 1))
            for start in range(0, batch.num_rows, rows):
                self._write(labelled_batch.slice(start, rows))

    def batches(self, *, keep: bool = False) -> Iterator[pa.RecordBatch]:
        """What was appended, in order; nothing can be appended after. keep: all of it can be asked for again."""
        if keep:
            yield from tuple(self._kept)
        while self._kept and not keep:
            yield self._kept.popleft()
        if self._file is not None and self._writer is not None:
            self._writer.close()  # the first time; again it does nothing
            self._file.seek(0)
            yield from pa.ipc.open_stream(pa.PythonFile(self._file, mode="r"))

    def close(self) -> None:
        """Forget the rows. Closing twice does no harm."""
        self._kept.clear()
        if self._file is not None:
            self._file.close()

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._file is None or self._writer is None:
            if self._scratch is not None:
                self._scratch.mkdir(parents=True, exist_ok=True)
            # Closed by `close`, not by a block: it lives until the last reader is done.
            self._file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 - closed by close()
            self._writer = pa.ipc.new_stream(
                pa.PythonFile(self._file, mode="w"), self._schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
            )
        self._writer.write_batch(batch)
