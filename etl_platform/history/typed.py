"""Parquet by date: rows keep the file's own column types."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform.errors import ConfigurationError
from etl_platform.history.dating import UNDATED, Dating, day_of, placed
from etl_platform.history.rows_by_date import Shelf
from etl_platform.limits import HISTORY_BATCH_ROWS
from etl_platform.readers import read_file
from etl_platform.readers.options import ParquetOptions, ReadLimits
from etl_platform.readers.parquet.int96 import Int96


class ParquetHistory:
    """One Parquet file. Raises FileRefusedError where it cannot be read."""

    header = b""

    def __init__(self, path: Path, limits: ReadLimits, subject: str) -> None:
        self._path, self._limits, self._subject = path, limits, subject

    def shelve(self, dating: Dating, shelf: Shelf, undated_to: dt.date | None) -> Iterator[int]:
        """Put every row on the shelf, as Arrow streams; yields the numbers of rows done."""
        batches = read_file(
            self._path,
            subject=self._subject,
            options=ParquetOptions(),
            limits=self._limits,
            batch_rows=HISTORY_BATCH_ROWS,
        )
        days = (dating.dated(batch) for batch in batches)
        waiting = np.empty(0, dtype=np.int64)
        done = 0
        with pq.ParquetFile(self._path, pre_buffer=False) as file:
            int96 = Int96(self._path, file.metadata, {"pre_buffer": False})
            if "text" in int96.kinds.values():
                # As text they would be another type than the sender's, and no time zone would be applied to them.
                raise ConfigurationError(
                    self._subject,
                    found=f"INT96 timestamps in {', '.join(int96.kinds)} that microseconds do not hold",
                    expected="timestamps to the microsecond",
                )
            for batch in file.iter_batches(HISTORY_BATCH_ROWS, use_threads=False):
                while len(waiting) < batch.num_rows:
                    waiting = np.concatenate((waiting, next(days).days))
                mine, waiting = waiting[: batch.num_rows], waiting[batch.num_rows :]
                shelf.note_undated((np.flatnonzero(mine == UNDATED) + done + 1).tolist())
                mine, exact = placed(mine, undated_to), int96.corrected(batch)
                for day in np.unique(mine[mine != UNDATED]):
                    chosen = pa.Table.from_batches([exact.filter(pa.array(mine == day))])
                    shelf.add(day_of(int(day)), _stream(chosen), chosen.num_rows)
                done += batch.num_rows
                yield batch.num_rows

    def encoded(self, content: bytes) -> bytes:
        """The Arrow streams of one date as one Parquet file."""
        tables = []
        reader = pa.BufferReader(content)
        while reader.tell() < reader.size():
            tables.append(pa.ipc.open_stream(reader).read_all())
        sink = pa.BufferOutputStream()
        pq.write_table(pa.concat_tables(tables).combine_chunks(), sink, compression="zstd")
        return bytes(sink.getvalue())


def _stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())
