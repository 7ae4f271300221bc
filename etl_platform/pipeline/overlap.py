"""A key lives once across dates: what other dates hold, and who must look again once a date has changed.

Each run rewrites its own partition only. A date counts for others once its checks have passed. At that moment every
other such date that may hold the same is compared with what is stored; whose part is no longer right is to be run
again. That is put on record with the word that the checks passed, and only if no other date's word came meanwhile: of
two dates at a time the later one sees the earlier. Not here: who keeps a key (`transforms/overlap.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import polars as pl

from etl_platform.clock import now
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.held import HELD_BY, held_table, overlap_columns
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.errors import SchemaMismatchError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, Overlap
from etl_platform.limits import OVERLAP_TRIES
from etl_platform.stores.frames import to_batches
from etl_platform.stores.reading import read_frame, read_frames
from etl_platform.stores.store import TableStore
from etl_platform.transforms.overlap import Holding, dates_in_reach, find_unsettled
from etl_platform.transforms.silver import Silver

SAME_KEYS = "another date that holds the same keys has changed"
"""Why a partition is to be run again."""
_FILE = "_source_file"


@dataclass(frozen=True)
class Neighbours:
    """A delivery of a dataset whose keys live once, and the other dates that may hold the same. run_id: of the run that
    is at it."""

    contract: Contract
    subject: Delivery
    ledger: Ledger
    store: TableStore
    run_id: str

    def others(self, event_dates: Collection[dt.date]) -> Sequence[Holding]:
        """What the dates hold that may hold the same rows: those to which rows of this one belong, and those that have
        such rows themselves. Of one that is held back now: what was left to it before, and what is published of it."""
        found = []
        for near in self._near():
            is_near = self._is_any_exposed or near.exposed != 0 or near.business_date in event_dates
            if self._counts(near):
                if is_near:
                    found.append(self._holding(near.business_date, near.held))
            elif near.was_published:
                # Whoever is at it rewrites it, and compares the dates when it is done.
                is_still = is_near and near.outcome is not Outcome.RUNNING
                frames = partial(self._staying, near.business_date, is_still=is_still)
                found.append(Holding(near.business_date, frames, stays=True))
        return found

    def record(self, result: Silver) -> None:
        """Before silver is stored: put on record how many rows others may hold, and store those that they do."""
        if result.held is None:
            return
        before = self.ledger.overlap_counts(self.subject)
        self.ledger.record_overlap(self.subject, exposed=result.exposed, held=result.held.height, now=now())
        if result.held.height or (before is not None and before[1]):
            self._store(result.held)

    def forget(self, dates: Collection[dt.date]) -> bool:
        """Nothing counts as left to `dates` any more: they were stored with this one and did not pass. Whether anything
        was; then this one has to be stored anew."""
        counts = self.ledger.overlap_counts(self.subject)
        if counts is None or not counts[1]:
            return False
        held = read_frame(self.store, held_table(self.contract), [self.subject.partition])
        rest = held.filter(~pl.col(HELD_BY).is_in(list(dates)))
        if rest.height == held.height:
            return False
        self.ledger.record_overlap(self.subject, exposed=counts[0], held=rest.height, now=now())
        self._store(rest)
        return True

    def compared(self) -> list[Overlap]:
        """The dates that count now and may hold the same."""
        exposed, _ = self.ledger.overlap_counts(self.subject) or (None, 0)
        is_any = self._is_any_exposed or exposed != 0
        return [near for near in self._near() if self._counts(near) and (is_any or near.exposed != 0)]

    def unsettled(self, near: Sequence[Overlap]) -> set[Delivery]:
        """Which of this partition and those near it must look again, by what is stored of them."""
        _, held = self.ledger.overlap_counts(self.subject) or (None, 0)
        outdated: set[dt.date] = set()
        others = [self._holding(n.business_date, n.held, outdated) for n in near]
        own = self._holding(self.subject.business_date, held)
        return {self._subject(date) for date in find_unsettled(own, others, self.contract) | outdated}

    @property
    def _is_any_exposed(self) -> bool:
        return self.contract.event_time not in self.contract.key

    def _counts(self, near: Overlap) -> bool:
        # What this run itself has stored is judged with this date: both pass, or this one is not published.
        return near.is_checked or (near.outcome is Outcome.RUNNING and near.run_id == self.run_id)

    def _near(self) -> list[Overlap]:
        dates = set(dates_in_reach(self.contract, self.subject.business_date))
        found = self.ledger.overlaps(self.subject, min(dates), max(dates), self.run_id) if dates else []
        return [near for near in found if near.business_date in dates]

    def _subject(self, date: dt.date) -> Delivery:
        return Delivery(self.subject.dataset, date, self.subject.institution)

    def _place(self, date: dt.date) -> PartitionKey:
        return PartitionKey(date, self.subject.institution)

    def _holding(self, date: dt.date, held: int | None, outdated: set[dt.date] | None = None) -> Holding:
        return Holding(date, partial(self._frames, date, bool(held), outdated))

    def _frames(self, date: dt.date, has_held: bool, outdated: set[dt.date] | None = None) -> Iterator[pl.DataFrame]:
        """Nothing of what another contract has stored: such a date looks again, under today's. outdated: gets it."""
        columns = list(overlap_columns(self.contract))
        try:
            yield from self._silver(date)
            if has_held:
                place, held = self._place(date), held_table(self.contract)
                for frame in read_frames(self.store, held, [place], [*columns, HELD_BY]):
                    yield frame.select(*columns, HELD_BY)
        except SchemaMismatchError:
            if outdated is not None:
                outdated.add(date)

    def _silver(self, date: dt.date, *also: str) -> Iterator[pl.DataFrame]:
        columns = list(dict.fromkeys((*overlap_columns(self.contract), *also)))
        for frame in read_frames(self.store, self.contract.silver, [self._place(date)], columns):
            yield frame.select(*columns, pl.lit(None, pl.Date()).alias(HELD_BY))

    def _staying(self, date: dt.date, *, is_still: bool) -> Iterator[pl.DataFrame]:
        """What was left to a date, and what it has published: in silver are rows of these files, and of those that hold
        it back."""
        for frame in self._frames(self.subject.business_date, has_held=True):
            yield frame.filter(pl.col(HELD_BY) == date)
        if is_still and (keys := self.ledger.published_keys(self._subject(date))):
            with suppress(SchemaMismatchError):
                for frame in self._silver(date, _FILE):
                    yield frame.filter(pl.col(_FILE).is_in(keys)).drop(_FILE)

    def _store(self, held: pl.DataFrame) -> None:
        table = held_table(self.contract)
        place = {BUSINESS_DATE: self.subject.business_date, INSTITUTION: self.subject.institution}
        rows = held.with_columns(pl.lit(value).alias(name) for name, value in place.items())
        batches = to_batches(rows.select(table.polars_schema.names()), table, f"held/{table.name}")
        self.store.replace(table, [self.subject.partition], batches)


def settled(passed: Sequence[Neighbours], ledger: Ledger, tell: Callable[[], None]) -> list[Delivery]:
    """`tell` puts on record that the checks of these partitions passed; in the same transaction those are asked to be
    run again, these among them, whose part is not right by that. Returns them."""
    for last in range(OVERLAP_TRIES, 0, -1):
        near = [one.compared() for one in passed]
        again: set[Delivery] = set()
        for one, others in zip(passed, near, strict=True):
            again |= one.unsettled(others) if others else set()
        with ledger.together():
            # What others put on record meanwhile has not been compared. Endless it must not be: then all look again.
            if last == 1:
                again |= {one.subject for one in passed}
            if last == 1 or [one.compared() for one in passed] == near:
                tell()
                if again:
                    ledger.ask_again(sorted(again), SAME_KEYS, now=now())
                return sorted(again)
    raise AssertionError("the last try always ends")


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
