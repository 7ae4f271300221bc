"""One row per natural key inside a partition; every other row is a counted duplicate or a kept loser.

The value of the latest delivery wins (`_delivery`, then `_source_row`); of several rows with the winning value the
first is kept, so that a repeated file changes nothing. A row equal to an earlier row of the same key (same
`_row_hash`) is a *duplicate*; a row with other values than the winner is *superseded* and goes to quarantine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

DELIVERY, ROW = "_delivery", "_source_row"
_ID = (DELIVERY, ROW)


@dataclass(frozen=True)
class Deduplicated:
    """kept: the winners (lazy, input order). superseded: losers, all columns. duplicates: `_delivery` of every
    repeat, one line each."""

    kept: pl.LazyFrame
    superseded: pl.DataFrame
    duplicates: pl.DataFrame


def deduplicate(rows: pl.LazyFrame, key: Sequence[str]) -> Deduplicated:
    """Split `rows` (with `_delivery`, `_source_row`, `_row_hash`) by natural `key`; without a key the whole row is it.

    Only 8 bytes per row are held to find the keys that occur more than once; rows of those alone are collected.
    """
    identity = list(key) or ["_row_hash"]
    # Polars' own hash is not stable between versions, but it lives only inside this call.
    folded = pl.struct(identity).hash().alias("_key")
    keys = rows.select(folded).collect(engine="streaming")
    repeated = keys.filter(pl.col("_key").is_duplicated()).unique()
    nothing = rows.clear().collect()
    if repeated.is_empty():
        return Deduplicated(rows, nothing, nothing.select(DELIVERY))
    candidates = rows.with_columns(folded).join(repeated.lazy(), on="_key", how="semi").drop("_key").collect()
    fate = _fates(candidates, identity)
    losers = candidates.join(fate.filter(pl.col("fate") == "superseded"), on=_ID, how="semi")
    repeats = fate.filter(pl.col("fate") == "duplicate")
    dropped = fate.filter(pl.col("fate") != "kept").select(_ID)
    kept = rows.join(dropped.lazy(), on=_ID, how="anti", maintain_order="left")
    return Deduplicated(kept, losers.sort(_ID), repeats.select(DELIVERY))


def _fates(candidates: pl.DataFrame, identity: Sequence[str]) -> pl.DataFrame:
    """`_delivery`, `_source_row`, `fate` (kept, duplicate, superseded) of rows that share keys."""
    ordered = candidates.sort(_ID)
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
