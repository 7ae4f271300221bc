"""Files of one partition into silver rows, quarantined rows and exact counts: the way of a row, in one pass.

read as text -> judge -> (all files) deduplicate. Each batch passes once; only deduplication sees the whole partition.
Belongs here: what needs more than a batch, and adding up. Not here: what becomes of a row by itself (`judge.py`).
Nothing here knows Dagster, the lake or the ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import FileRefusedError
from etl_platform.limits import BATCH_ROWS, ROWS_BUDGET_BYTES
from etl_platform.readers import read_file
from etl_platform.readers.batch import QUOTES_ARE_CLOSED, SOURCE_ROW, Batch
from etl_platform.readers.no_rows import no_rows
from etl_platform.readers.options import FormatOptions, JsonOptions, ReadLimits
from etl_platform.transforms.deduplicate import DELIVERY, Deduplicated, deduplicate, without_repeats
from etl_platform.transforms.frame_spool import Engine, FrameSpool
from etl_platform.transforms.judge import Judged, JudgePlan, file_columns, judge, observe, waiting_schemas
from etl_platform.transforms.normalise import (
    Mapped,
    SenderFormat,
    map_columns,
    require_columns,
    require_unambiguous,
)
from etl_platform.transforms.observe import Observation
from etl_platform.transforms.overlap import Others, find_held
from etl_platform.transforms.quarantine import (
    refused_file,
    repeated_rows,
    superseded_rows,
)
from etl_platform.transforms.raw_text import raw_texts
from etl_platform.transforms.sender_schema import SenderSchema, sender_schema
from etl_platform.transforms.together import Piece, Waiting

_NOTHING_SEEN = Observation()
_RULES = pl.Schema({"rule": pl.String(), "rows": pl.Int64()})


@dataclass(frozen=True)
class SourceFile:
    """One bronze object on local disk. delivery: its rank in the partition, from 1; a later one wins.
    content: its bytes where they are in memory, and not at `path`."""

    key: str
    path: Path
    delivery: int
    sender: SenderFormat
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SilverPlan:
    """What a partition's files are read with. budget: bytes of rows held in memory before scratch files serve.
    keeps_extra: whether columns that the contract lacks are kept in `_extra`. others: what other dates hold, where a
    key lives once and they are to be looked at."""

    contract: Contract
    partition: PartitionKey
    options: FormatOptions
    processed_at: dt.datetime
    scratch: Path
    limits: ReadLimits = ReadLimits()
    batch_rows: int = BATCH_ROWS
    budget: int = ROWS_BUDGET_BYTES
    keeps_extra: bool = False
    others: Others | None = None

    @cached_property
    def judging(self) -> JudgePlan:
        """What a batch needs to know of it."""
        return JudgePlan(self.contract, self.partition, self.processed_at, self.options.type, self.keeps_extra)

    @property
    def subject(self) -> str:
        return f"{self.partition.institution} {self.contract.dataset} {self.partition.business_date}"


@dataclass(frozen=True)
class FileCounts:
    """What became of one file's rows: `rows_read = silver + quarantined + duplicates`, or it was refused whole."""

    key: str
    rows_read: int
    silver: int = 0
    quarantined: int = 0
    duplicates: int = 0
    refusal: FileRefusedError | None = None
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    schema: SenderSchema | None = None

    @property
    def unexplained(self) -> int:
        return self.rows_read - self.silver - self.quarantined - self.duplicates


@dataclass(frozen=True)
class Silver:
    """silver / quarantine: in their tables' schemas, lazy. files: counts per file, in order of delivery.

    held: the rows that another date holds (`held_by`, `is_same`; lineage). exposed: how many rows it may hold at all.
    """

    silver: pl.LazyFrame
    quarantine: pl.LazyFrame
    files: tuple[FileCounts, ...]
    rules: pl.DataFrame = field(repr=False)
    is_spilled: bool = False
    held: pl.DataFrame | None = field(default=None, repr=False)
    exposed: int = 0

    @cached_property
    def rows_read(self) -> int:
        return sum(f.rows_read for f in self.files)

    @cached_property
    def rows_silver(self) -> int:
        return sum(f.silver for f in self.files)

    @cached_property
    def rows_quarantined(self) -> int:
        return sum(f.quarantined for f in self.files)

    @cached_property
    def rows_duplicate(self) -> int:
        return sum(f.duplicates for f in self.files)

    @property
    def unexplained(self) -> int:
        return self.rows_read - self.rows_silver - self.rows_quarantined - self.rows_duplicate

    @property
    def quarantined_share(self) -> float:
        return self.rows_quarantined / self.rows_read if self.rows_read else 0.0

    @property
    def wrong_quotes(self) -> int:
        """Records of CSV quarantined because their quotes do not tell where fields end."""
        found = self.rules.filter(pl.col("rule") == QUOTES_ARE_CLOSED).get_column("rows").sum()
        return int(found) - sum(f.refusal.rule == QUOTES_ARE_CLOSED for f in self.files if f.refusal)

    @property
    def refused(self) -> tuple[FileCounts, ...]:
        return tuple(f for f in self.files if f.refusal is not None)


