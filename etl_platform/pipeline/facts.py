"""What a teller is told: rows of a table that a step has made, what was stored, and the facts of both.

Belongs here: plain values that any teller (Dagster's assets, a run over many dates, a terminal) can show. Not here: how
Dagster shows them (`defs/telling.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

import polars as pl
import pyarrow as pa

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.limits import PREVIEW_ROWS
from etl_platform.stores.query_tag import query_run
from etl_platform.stores.store import TableStore, Written


class Markdown(str):
    """Text in Markdown, to be shown as such."""

    __slots__ = ()


Fact: TypeAlias = int | float | str | Markdown | pl.DataFrame
"""A frame is a small one, for people to look at."""
Facts: TypeAlias = Mapping[str, Fact]


RowsT_co = TypeVar("RowsT_co", bound=pl.DataFrame | pl.LazyFrame, covariant=True)


@dataclass(frozen=True)
class Made(Generic[RowsT_co]):
    """Rows of one table for one partition, not stored yet."""

    table: Table
    rows: RowsT_co
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True)
class Stored:
    """Partitions of one table that were replaced. layer: under which people know it (`warehouse` shows silver and gold
    tables). written, seconds: of these partitions. preview: their first rows; None where none are shown."""

    table: Table
    layer: str
    partitions: tuple[PartitionKey, ...]
    written: Written
    seconds: float
    preview: Preview | None = None
    facts: Facts = field(default_factory=dict)

    @property
    def name(self) -> tuple[str, str]:
        """Layer and table."""
        return self.layer, self.table.name


class Preview:
    """Keeps the first rows of a stream that passes through."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: list[tuple[object, ...]] = []

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Preview:
        """The first rows of a frame."""
        found = cls()
        found.names, found.rows = frame.columns, frame.head(PREVIEW_ROWS).rows()
        return found

    def watch(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`batches` unchanged."""
        for batch in batches:
            if batch.num_rows and (missing := PREVIEW_ROWS - len(self.rows)):
                self.names = batch.schema.names
                # Values, since a slice would keep the whole batch alive until all is written.
                head = batch.slice(0, missing)
                self.rows += zip(*map(pa.Array.to_pylist, head.columns), strict=True)
            yield batch


def store_rows(
    store: TableStore,
    table: Table,
    partitions: Sequence[PartitionKey],
    batches: Iterator[pa.RecordBatch],
    run_id: str,
    *,
    layer: str | None = None,
    shows_preview: bool = True,
    facts: Facts | None = None,
) -> Stored:
    """Replace `partitions` of `table` by `batches`."""
    preview = Preview() if shows_preview else None
    start = time.monotonic()
    with query_run(run_id):
        written = store.replace(table, partitions, preview.watch(batches) if preview else batches)
    return Stored(
        table=table,
        layer=layer or table.layer,
        partitions=tuple(partitions),
        written=written,
        seconds=time.monotonic() - start,
        preview=preview,
        facts=facts or {},
    )
