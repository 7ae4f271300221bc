"""Plausible technical indicators, computed from the sample's own price bars, and anomalies found in them. No faults."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from etl_platform.contracts.datasets.anomalies import KINDS, SEVERITIES
from etl_platform.contracts.datasets.technical_indicators import INDICATORS
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.market import price_bars
from etl_platform.sample.randomness import stream

DECIMALS = 6
TEXTS = ("Auction imbalance", 'Halted, "news pending"', "Earnings; before the opening", "Fat finger suspected")


def indicators(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """Indicators of `rows` bars. Averages with a look-back of whole bars are missing until it is full; exponential
    ones begin with the first bar, so that no row is empty."""
    close = pl.col("close").cast(pl.Float64)
    step = close.diff()
    gain, loss = (
        moved.ewm_mean(alpha=1 / 14, adjust=False, min_samples=14) for moved in (step.clip(0), -step.clip(None, 0))
    )
    middle, spread = close.rolling_mean(20), 2 * close.rolling_std(20).fill_nan(0)
    computed = {
        "rsi": pl.when(gain + loss > 0).then(100 * gain / (gain + loss)),
        "sma_20": middle,
        "sma_50": close.rolling_mean(50),
        "ema_12": close.ewm_mean(span=12, adjust=False),
        "ema_26": close.ewm_mean(span=26, adjust=False),
        "bollinger_lower": middle - spread,
        "bollinger_middle": middle,
        "bollinger_upper": middle + spread,
    }
    bars = price_bars(sender, date, day, rows, seed)
    full = pl.int_range(pl.len()) >= 25
    macd = pl.when(full.over("symbol")).then(pl.col("ema_12") - pl.col("ema_26"))
    return (
        bars.with_columns(expression.over("symbol").alias(name) for name, expression in computed.items())
        .with_columns(macd=macd)
        .with_columns(macd_signal=pl.col("macd").ewm_mean(span=9, adjust=False, min_samples=9).over("symbol"))
        .with_columns(macd_histogram=pl.col("macd") - pl.col("macd_signal"))
        .select("symbol", "timestamp", pl.col(INDICATORS).round(DECIMALS))
    )


def anomalies(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """`rows` anomalies, each at a bar of its own."""
    random = stream(seed, "anomalies", sender.code, day)
    score = np.rint(random.beta(2, 3, rows) * 10_000) / 10_000
    kind = pl.Series(KINDS).gather(random.integers(0, len(KINDS), rows))
    is_volume = kind.str.starts_with("volume")
    share = pl.Series(0.01 + 0.2 * score * random.random(rows))
    down = kind.str.ends_with("drop")
    bars = price_bars(sender, date, day, rows, seed).with_columns(
        kind=kind, score=pl.Series(score), change=share.zip_with(~down, -share), is_volume=is_volume,
        text=pl.Series(TEXTS).gather(random.integers(0, len(TEXTS), rows)), silent=pl.Series(random.random(rows) < 0.4),
    )  # fmt: skip
    usual = pl.when("is_volume").then(pl.col("volume").cast(pl.Float64)).otherwise(pl.col("close").cast(pl.Float64))
    grade = (pl.col("score") * len(SEVERITIES)).floor().clip(0, len(SEVERITIES) - 1).cast(pl.UInt32)
    return bars.select(
        "symbol",
        "timestamp",
        "kind",
        "score",
        severity=pl.lit(pl.Series(SEVERITIES)).gather(grade),
        observed_value=(usual * (1 + pl.col("change"))).round(DECIMALS),
        expected_value=usual.round(DECIMALS),
        description=pl.when(~pl.col("silent")).then("text"),
    )
