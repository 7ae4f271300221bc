"""`gold/daily_bars`: silver bars to one bar per symbol and day.

VWAP is the sum of typical price times volume over the sum of volume, with the typical price (high + low + close) / 3 of
each bar: the usual form where only bars are known, not trades (Berkowitz, Logue and Noser, "The Total Cost of
Transactions on the NYSE", Journal of Finance 43(1), 1988, define VWAP over trades). The return is the simple one,
close / open - 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.rules import rule
from etl_platform.gold.candlestick import candlestick_svg, markdown_image
from etl_platform.gold.table import GoldTable, Price, Volume, gold_table, mean_between


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
        return mean_between("vwap", "low", "high")

    @rule("At least one bar was aggregated.", "bars")
    def bars_are_counted(cls) -> pl.Expr:
        return pl.col("bars") > 0


CONTRACT = Contract.from_model("daily_bars", DailyBars, key=("symbol",), closed=("symbol",))
TABLE = gold_table(CONTRACT)


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


def candles(bars: pl.DataFrame) -> Mapping[str, str]:
    """The day's bars as candlesticks, as Markdown."""
    day = "" if bars.is_empty() else f"{bars['institution'][0]} {bars['business_date'][0]}"
    svg = candlestick_svg(bars, title=f"Daily bars {day}, % of each symbol's open")
    return {"candlesticks": markdown_image(svg, f"daily bars {day}")}


DAILY_BARS = GoldTable(
    contract=CONTRACT,
    table=TABLE,
    source=("silver", "prices"),
    compute=daily_bars,
    lineage={
        "symbol": ("symbol",),
        "open": ("open", "timestamp"),
        "high": ("high",),
        "low": ("low",),
        "close": ("close", "timestamp"),
        "volume": ("volume",),
        "vwap": ("high", "low", "close", "volume"),
        "day_return": ("open", "close", "timestamp"),
        "bars": ("symbol",),
    },
    counts="bars",
    plot=candles,
)
