"""The gold tables, each described once: a Pandera model with descriptions and the rules its rows must keep.

Not here: how the rows are computed (`transforms/`), what a valid row of a sender is (`prices.py`, ...).

Formulas. Sums and differences are exact decimals. Ratios are Float64, because Polars' `Decimal / Decimal` keeps the
left scale and truncates. VWAP is the sum of typical price times volume over the sum of volume, with the typical price
(high + low + close) / 3 of each bar: the usual form where only bars are known, not trades (Berkowitz, Logue and Noser,
"The Total Cost of Transactions on the NYSE", Journal of Finance 43(1), 1988, define VWAP over trades).
The return is the simple one, close / open - 1.

Keys are the silver rows' own: their rules have seen to it that nothing invisible is in them (`closed`).

Widths. An amount has 18 digits and a sum 38, so 10^20 rows fit. Volumes are sums of Int64, which would wrap around
without a word: they are whole decimals of 38 digits.
"""

from __future__ import annotations

from typing import Annotated

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import PARTITION_COLUMNS, Contract, ContractModel
from etl_platform.contracts.rules import rule
from etl_platform.contracts.table import BUSINESS_DATE, Table

Price = Annotated[pl.Decimal, 18, 8]
Money = Annotated[pl.Decimal, 38, 4]
Volume = Annotated[pl.Decimal, 38, 0]
OrderPrice = Annotated[pl.Decimal, 18, 4]

ROUNDING = 1e-9
"""Relative room that a Float64 mean gets against exact bounds: about a million times its rounding error."""


def _vwap_between(low: str, high: str) -> pl.Expr:
    return _between("vwap", low, high)


def _between(mean: str, low: str, high: str) -> pl.Expr:
    lowest, highest = pl.col(low).cast(pl.Float64), pl.col(high).cast(pl.Float64)
    return pl.col(mean).is_between(lowest * (1 - ROUNDING), highest * (1 + ROUNDING))


class DailyBars(ContractModel):
    """Daily bars: open, high, low, close, volume, VWAP and return of each symbol on one business date.

    Aggregated from the silver bars of one institution.
    """

    symbol: pl.String = pa.Field(description="Ticker of the instrument as the exchange writes it.")
    open: Price = pa.Field(description="Open of the earliest bar.")
    high: Price = pa.Field(description="Highest high of all bars.")
    low: Price = pa.Field(description="Lowest low of all bars.")
    close: Price = pa.Field(description="Close of the latest bar.")
    volume: Volume = pa.Field(description="Units traded in all bars.")
    vwap: pl.Float64 = pa.Field(
        nullable=True,
        description="Volume-weighted average of the bars' typical price (high + low + close) / 3; null without volume.",
    )
    day_return: pl.Float64 = pa.Field(description="Simple return of the day: close / open - 1.")
    bars: pl.Int64 = pa.Field(description="Number of bars aggregated.")

    @rule("The high is not below the open, the close or the low.", "high", "open", "low", "close")
    def high_is_highest(cls) -> pl.Expr:
        return pl.all_horizontal(pl.col("high") >= pl.col(other) for other in ("open", "low", "close"))

    @rule("The low is not above the open, the close or the high.", "low", "open", "high", "close")
    def low_is_lowest(cls) -> pl.Expr:
        return pl.all_horizontal(pl.col("low") <= pl.col(other) for other in ("open", "high", "close"))

    @rule("The VWAP lies between the low and the high.", "vwap", "low", "high")
    def vwap_is_in_range(cls) -> pl.Expr:
        return _vwap_between("low", "high")

    @rule("At least one bar was aggregated.", "bars")
    def bars_are_counted(cls) -> pl.Expr:
        return pl.col("bars") > 0


class TransactionSummary(ContractModel):
    """Transaction summary: count and exact sums of each account, currency and type on one business date.

    Amounts are from the account holder's view: credits are positive, debits negative.
    """

    account_id: pl.String = pa.Field(description="Account on which the money moved.")
    currency: pl.String = pa.Field(description="ISO 4217 code of the amounts' currency.")
    type: pl.String = pa.Field(description="Kind of movement.")
    transactions: pl.Int64 = pa.Field(description="Number of movements.")
    amount_sum: Money = pa.Field(description="Sum of all amounts.")
    amount_min: Money = pa.Field(description="Lowest amount (the largest debit where there are debits).")
    amount_max: Money = pa.Field(description="Highest amount.")
    debit_total: Money = pa.Field(description="Sum of the negative amounts; zero or negative.")
    credit_total: Money = pa.Field(description="Sum of the positive amounts; zero or positive.")

    @rule("Debits and credits add up to the sum.", "debit_total", "credit_total", "amount_sum")
    def totals_add_up(cls) -> pl.Expr:
        return pl.col("debit_total") + pl.col("credit_total") == pl.col("amount_sum")

    @rule("Debits are not positive and credits not negative.", "debit_total", "credit_total")
    def totals_have_their_sign(cls) -> pl.Expr:
        return (pl.col("debit_total") <= 0) & (pl.col("credit_total") >= 0)

    @rule("At least one movement was aggregated.", "transactions")
    def transactions_are_counted(cls) -> pl.Expr:
        return pl.col("transactions") > 0


