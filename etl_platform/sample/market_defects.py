"""Ways to break each rule of the datasets about instruments on a market, and what a corrected row says instead."""

from __future__ import annotations

import math
from decimal import Decimal

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.datasets.technical_indicators import BANDS, INDICATORS
from etl_platform.sample.defect import Defect, Values, fixed

BAD_SYMBOLS = ("aapl?", "TOO LONG A SYMBOL", "-1", "")
YEARS_AHEAD = 30
TOO_LARGE = 2e7

_NONE = pl.lit(None, pl.Float64)


def _price(text: str) -> pl.Expr:
    return pl.lit(Decimal(text)).cast(pl.Decimal(18, 8))


def _bad_symbol(contract: Contract) -> Values | None:
    candidates = pl.Series(BAD_SYMBOLS)
    bad = candidates.filter(~candidates.str.contains(str(contract.parameters["symbol_pattern"])))
    return {"symbol": pl.lit(bad[0])} if len(bad) else None


def _other_day(contract: Contract) -> Values:
    # Whole weeks, so that a working day stays one and no clock change is met; far beyond both tolerances.
    weeks = math.ceil((2 + contract.parameters["business_date_tolerance_hours"] / 24) / 7)
    return {"timestamp": pl.col("timestamp").dt.offset_by(f"-{weeks}w")}


def _no_difference(contract: Contract) -> Values:
    # Small values, so that only their difference is wrong.
    wrong = pl.lit(0.75 + 2 * contract.parameters["histogram_tolerance"])
    return {"macd": pl.lit(1.0), "macd_signal": pl.lit(0.25), "macd_histogram": wrong}


def _bands(lower: float | None, middle: float, upper: float) -> Values:
    values = (pl.lit(value, pl.Float64) for value in (lower, middle, upper))
    return dict(zip(BANDS, values, strict=True))


TIMES = {
    "timestamp_is_in_business_date": Defect(_other_day),
    "timestamp_is_not_in_future": fixed(
        {"timestamp": pl.col("timestamp").dt.offset_by(f"{YEARS_AHEAD}y")}, "timestamp_is_in_business_date"
    ),
}

PRICES = {
    "symbol_is_well_formed": Defect(_bad_symbol),
    "open_is_in_range": fixed({"open": _price("0.001")}, "low_is_lowest"),
    "high_is_in_range": fixed({"high": _price("2000000")}),
    "low_is_in_range": fixed({"low": _price("0.001")}),
    "close_is_in_range": fixed({"close": _price("0.001")}, "low_is_lowest"),
    "high_is_highest": fixed({"high": pl.col("low")}),
    "low_is_lowest": fixed({"low": pl.col("high")}),
    "volume_is_not_negative": fixed({"volume": -pl.col("volume") - 1}),
    **TIMES,
}

TECHNICAL_INDICATORS = {
    "symbol_is_well_formed": Defect(_bad_symbol),
    "rsi_is_in_range": fixed({"rsi": pl.lit(100.5)}),
    # Of three figures that must agree one is left out, so that only the range is broken.
    "macd_is_in_range": fixed({"macd": pl.lit(TOO_LARGE), "macd_signal": _NONE}),
    "macd_signal_is_in_range": fixed({"macd_signal": pl.lit(-TOO_LARGE), "macd": _NONE}),
    "macd_histogram_is_in_range": fixed({"macd_histogram": pl.lit(TOO_LARGE), "macd": _NONE}),
    "macd_histogram_is_difference": Defect(_no_difference),
    "sma_20_is_in_range": fixed({"sma_20": pl.lit(0.0)}),
    "sma_50_is_in_range": fixed({"sma_50": pl.lit(-1.5)}),
    "ema_12_is_in_range": fixed({"ema_12": pl.lit(0.0)}),
    "ema_26_is_in_range": fixed({"ema_26": pl.lit(TOO_LARGE)}),
    "bollinger_lower_is_in_range": fixed(_bands(-TOO_LARGE, 1.0, 2.0)),
    "bollinger_middle_is_in_range": fixed(_bands(-1.0, 0.0, 1.0)),
    "bollinger_upper_is_in_range": fixed(_bands(1.0, 2.0, TOO_LARGE)),
    "bollinger_bands_are_in_order": fixed(_bands(3.0, 2.0, 4.0)),
    "bollinger_bands_are_complete": fixed(_bands(None, 2.0, 3.0)),
    "row_holds_an_indicator": fixed(dict.fromkeys(INDICATORS, _NONE)),
    **TIMES,
}

ANOMALIES = {
    "symbol_is_well_formed": Defect(_bad_symbol),
    "kind_is_known": fixed({"kind": pl.lit("strange")}),
    "score_is_in_range": fixed({"score": pl.lit(1.5)}),
    "severity_is_known": fixed({"severity": pl.lit("urgent")}),
    "observed_value_is_in_range": fixed({"observed_value": pl.lit(1e16)}),
    "expected_value_is_in_range": fixed({"expected_value": pl.lit(-1e16)}),
    **TIMES,
}

CORRECTIONS: dict[str, Values] = {
    "prices": {"volume": pl.col("volume") + 100},
    "technical_indicators": {"ema_12": pl.col("ema_12") + 0.5},
    "anomalies": {"observed_value": pl.col("observed_value") + 1},
}
