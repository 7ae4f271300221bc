"""`gold/daily_sales`: silver orders to sales per product and day."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.rules import rule
from etl_platform.gold.table import GoldTable, Money, OrderPrice, Volume, gold_table, mean_between


class DailySales(ContractModel):
    """Daily sales: orders, units and exact revenue of each product on one business date.

    Aggregated from the silver orders of one institution.
    """

    product_id: pl.String = pa.Field(description="Product that was ordered.")
    orders: pl.Int64 = pa.Field(description="Number of orders.")
    quantity: Volume = pa.Field(description="Units ordered.")
    revenue: Money = pa.Field(description="Sum of quantity * unit price, in the institution's currency.")
    lowest_price: OrderPrice = pa.Field(description="Lowest unit price.")
    highest_price: OrderPrice = pa.Field(description="Highest unit price.")
    mean_price: pl.Float64 = pa.Field(description="Mean unit price of the orders, each order counted once.")

    @rule("The mean lies between the lowest and the highest price.", "mean_price", "lowest_price", "highest_price")
    def mean_is_in_range(cls) -> pl.Expr:
        return mean_between("mean_price", "lowest_price", "highest_price")

    @rule("The revenue lies between the units at the lowest and at the highest price.", "revenue", "quantity")
    def revenue_is_in_range(cls) -> pl.Expr:
        lowest, highest = (pl.col("quantity") * pl.col(price) for price in ("lowest_price", "highest_price"))
        return pl.col("revenue").is_between(lowest, highest)

    @rule("At least one order was aggregated.", "orders")
    def orders_are_counted(cls) -> pl.Expr:
        return pl.col("orders") > 0


CONTRACT = Contract.from_model("daily_sales", DailySales, key=("product_id",), closed=("product_id",))
TABLE = gold_table(CONTRACT)


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
            # Summed as exact decimals: a float sum would depend on the order in which threads finish.
            (price.cast(pl.Decimal(38, 4)).sum().cast(pl.Float64) / pl.len()).alias("mean_price"),
        )
        .select(TABLE.polars_schema.names())
        .sort([*TABLE.partition_columns, *TABLE.key])
    )


DAILY_SALES = GoldTable(
    contract=CONTRACT,
    table=TABLE,
    source=("silver", "orders"),
    compute=daily_sales,
    lineage={
        "product_id": ("product_id",),
        "orders": ("order_id",),
        "quantity": ("quantity",),
        "revenue": ("amount",),
        **dict.fromkeys(("lowest_price", "highest_price", "mean_price"), ("unit_price",)),
    },
    counts="orders",
)
