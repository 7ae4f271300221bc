"""One row per natural key inside a partition; every other row is a counted duplicate or a kept loser.

The value of the latest delivery wins (`_delivery`, then `_source_row`); of several rows with the winning value the
first is kept, so that a repeated file changes nothing. A row equal to an earlier row of the same key (same
`_row_hash`) is a *duplicate*; a row with other values than the winner is *superseded* and goes to quarantine.

By occurrence, the n-th row of a key in one file meets the n-th of that key in every other file alone: equal rows of one
file all stay, and a file that is sent again still repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from etl_platform.readers.no_rows import no_rows
from etl_platform.transforms.frame_spool import Engine

DELIVERY, ROW = "_delivery", "_source_row"
_ID = (DELIVERY, ROW)
_OCCURRENCE = "_occurrence"


@dataclass(frozen=True)
class Deduplicated:
    """kept: the winners (lazy, input order). superseded: losers, all columns. duplicates: `_delivery` of every
    repeat, one line each."""

    kept: pl.LazyFrame
    superseded: pl.DataFrame
    duplicates: pl.DataFrame


def deduplicate(
    rows: pl.LazyFrame,
    key: Sequence[str],
    *,
    is_on: bool = True,
    by_occurrence: bool = False,
    engine: Engine = "streaming",
) -> Deduplicated:
    """Split `rows` (with `_delivery`, `_source_row`, `_row_hash`) by natural `key`; without a key the whole row is it.

    is_on: false keeps every row. by_occurrence: the number of a row among those of its key in its file is part of the
    key. Only rows of keys that occur more than once are collected. engine: what seeks them.
    """
    identity = list(key) or ["_row_hash"]
    candidates = _candidates(rows, identity, engine) if is_on else None
    if candidates is None:
        nothing = no_rows(rows.collect_schema())
        return Deduplicated(rows, nothing, nothing[[DELIVERY]])
    fate = _fates(candidates, identity, by_occurrence)
    losers = candidates.join(fate.filter(pl.col("fate") == "superseded"), on=_ID, how="semi")
    repeats = fate.filter(pl.col("fate") == "duplicate")
    dropped = fate.filter(pl.col("fate") != "kept").select(_ID)
    kept = rows.join(dropped.lazy(), on=_ID, how="anti", maintain_order="left")
    return Deduplicated(kept, losers.sort(_ID), repeats.select(DELIVERY))


def _fates(candidates: pl.DataFrame, identity: Sequence[str], by_occurrence: bool) -> pl.DataFrame:
    """`_delivery`, `_source_row`, `fate` (kept, duplicate, superseded) of all rows of keys that come more than once."""
    ordered = candidates.sort(_ID)
    if by_occurrence:
        number = pl.int_range(pl.len()).over([DELIVERY, *identity])
        ordered, identity = ordered.with_columns(number.alias(_OCCURRENCE)), [*identity, _OCCURRENCE]
    winning = pl.col("_row_hash").last().over(identity)
    first_of_value = pl.struct(_ID) == pl.struct(_ID).first().over([*identity, "_row_hash"])
    return ordered.select(
        *_ID,
        fate=pl.when(~first_of_value)
        .then(pl.lit("duplicate"))
        .when(pl.col("_row_hash") == winning)
        .then(pl.lit("kept"))
        .otherwise(pl.lit("superseded")),
    )


def without_repeats(
    split: Deduplicated, unique: Sequence[str], *, engine: Engine = "streaming"
) -> tuple[Deduplicated, dict[str, pl.DataFrame]]:
    """`split` without the kept rows that repeat a value of a `unique` column, and those rows by column."""
    repeats: dict[str, pl.DataFrame] = {}
    for column in unique:
        found = _repeated_values(split.kept, column, engine)
        if found.height:
            repeats[column] = found
            kept = split.kept.join(found.select(_ID).lazy(), on=_ID, how="anti", maintain_order="left")
            split = replace(split, kept=kept)
    return split, repeats


def _repeated_values(rows: pl.LazyFrame, column: str, engine: Engine) -> pl.DataFrame:
    """The rows whose value of `column` an earlier row has. Missing values repeat nothing."""
    present = rows.filter(pl.col(column).is_not_null())
    candidates = _candidates(present, [column], engine)
    return (
        rows.clear().collect()
        if candidates is None
        else candidates.sort(_ID).filter(~pl.col(column).is_first_distinct())
    )


def _candidates(rows: pl.LazyFrame, identity: Sequence[str], engine: Engine) -> pl.DataFrame | None:
    """The rows whose `identity` occurs more than once, in no order; None where there is none.

    Only 8 bytes per row are held to find them.
    """
    # Polars' own hash is not stable between versions, but it lives only inside this call.
    folded = pl.struct(identity).hash().alias("_key")
    keys = rows.select(folded).collect(engine=engine)
    if keys.height < 2:
        return None  # before two more queries ask what repeats
    repeated = keys.filter(pl.col("_key").is_duplicated()).unique()
    if repeated.is_empty():
        return None
    return rows.with_columns(folded).join(repeated.lazy(), on="_key", how="semi").drop("_key").collect()
