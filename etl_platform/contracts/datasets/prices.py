"""The `prices` dataset: OHLCV bars."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel, Watched
from etl_platform.contracts.datasets.symbols import MARKET_PARAMETERS, SYMBOL_SENTENCE, symbol_matches
from etl_platform.contracts.datasets.timing import not_in_future, within_business_date
from etl_platform.contracts.rules import rule

Price = Annotated[pl.Decimal, 18, 8]
Timestamp = Annotated[pl.Datetime, "us", "UTC"]

LOWEST_PRICE, HIGHEST_PRICE = 0.01, 1_000_000


def _in_range(column: str) -> pl.Expr:
    low, high = pl.lit(LOWEST_PRICE).cast(pl.Decimal(18, 8)), pl.lit(HIGHEST_PRICE).cast(pl.Decimal(18, 8))
    return pl.col(column).is_between(low, high)


class Prices(ContractModel):
    """Price bars: open, high, low, close and volume of one symbol over one interval.

    Prices are exact decimals. One row per symbol and bar start inside a partition.
    """

    _parameters: ClassVar[dict[str, Any]] = dict(MARKET_PARAMETERS)

    symbol: pl.String = pa.Field(description="Ticker of the instrument as the exchange writes it.")
    timestamp: Timestamp = pa.Field(description="Start of the bar (UTC).")
    open: Price = pa.Field(description="First traded price of the bar.")
    high: Price = pa.Field(description="Highest traded price of the bar.")
    low: Price = pa.Field(description="Lowest traded price of the bar.")
    close: Price = pa.Field(description="Last traded price of the bar.")
    volume: pl.Int64 = pa.Field(description="Units traded during the bar.")

    @rule(SYMBOL_SENTENCE, "symbol")
    def symbol_is_well_formed(cls) -> pl.Expr:
        return symbol_matches(cls._parameters)

    @rule("The open price lies in 0.01..1,000,000.", "open")
    def open_is_in_range(cls) -> pl.Expr:
        return _in_range("open")

    @rule("The high price lies in 0.01..1,000,000.", "high")
    def high_is_in_range(cls) -> pl.Expr:
        return _in_range("high")

    @rule("The low price lies in 0.01..1,000,000.", "low")
    def low_is_in_range(cls) -> pl.Expr:
        return _in_range("low")

    @rule("The close price lies in 0.01..1,000,000.", "close")
    def close_is_in_range(cls) -> pl.Expr:
        return _in_range("close")

    @rule("The high is not below the open, the close or the low.", "high", "open", "low", "close")
    def high_is_highest(cls) -> pl.Expr:
        return pl.all_horizontal(pl.col("high") >= pl.col(other) for other in ("open", "low", "close"))

    @rule("The low is not above the open, the close or the high.", "low", "open", "high", "close")
    def low_is_lowest(cls) -> pl.Expr:
        return pl.all_horizontal(pl.col("low") <= pl.col(other) for other in ("open", "high", "close"))

    @rule("The volume is not negative.", "volume")
    def volume_is_not_negative(cls) -> pl.Expr:
        return pl.col("volume") >= 0

    @rule("The bar starts inside the business date, give or take the institution's tolerance.", "timestamp")
    def timestamp_is_in_business_date(cls) -> pl.Expr:
        return within_business_date("timestamp", cls._parameters)

    @rule("The bar does not start in the future.", "timestamp")
    def timestamp_is_not_in_future(cls) -> pl.Expr:
        return not_in_future("timestamp", cls._parameters)


PRICES = Contract.from_model(
    "prices",
    Prices,
    key=("symbol", "timestamp"),
    closed=("symbol",),
    event_time="timestamp",
    watched=(Watched("close", by=("symbol",)),),
)
