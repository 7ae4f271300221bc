"""One batch to good rows, bad rows and what was seen: normalise, derive, validate, split, observe.

Belongs here: all that can be said of rows without looking at any other row of the partition. `judge` is pure: it
writes, logs and keeps nothing, changes nothing that it is given, and gives the same for the same batch whatever came
before it. Batch, plan and result pickle, so that it may run in another process or under another engine. A plan that was
unpickled makes its rules anew: send it once to a worker, not with each batch.

Not here: reading files (`readers/`); what needs more than a batch, such as memory, scratch files, deduplication, other
dates, counts of a partition (`silver.py`, which only adds up what `judge` gives).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey
from etl_platform.readers.no_rows import no_rows
from etl_platform.transforms.deduplicate import DELIVERY
from etl_platform.transforms.derive import derive
from etl_platform.transforms.extra import extra_columns, no_extra
from etl_platform.transforms.failures import fold
from etl_platform.transforms.normalise import Mapped, normalise
from etl_platform.transforms.observe import Observation, Sight
from etl_platform.transforms.per_contract import once_per_contract
from etl_platform.transforms.quarantine import failed_rows, rejected_records
from etl_platform.transforms.row_hash import row_hash
from etl_platform.transforms.together import Piece, Together
from etl_platform.transforms.validate import find_failures


@dataclass(frozen=True)
class JudgePlan:
    """What the rows of a partition are judged by. file_format: csv, json or parquet. keeps_extra: whether columns that
    the contract lacks are kept in `_extra`."""

    contract: Contract
    partition: PartitionKey
    processed_at: dt.datetime
    file_format: str
    keeps_extra: bool = False

    @cached_property
    def place(self) -> tuple[pl.Expr, ...]:
        """The columns that all rows of the partition share."""
        return (
            _instant(self.processed_at).alias("_processed_at"),
            pl.lit(self.partition.business_date).alias(BUSINESS_DATE),
            pl.lit(self.partition.institution).alias(INSTITUTION),
        )


@dataclass(frozen=True)
class Judged:
    """good, bad: rows in the schemas that `waiting_schemas` gives, in the order of the batch. seen: by delivery."""

    good: pl.DataFrame
    bad: pl.DataFrame
    seen: Mapping[int, Observation]


def judge(batch: Sequence[Piece], plan: JudgePlan) -> Judged:
    """Every row of `batch` as good or as bad: a batch of one file, or of several that may pass together
    (`Piece.passes_with`)."""
    good_schema, bad_schema = waiting_schemas(plan.contract)
    # Not `is_empty()`: records without any field (`{}`) make a frame of rows and no columns.
    if any(piece.height for piece in batch):
        good, failed, seen = _judge_rows(Together(batch), plan)
    else:
        good, failed, seen = no_rows(good_schema), [], [observe(piece, plan) for piece in batch]
    bad = [_rejected(piece, plan) for piece in batch if piece.batch.rejects.height] + failed
    by_delivery: dict[int, Observation] = {}
    for piece, found in zip(batch, seen, strict=True):
        before = by_delivery.get(piece.delivery)
        by_delivery[piece.delivery] = found if before is None else before + found
    return Judged(_joined([good], good_schema), _joined(bad, bad_schema), by_delivery)


def observe(piece: Piece, plan: JudgePlan) -> Observation:
    """What is seen of a batch that is not judged: it has no row, or belongs to a file that is refused."""
    sight = _sight(piece, plan)
    columns = piece.batch.columns
    return Observation(piece.batch.rejects.height, sight.samples(columns), sight.types(columns))


def file_columns(key: str, delivery: int) -> tuple[pl.Expr, pl.Expr]:
    """The columns that all rows of a file share."""
    return pl.lit(key).alias("_source_file"), pl.lit(delivery, pl.Int64).alias(DELIVERY)


@once_per_contract
def waiting_schemas(contract: Contract) -> tuple[pl.Schema, pl.Schema]:
    """Of good and of bad rows that wait for the last file."""
    good, bad = contract.silver.polars_schema, quarantine_table(contract.dataset).polars_schema
    return pl.Schema({**good, DELIVERY: pl.Int64()}), pl.Schema({**bad, DELIVERY: pl.Int64()})


def _judge_rows(rows: Together, plan: JudgePlan) -> tuple[pl.DataFrame, list[pl.DataFrame], list[Observation]]:
    """Good rows, bad rows, and what was seen of each piece."""
    contract, first = plan.contract, rows.pieces[0]
    normalised = normalise(rows.columns, contract, first.sender, first.mapped, rows.supplied(), rows.bare())
    derived = derive(normalised.frame, contract)
    extra = _extra(rows.columns, first.mapped, plan)
    origin = rows.origin(lambda: rows.number)
    frame = derived.frame.with_columns(*plan.place, *origin, rows.source_rows, extra)
    failures = pl.concat([normalised.failures, derived.failures, find_failures(frame, contract)])
    quarantined = [piece.batch.rejects.height for piece in rows.pieces]
    bad = []
    if failures.height:
        folded = fold(failures, contract)
        indices = folded.get_column("index")
        number = rows.number.gather(indices)
        failed = failed_rows(folded, rows.source_rows.gather(indices), rows.raw(indices))
        bad = [failed.with_columns(*plan.place).with_columns(rows.origin(lambda: number))]
        for place, count in number.value_counts().iter_rows():
            quarantined[place] += count
        frame = frame.filter(pl.repeat(True, frame.height, eager=True).scatter(indices, False))
    sight = _sight(first, plan)
    if len(rows.pieces) == 1:
        samples = [sight.samples(rows.columns, normalised.as_sent)]
    else:
        samples = sight.samples_of_each(rows.columns, normalised.as_sent, rows.starts)
    types = sight.types(rows.columns)
    seen = [Observation(*found, types) for found in zip(quarantined, samples, strict=True)]
    return frame.with_columns(row_hash(contract)), bad, seen


def _rejected(piece: Piece, plan: JudgePlan) -> pl.DataFrame:
    records = rejected_records(piece.batch.rejects)
    return records.with_columns(*plan.place, *file_columns(piece.key, piece.delivery))


def _sight(piece: Piece, plan: JudgePlan) -> Sight:
    return Sight(plan.contract, piece.sender, piece.mapped, plan.file_format)


def _extra(columns: pl.DataFrame, mapped: Mapped, plan: JudgePlan) -> pl.Series | pl.Expr:
    if not plan.keeps_extra:
        return no_extra()
    return extra_columns(columns, [name for name in columns.columns if name in mapped.extra])


def _joined(frames: Sequence[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    if not frames:
        return no_rows(schema)
    parts = [frame[schema.names()] for frame in frames]
    parts = [part if part.schema == schema else part.cast(schema) for part in parts]
    return parts[0] if len(parts) == 1 else pl.concat(parts)


def _instant(at: dt.datetime) -> pl.Expr:
    # Ten times cheaper than a literal of the type.
    microseconds = (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
    return pl.lit(microseconds, pl.Int64).cast(pl.Datetime("us", "UTC"))
