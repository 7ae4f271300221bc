"""Reading stored tables outside of an asset's inputs: for checks, the gate and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.stores.store import TableStore


def read_frame(
    store: TableStore, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The rows of `partitions` as one frame of exactly the table's types; empty where nothing is stored."""
    names = list(columns) if columns is not None else table.polars_schema.names()
    frames = list(read_frames(store, table, partitions, names))
    if len(frames) == 1:
        return frames[0]
    return pl.concat(frames) if frames else pl.DataFrame(schema={name: table.polars_schema[name] for name in names})


def read_frames(
    store: TableStore, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """The same as a stream of frames, one per stored batch."""
    for batch in store.read(table, partitions, columns):
        frame = pl.DataFrame(batch)
        wanted = {name: table.polars_schema[name] for name in frame.columns}
        yield frame if frame.dtypes == list(wanted.values()) else frame.cast(pl.Schema(wanted))
