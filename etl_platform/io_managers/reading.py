"""Reading stored tables outside of an asset's inputs: for checks, the gate and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.io_managers.store import TableStore


def read_frame(
    store: TableStore, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """The rows of `partitions` as one frame of exactly the table's types; empty where nothing is stored."""
    names = list(columns) if columns is not None else table.polars_schema.names()
    schema = pl.Schema({name: table.polars_schema[name] for name in names})
    frames = list(read_frames(store, table, partitions, names))
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def read_frames(
    store: TableStore, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """The same as a stream of frames, one per stored batch."""
    for batch in store.read(table, partitions, columns):
        frame = pl.from_arrow(pa.Table.from_batches([batch]))
        assert isinstance(frame, pl.DataFrame)
        wanted = pl.Schema({name: table.polars_schema[name] for name in frame.columns})
        yield frame if frame.schema == wanted else frame.cast(wanted)
