"""Silver transactions to exact sums per account, currency and type."""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.gold import GOLD

TABLE = GOLD["transaction_summary"]


def transaction_summary(transactions: pl.LazyFrame) -> pl.LazyFrame:
    """One row per account, currency and type of every partition in `transactions` (silver), sorted by that key."""
    amount = pl.col("amount").cast(pl.Decimal(38, 4))
    return (
        transactions.group_by([*TABLE.key, *TABLE.partition_columns])
        .agg(
            pl.len().cast(pl.Int64).alias("transactions"),
            amount.sum().alias("amount_sum"),
            amount.min().alias("amount_min"),
            amount.max().alias("amount_max"),
            amount.filter(amount < 0).sum().alias("debit_total"),
            amount.filter(amount > 0).sum().alias("credit_total"),
        )
        .select(TABLE.polars_schema.names())
        .sort([*TABLE.partition_columns, *TABLE.key])
    )
