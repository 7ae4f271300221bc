"""Daily bars of all institutions to one row per symbol and day, so that senders who disagree stand out."""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.gold import GOLD
from etl_platform.contracts.table import INSTITUTION

TABLE = GOLD["market_overview"]


def market_overview(bars: pl.LazyFrame) -> pl.LazyFrame:
    """One row per symbol and date over `bars` (gold daily bars of any institutions), sorted by date and symbol.

    It reads the daily bars, not silver: a symbol's close has one definition, and one row per institution and
    symbol is all it needs.
    """
    weight = pl.col("volume").cast(pl.Float64)
    traded = pl.col("volume") > 0
    # Sorted inside the group: a float sum must not depend on the order in which institutions were read.
    weighted = (pl.col("vwap") * weight).sort_by(INSTITUTION).sum()
    return (
        bars.group_by([*TABLE.key, *TABLE.partition_columns])
        .agg(
            pl.col(INSTITUTION).n_unique().cast(pl.Int64).alias("institutions"),
            pl.col("bars").sum(),
            pl.col("volume").sum(),
            pl.col("low").min().alias("lowest_low"),
            pl.col("high").max().alias("highest_high"),
            pl.when(traded.any()).then(weighted / weight.sort_by(INSTITUTION).sum()).alias("vwap"),
            pl.col("close").min().alias("lowest_close"),
            pl.col("close").max().alias("highest_close"),
        )
        .with_columns((pl.col("highest_close") - pl.col("lowest_close")).cast(pl.Decimal(18, 8)).alias("close_spread"))
        .select(TABLE.polars_schema.names())
        .sort([*TABLE.partition_columns, *TABLE.key])
    )
