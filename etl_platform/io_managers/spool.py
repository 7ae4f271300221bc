"""A place for batches to wait, in memory while they are few, in a scratch file when they are many.

Stores read their whole input before they take a lock or open a transaction: the input may be a lazy query that
takes minutes, fails half-way, or reads from the very same store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from etl_platform.resources.object_store_transfer import file_errors

IN_MEMORY_BYTES = 8 * 2**20
"""Small partitions never touch the disk; one backfill of a year of partitions still stays below 3 GB."""


class Spool:
    """Arrow batches, appended, then read back once in order. Its scratch file has no name: a crash leaves nothing."""

    def __init__(self, schema: pa.Schema, scratch: Path | None = None) -> None:
        self.rows = 0
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        self._scratch = scratch
        # Closed by `close`, not by a block: it lives from the first batch to the last reader.
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - closed by close()
            max_size=IN_MEMORY_BYTES, dir=str(scratch) if scratch else None
        )
        self._writer = pa.ipc.new_stream(
            pa.PythonFile(self._file, mode="w"), schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
        )

    def append(self, batch: pa.RecordBatch) -> None:
        """Keep `batch`, which has the columns of the schema."""
        self.rows += batch.num_rows
        # Batches differ in their nullability labels, which the stream would refuse.
        labelled = pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)
        with file_errors(f"scratch folder {self._scratch or tempfile.gettempdir()}"):
            self._writer.write_batch(labelled)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What was appended, in order; nothing can be appended after."""
        self._writer.close()
        self._file.seek(0)
        yield from pa.ipc.open_stream(pa.PythonFile(self._file, mode="r"))

    def close(self) -> None:
        """Forget the rows. Closing twice does no harm."""
        self._file.close()
