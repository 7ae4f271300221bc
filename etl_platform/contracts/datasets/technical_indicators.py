"""The `technical_indicators` dataset: statistics of one symbol's price series."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.datasets.symbols import MARKET_PARAMETERS, SYMBOL_SENTENCE, symbol_matches
from etl_platform.contracts.datasets.timing import not_in_future, within_business_date
from etl_platform.contracts.rules import rule

Timestamp = Annotated[pl.Datetime, "us", "UTC"]

LARGEST = 10_000_000.0
"""Ten times the highest price: nothing computed from prices lies beyond. A bound on both sides also refuses NaN and
infinity, which Polars orders above every number."""

BANDS = ("bollinger_lower", "bollinger_middle", "bollinger_upper")
INDICATORS = (
    "rsi", "macd", "macd_signal", "macd_histogram", "sma_20", "sma_50", "ema_12", "ema_26", *BANDS,
)  # fmt: skip


def _within_bounds(column: str) -> pl.Expr:
    return pl.col(column).is_between(-LARGEST, LARGEST)


def _is_average(column: str) -> pl.Expr:
    return pl.col(column).is_between(0, LARGEST, closed="right")


class TechnicalIndicators(ContractModel):
    """Technical indicators: momentum, averages and bands of one symbol at the start of one bar.

    Indicators are statistics, kept as 64-bit floats, never money. One that has not seen enough bars yet is missing;
    a row holds at least one.
    """

    _parameters: ClassVar[dict[str, Any]] = {**MARKET_PARAMETERS, "histogram_tolerance": 0.001}

    symbol: pl.String = pa.Field(description="Ticker of the instrument as the exchange writes it.")
    timestamp: Timestamp = pa.Field(description="Start of the bar that the indicators include last (UTC).")
    rsi: pl.Float64 = pa.Field(nullable=True, description="Relative strength index over 14 bars, 0 to 100.")
    macd: pl.Float64 = pa.Field(nullable=True, description="EMA of 12 bars minus EMA of 26 bars.")
    macd_signal: pl.Float64 = pa.Field(nullable=True, description="EMA of 9 bars of `macd`.")
    macd_histogram: pl.Float64 = pa.Field(nullable=True, description="`macd` minus `macd_signal`.")
    sma_20: pl.Float64 = pa.Field(nullable=True, description="Simple moving average of 20 closes.")
    sma_50: pl.Float64 = pa.Field(nullable=True, description="Simple moving average of 50 closes.")
    ema_12: pl.Float64 = pa.Field(nullable=True, description="Exponential moving average of 12 closes.")
    ema_26: pl.Float64 = pa.Field(nullable=True, description="Exponential moving average of 26 closes.")
    bollinger_lower: pl.Float64 = pa.Field(nullable=True, description="Middle band minus two standard deviations.")
    bollinger_middle: pl.Float64 = pa.Field(nullable=True, description="Simple moving average of 20 closes.")
    bollinger_upper: pl.Float64 = pa.Field(nullable=True, description="Middle band plus two standard deviations.")

    @rule(SYMBOL_SENTENCE, "symbol")
    def symbol_is_well_formed(cls) -> pl.Expr:
        return symbol_matches(cls._parameters)

    @rule("The relative strength index lies in 0..100.", "rsi")
    def rsi_is_in_range(cls) -> pl.Expr:
        return pl.col("rsi").is_between(0, 100)

    @rule("The MACD lies within ±10,000,000.", "macd")
    def macd_is_in_range(cls) -> pl.Expr:
        return _within_bounds("macd")

    @rule("The MACD signal lies within ±10,000,000.", "macd_signal")
    def macd_signal_is_in_range(cls) -> pl.Expr:
        return _within_bounds("macd_signal")

    @rule("The MACD histogram lies within ±10,000,000.", "macd_histogram")
    def macd_histogram_is_in_range(cls) -> pl.Expr:
        return _within_bounds("macd_histogram")

    @rule(
        "The MACD histogram is MACD minus signal within the institution's tolerance (0.001 by default: figures rounded "
        "to four decimals agree).",
        "macd_histogram", "macd", "macd_signal",
    )  # fmt: skip
    def macd_histogram_is_difference(cls) -> pl.Expr:
        difference = pl.col("macd") - pl.col("macd_signal") - pl.col("macd_histogram")
        return difference.abs() <= pl.lit(cls._parameters["histogram_tolerance"])

    @rule("The average of 20 closes is positive and at most 10,000,000.", "sma_20")
    def sma_20_is_in_range(cls) -> pl.Expr:
        return _is_average("sma_20")

    @rule("The average of 50 closes is positive and at most 10,000,000.", "sma_50")
    def sma_50_is_in_range(cls) -> pl.Expr:
        return _is_average("sma_50")

    @rule("The exponential average of 12 closes is positive and at most 10,000,000.", "ema_12")
    def ema_12_is_in_range(cls) -> pl.Expr:
        return _is_average("ema_12")

    @rule("The exponential average of 26 closes is positive and at most 10,000,000.", "ema_26")
    def ema_26_is_in_range(cls) -> pl.Expr:
        return _is_average("ema_26")

    @rule("The lower Bollinger band lies within ±10,000,000.", "bollinger_lower")
    def bollinger_lower_is_in_range(cls) -> pl.Expr:
        return _within_bounds("bollinger_lower")

    @rule("The middle Bollinger band is positive and at most 10,000,000.", "bollinger_middle")
    def bollinger_middle_is_in_range(cls) -> pl.Expr:
        return _is_average("bollinger_middle")

    @rule("The upper Bollinger band lies within ±10,000,000.", "bollinger_upper")
    def bollinger_upper_is_in_range(cls) -> pl.Expr:
        return _within_bounds("bollinger_upper")

    @rule("The lower Bollinger band is not above the middle one, nor that above the upper one.", *BANDS)
    def bollinger_bands_are_in_order(cls) -> pl.Expr:
        lower, middle, upper = (pl.col(band) for band in BANDS)
        return pl.all_horizontal(lower <= middle, middle <= upper, lower <= upper)

    @rule("The Bollinger bands come together: all three or none.", *BANDS)
    def bollinger_bands_are_complete(cls) -> pl.Expr:
        missing = pl.sum_horizontal(pl.col(band).is_null() for band in BANDS)
        return missing.is_in([0, len(BANDS)])

    @rule("The row holds at least one indicator.", *INDICATORS)
    def row_holds_an_indicator(cls) -> pl.Expr:
        return pl.any_horizontal(pl.col(name).is_not_null() for name in INDICATORS)

    @rule("The bar starts inside the business date, give or take the institution's tolerance.", "timestamp")
    def timestamp_is_in_business_date(cls) -> pl.Expr:
        return within_business_date("timestamp", cls._parameters)

    @rule("The bar does not start in the future.", "timestamp")
    def timestamp_is_not_in_future(cls) -> pl.Expr:
        return not_in_future("timestamp", cls._parameters)


TECHNICAL_INDICATORS = Contract.from_model(
    "technical_indicators",
    TechnicalIndicators,
    key=("symbol", "timestamp"),
    closed=("symbol",),
    event_time="timestamp",
)
