"""`gold/market_overview`: daily bars of all institutions to a row per symbol and day: disagreement stands out."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.rules import rule
from etl_platform.contracts.table import INSTITUTION
from etl_platform.gold.table import GoldTable, Price, Volume, gold_table, mean_between


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
        return mean_between("vwap", "lowest_low", "highest_high")

    @rule("Every institution that counts sent at least one bar.", "institutions", "bars")
    def bars_are_counted(cls) -> pl.Expr:
        return (pl.col("institutions") > 0) & (pl.col("bars") >= pl.col("institutions"))


CONTRACT = Contract.from_model("market_overview", MarketOverview, key=("symbol",), closed=("symbol",))
TABLE = gold_table(CONTRACT, shared=True)


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


MARKET_OVERVIEW = GoldTable(
    contract=CONTRACT,
    table=TABLE,
    source=("gold", "daily_bars"),
    compute=market_overview,
    lineage={
        "symbol": ("symbol",),
        "institutions": ("institution",),
        "bars": ("bars",),
        "volume": ("volume",),
        "lowest_low": ("low",),
        "highest_high": ("high",),
        "vwap": ("vwap", "volume"),
        "lowest_close": ("close",),
        "highest_close": ("close",),
        "close_spread": ("close",),
    },
    counts="bars",
    counted="bars",
)