class MarketOverview(ContractModel):
    """Market overview: each symbol on one business date across all institutions that sent it.

    A wide `close_spread` shows institutions that disagree about the same symbol.
    """

    symbol: pl.String = pa.Field(description="Ticker of the instrument as the exchange writes it.")
    institutions: pl.Int64 = pa.Field(description="Number of institutions that sent the symbol.")
    bars: pl.Int64 = pa.Field(description="Number of bars of all institutions.")
    volume: Volume = pa.Field(description="Units traded in all bars; a trade reported by two counts twice.")
    lowest_low: Price = pa.Field(description="Lowest low of all institutions.")
    highest_high: Price = pa.Field(description="Highest high of all institutions.")
    vwap: pl.Float64 = pa.Field(
        nullable=True, description="VWAP across institutions, weighted by their volumes; null without volume."
    )
    lowest_close: Price = pa.Field(description="Lowest daily close of any institution.")
    highest_close: Price = pa.Field(description="Highest daily close of any institution.")
    close_spread: Price = pa.Field(description="highest_close - lowest_close; zero where the institutions agree.")

    @rule("The closes lie between the lowest low and the highest high.", "lowest_close", "highest_close")
    def closes_are_in_range(cls) -> pl.Expr:
        above = pl.col("lowest_low") <= pl.col("lowest_close")
        return above & (pl.col("highest_close") <= pl.col("highest_high"))

    @rule("The spread is the difference of the closes, not negative.", "close_spread", "lowest_close", "highest_close")
    def spread_is_difference(cls) -> pl.Expr:
        difference = pl.col("highest_close") - pl.col("lowest_close")
        return (pl.col("close_spread") == difference) & (pl.col("close_spread") >= 0)

    @rule("The VWAP lies between the lowest low and the highest high.", "vwap", "lowest_low", "highest_high")
    def vwap_is_in_range(cls) -> pl.Expr:
        return _vwap_between("lowest_low", "highest_high")

    @rule("Every institution that counts sent at least one bar.", "institutions", "bars")
    def bars_are_counted(cls) -> pl.Expr:
        return (pl.col("institutions") > 0) & (pl.col("bars") >= pl.col("institutions"))


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
        return _between("mean_price", "lowest_price", "highest_price")

    @rule("The revenue lies between the units at the lowest and at the highest price.", "revenue", "quantity")
    def revenue_is_in_range(cls) -> pl.Expr:
        lowest, highest = (pl.col("quantity") * pl.col(price) for price in ("lowest_price", "highest_price"))
        return pl.col("revenue").is_between(lowest, highest)

    @rule("At least one order was aggregated.", "orders")
    def orders_are_counted(cls) -> pl.Expr:
        return pl.col("orders") > 0


def gold_table(contract: Contract, *, shared: bool = False) -> Table:
    """The gold table of `contract`: its columns, then the partition columns."""
    partition = tuple(c for c in PARTITION_COLUMNS if not shared or c.name == BUSINESS_DATE)
    return Table(
        layer="gold",
        name=contract.dataset,
        description=contract.description,
        columns=(*contract.columns, *partition),
        key=contract.key,
        shared=shared,
    )


DAILY_BARS = Contract.from_model("daily_bars", DailyBars, key=("symbol",), closed=("symbol",))
TRANSACTION_SUMMARY = Contract.from_model(
    "transaction_summary",
    TransactionSummary,
    key=("account_id", "currency", "type"),
    closed=("account_id", "currency", "type"),
)
MARKET_OVERVIEW = Contract.from_model("market_overview", MarketOverview, key=("symbol",), closed=("symbol",))
DAILY_SALES = Contract.from_model("daily_sales", DailySales, key=("product_id",), closed=("product_id",))

GOLD_CONTRACTS: dict[str, Contract] = {
    c.dataset: c for c in (DAILY_BARS, TRANSACTION_SUMMARY, MARKET_OVERVIEW, DAILY_SALES)
}
GOLD: dict[str, Table] = {
    name: gold_table(contract, shared=contract is MARKET_OVERVIEW) for name, contract in GOLD_CONTRACTS.items()
}

SOURCES: dict[str, tuple[str, str]] = {
    "daily_bars": ("silver", "prices"),
    "transaction_summary": ("silver", "transactions"),
    "daily_sales": ("silver", "orders"),
    "market_overview": ("gold", "daily_bars"),
}
"""Gold table -> layer and name of the table that it is computed from."""