def build_silver(
    files: Sequence[SourceFile], plan: SilverPlan, progress: Callable[[SourceFile, int], None] | None = None
) -> Silver:
    """Read, cast, validate, split and deduplicate all `files` of one partition.

    A file that cannot be read contributes no row at all and one file-level quarantine row. Scratch files live in
    `plan.scratch` until the caller is done with the lazy results and removes it.
    """
    collector = _Collector(plan)
    for file in sorted(files, key=lambda f: f.delivery):
        collector.take(file)
        if progress:
            progress(file, collector.rows_read(file))
    return collector.finish()


@dataclass
class _Progress:
    seen: Observation = _NOTHING_SEEN
    rows_read: int = 0
    names: tuple[str, ...] = ()
    mapped: Mapped | None = None
    refusal: FileRefusedError | None = None


class _Collector:
    """Adds up what `judge` gives of the batches of all files; one instance per partition."""

    def __init__(self, plan: SilverPlan) -> None:
        self.plan = plan
        good, bad = waiting_schemas(plan.contract)
        self._good = FrameSpool(good, plan.scratch / "good", plan.budget * 3 // 4)
        self._bad = FrameSpool(bad, plan.scratch / "bad", plan.budget // 4)
        self._files: dict[int, tuple[SourceFile, _Progress]] = {}
        self._waiting = Waiting()

    def rows_read(self, file: SourceFile) -> int:
        return self._files[file.delivery][1].rows_read

    def take(self, file: SourceFile) -> None:
        state = _Progress()
        self._files[file.delivery] = (file, state)
        subject = self._subject(file)
        try:
            for batch in self._read(file):
                self._take_piece(state, self._piece(file, state, batch, subject))
            if state.mapped is not None and state.names:
                require_columns(state.mapped, state.names, self.plan.contract, subject)
        except FileRefusedError as refusal:
            # Batches already taken of this file are dropped later: half a file would be a silent loss.
            state.refusal, state.rows_read = refusal, 0
            for piece in self._waiting.drop_last(file.delivery):
                state.seen += observe(piece, self.plan.judging)  # it is drift that explains the refusal

    def _read(self, file: SourceFile) -> Iterator[Batch]:
        return read_file(
            file.path,
            subject=self._subject(file),
            options=self.plan.options,
            limits=self.plan.limits,
            batch_rows=self.plan.batch_rows,
            content=file.content,
        )

    def _subject(self, file: SourceFile) -> str:
        return f"{self.plan.subject} file {file.key}"

    def _piece(self, file: SourceFile, state: _Progress, batch: Batch, subject: str) -> Piece:
        """`batch` with the mapping for all columns seen so far: JSON records may bring further ones at any time, so
        that only the end of the file tells which are missing."""
        names = tuple(dict.fromkeys((*state.names, *batch.columns.columns)))
        if state.mapped is not None and names == state.names:
            return Piece(file.key, file.delivery, file.sender, state.mapped, batch)
        state.names, state.mapped = names, map_columns(names, self.plan.contract, file.sender)
        piece = Piece(file.key, file.delivery, file.sender, state.mapped, batch)
        try:
            require_unambiguous(state.mapped, subject)
            if not isinstance(self.plan.options, JsonOptions):
                require_columns(state.mapped, names, self.plan.contract, subject)
        except FileRefusedError:
            self._waiting.add(piece)  # `take` has it seen, with what waits of the file
            raise
        return piece

    def _take_piece(self, state: _Progress, piece: Piece) -> None:
        state.rows_read += piece.height + piece.batch.rejects.height
        if not piece.height:
            self._add(judge([piece], self.plan.judging))
            return
        if not self._waiting.takes(piece):
            self._pass()
        self._waiting.add(piece)
        if self._waiting.is_enough:
            self._pass()

    def _pass(self) -> None:
        """Judge what waits."""
        waiting, self._waiting = self._waiting.pieces, Waiting()
        if waiting:
            self._add(judge(waiting, self.plan.judging))

    def _add(self, judged: Judged) -> None:
        self._good.append(judged.good)
        self._bad.append(judged.bad)
        for delivery, seen in judged.seen.items():
            self._files[delivery][1].seen += seen

    def finish(self) -> Silver:
        self._pass()
        refused = {delivery: state.refusal for delivery, (_, state) in self._files.items() if state.refusal}
        good, bad_rows = self._good.scan(), self._bad.scan()
        if refused:
            is_whole = ~pl.col(DELIVERY).is_in(list(refused))
            good, bad_rows = good.filter(is_whole), bad_rows.filter(is_whole)
        contract, engine = self.plan.contract, self._good.engine
        split = deduplicate(
            good, contract.key, is_on=contract.deduplicates, by_occurrence=contract.by_occurrence, engine=engine
        )
        split, repeats = without_repeats(split, contract.unique, engine=engine)
        split, held, exposed = self._without_held(split)
        losers = [superseded_rows(self._with_raw(split.superseded), contract)] if split.superseded.height else []
        losers += [repeated_rows(self._with_raw(rows), contract, column) for column, rows in repeats.items()]
        refusals = [self._refused(self._files[delivery][0], refusal) for delivery, refusal in refused.items()]
        names = quarantine_table(self.plan.contract.dataset).polars_schema.names()
        bad = [
            bad_rows,
            *(r.with_columns(*self.plan.judging.place).lazy() for r in losers),
            *(r.lazy() for r in refusals),
        ]
        quarantine = pl.concat([part.select(names) for part in bad])
        silver = self.plan.contract.silver.polars_schema.names()
        return Silver(
            silver=split.kept.select(silver),
            quarantine=quarantine,
            files=self._counts(split, [split.superseded, *repeats.values()]),
            rules=_rule_counts(quarantine, are_none=not (self._bad.rows or refusals or losers)),
            is_spilled=self._good.is_spilled,
            held=held,
            exposed=exposed,
        )

    def _refused(self, file: SourceFile, refusal: FileRefusedError) -> pl.DataFrame:
        row = refused_file(refusal)
        return row.with_columns(*self.plan.judging.place, *file_columns(file.key, file.delivery))

    def _without_held(self, split: Deduplicated) -> tuple[Deduplicated, pl.DataFrame | None, int]:
        """`split` without the rows that another date holds, those rows, and how many it may hold at all."""
        plan = self.plan
        if plan.others is None:
            return split, None, 0
        date = plan.partition.business_date
        held, exposed = find_held(split.kept, plan.contract, date, plan.others, self._good.engine)
        if held.is_empty():
            return split, held, exposed
        identity = [DELIVERY, SOURCE_ROW]
        kept = split.kept.join(held.select(identity).lazy(), on=identity, how="anti", maintain_order="left")
        duplicates = pl.concat([split.duplicates, held.select(DELIVERY)])
        return replace(split, kept=kept, duplicates=duplicates), held, exposed

    def _with_raw(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` with the text that their senders sent."""
        texts = [
            raw_texts(of_file.get_column(SOURCE_ROW), self._read(self._files[delivery][0])).with_columns(
                pl.lit(delivery, pl.Int64).alias(DELIVERY)
            )
            for (delivery,), of_file in rows.partition_by(DELIVERY, as_dict=True).items()
        ]
        return rows.join(pl.concat(texts), on=[DELIVERY, SOURCE_ROW], how="left", maintain_order="left")

    def _schema(self, state: _Progress) -> SenderSchema | None:
        if state.mapped is None:
            return None
        return sender_schema(state.seen, state.mapped, self.plan.contract, self.plan.options.type)

    def _counts(self, split: Deduplicated, losers: Sequence[pl.DataFrame]) -> tuple[FileCounts, ...]:
        """Counted on the results themselves, so that a row lost between two steps shows as unexplained."""
        silver = _per_delivery(split.kept.select(DELIVERY), self._good.engine)
        lost = _per_delivery(pl.concat([rows[[DELIVERY]] for rows in losers]))
        repeats = _per_delivery(split.duplicates)
        counts = []
        for delivery, (file, state) in self._files.items():
            quarantined = 0 if state.refusal else state.seen.quarantined
            counts.append(
                FileCounts(
                    key=file.key,
                    rows_read=state.rows_read,
                    silver=silver.get(delivery, 0),
                    quarantined=quarantined + lost.get(delivery, 0),
                    duplicates=repeats.get(delivery, 0),
                    refusal=state.refusal,
                    missing=state.mapped.missing if state.mapped else (),
                    extra=state.mapped.extra if state.mapped else (),
                    schema=self._schema(state),
                )
            )
        return tuple(counts)


def _per_delivery(rows: pl.LazyFrame | pl.DataFrame, engine: Engine = "streaming") -> dict[int, int]:
    if isinstance(rows, pl.DataFrame) and rows.is_empty():
        return {}
    counted = rows.lazy().group_by(DELIVERY).len().collect(engine=engine)
    return dict(counted.iter_rows())


def _rule_counts(bad: pl.LazyFrame, *, are_none: bool) -> pl.DataFrame:
    """`rule`, `rows`: how many quarantined rows broke each rule, most first."""
    if are_none:
        return no_rows(_RULES)
    return (
        bad.select(pl.col("rules").explode(empty_as_null=False).alias("rule"))
        .group_by("rule")
        .agg(pl.len().cast(pl.Int64).alias("rows"))
        .sort(["rows", "rule"], descending=[True, False])
        .collect(engine="streaming")
    )
