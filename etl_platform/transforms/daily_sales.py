"""Silver orders to sales per product and day."""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.gold import GOLD

TABLE = GOLD["daily_sales"]


def daily_sales(orders: pl.LazyFrame) -> pl.LazyFrame:
    """One row per product of every partition in `orders` (silver), sorted by product."""
    price = pl.col("unit_price")
    return (
        orders.group_by([*TABLE.key, *TABLE.partition_columns])
        .agg(
            pl.len().cast(pl.Int64).alias("orders"),
            pl.col("quantity").cast(pl.Decimal(38, 0)).sum().alias("quantity"),
            pl.col("amount").cast(pl.Decimal(38, 4)).sum().alias("revenue"),
            price.min().alias("lowest_price"),
            price.max().alias("highest_price"),
            price.cast(pl.Float64).mean().alias("mean_price"),
        )
        .select(TABLE.polars_schema.names())
        .sort([*TABLE.partition_columns, *TABLE.key])
    )
