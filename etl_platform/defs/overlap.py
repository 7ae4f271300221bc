"""A key lives once across dates: what other dates hold, and who must look again once a date has changed.

Each run rewrites its own partition only. After it has, every other date that may hold the same is compared with what is
stored now; a date whose part is no longer right is to be run again. Of two runs at a time the one that writes last sees
what the other wrote, so that none is missed. Not here: who keeps a key (`transforms/overlap.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.held import HELD_BY, held_table, overlap_columns
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey
from etl_platform.defs.attempt import dataset_partition, now
from etl_platform.io_managers.frames import to_batches
from etl_platform.io_managers.reading import read_frames
from etl_platform.io_managers.store import TableStore
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import DatasetPartition, Overlap
from etl_platform.transforms.overlap import Holding, find_unsettled, reach_days
from etl_platform.transforms.silver import Silver

SAME_KEYS = "another date that holds the same keys has changed"
"""Why a partition is to be run again."""


@dataclass
class Neighbours:
    """Other dates of one partition whose dataset's keys live once.

    asked: the dates that were looked at, for `settle`.
    """

    contract: Contract
    partition: PartitionKey
    ledger: Ledger
    store: TableStore
    asked: set[dt.date] = field(default_factory=set)

    @property
    def subject(self) -> DatasetPartition:
        return dataset_partition(self.contract.dataset, self.partition)

    def others(self, event_dates: Collection[dt.date]) -> Sequence[Holding]:
        """What the dates hold that may hold the same rows: those to which rows of this one belong, and those that have
        such rows themselves."""
        found = [
            near
            for near in self._near()
            if near.exposed != 0
            or near.business_date in event_dates
            or self.contract.event_time not in self.contract.key
        ]
        self.asked |= {n.business_date for n in found}
        return [self._holding(n) for n in found]

    def record(self, result: Silver) -> None:
        """Before silver is stored: put on record how many rows others may hold, and store those that they do."""
        if result.held is None:
            return
        held = result.held.height
        before = self.ledger.record_overlap(self.subject, exposed=result.exposed, held=held, now=now())
        if held or (before is not None and before.held):
            table = held_table(self.contract)
            place = {BUSINESS_DATE: self.partition.business_date, INSTITUTION: self.partition.institution}
            rows = result.held.with_columns(pl.lit(value).alias(name) for name, value in place.items())
            batches = to_batches(rows.select(table.polars_schema.names()), table, f"held/{table.name}")
            self.store.replace(table, [self.partition], batches)

    def settle(self, result: Silver) -> list[DatasetPartition]:
        """After silver is stored: which partitions, this one among them, must look again. They are to be run again."""
        mine = self.partition.business_date
        near = [n for n in self._near() if n.exposed != 0 or n.business_date in self.asked]
        if not near:
            return []
        own = Overlap(mine, result.exposed, result.held.height if result.held is not None else 0)
        unsettled = find_unsettled(self._holding(own), [self._holding(n) for n in near], self.contract)
        places = [PartitionKey(date, self.partition.institution) for date in sorted(unsettled)]
        again = [dataset_partition(self.contract.dataset, place) for place in places]
        if again:
            self.ledger.ask_again(again, SAME_KEYS, now=now())
        return again

    def _near(self) -> list[Overlap]:
        return self.ledger.overlaps_near(self.subject, reach_days(self.contract))

    def _holding(self, near: Overlap) -> Holding:
        return Holding(near.business_date, partial(self._frames, near))

    def _frames(self, near: Overlap) -> Iterator[pl.DataFrame]:
        columns = list(overlap_columns(self.contract))
        place = [PartitionKey(near.business_date, self.partition.institution)]
        for frame in read_frames(self.store, self.contract.silver, place, columns):
            yield frame.select(*columns, pl.lit(None, pl.Date()).alias(HELD_BY))
        if near.held:
            for frame in read_frames(self.store, held_table(self.contract), place, [*columns, HELD_BY]):
                yield frame.select(*columns, HELD_BY)


def told(result: Silver) -> str:
    """How many rows which dates hold, for people; empty where none does."""
    if result.held is None or result.held.is_empty():
        return ""
    counted = result.held.group_by(HELD_BY).agg(pl.len(), pl.col("is_same").not_().sum().alias("other")).sort(HELD_BY)
    parts = [
        f"{rows} held by {date}" + (f", {other} of them with other values there" if other else "")
        for date, rows, other in counted.iter_rows()
    ]
    return "; ".join(parts)
