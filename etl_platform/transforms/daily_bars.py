"""Silver bars to one bar per symbol and day. The formulas are explained in `contracts/gold.py`."""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.gold import GOLD

TABLE = GOLD["daily_bars"]


def daily_bars(prices: pl.LazyFrame) -> pl.LazyFrame:
    """One row per symbol of every partition in `prices` (silver), in the table's columns, sorted by its key."""
    # Weights are summed as exact decimals: a float sum would depend on the order in which threads finish.
    volume = pl.col("volume").cast(pl.Decimal(38, 0))
    weighted = (pl.col("high") + pl.col("low") + pl.col("close")) * volume
    mean = pl.col("_weighted").cast(pl.Float64) / (3 * pl.col("volume").cast(pl.Float64))
    groups = [*TABLE.key, *TABLE.partition_columns]
    return (
        prices.group_by(groups)
        .agg(
            pl.col("open").min_by("timestamp"),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").max_by("timestamp"),
            volume.sum(),
            weighted.sum().alias("_weighted"),
            pl.len().cast(pl.Int64).alias("bars"),
        )
        .with_columns(
            pl.when(pl.col("volume") > 0).then(mean).alias("vwap"),
            (pl.col("close").cast(pl.Float64) / pl.col("open").cast(pl.Float64) - 1).alias("day_return"),
        )
        .select(TABLE.polars_schema.names())
        .sort([*TABLE.partition_columns, *TABLE.key])
    )
