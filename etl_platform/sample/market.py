"""Plausible price bars: one geometric random walk per symbol, the same for all institutions up to their noise.

Not here: faults. A bar is always consistent: its high is at least a cent above open and close, its low a cent below.
"""

from __future__ import annotations

import datetime as dt
import itertools
import string
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from etl_platform.errors import ConfigurationError
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.randomness import stream

COMMON = ("AAPL", "MSFT", "NVDA", "AMZN", "JPM", "XOM", "KO", "TSLA")
SPECIAL = ("BRK.B", "BTC-USD")
SPELLINGS = ("{}", "{}.US", "{}-US", "{} US", "{}.N", "XNAS:{}", "{} US Equity", "US{}0001", "0000{}")
"""How else senders write a ticker, tried until one fits the institution's pattern."""

STRIDES = (3600, 1800, 900, 600, 300, 180, 120, 60, 30, 15, 10, 5, 2, 1)
DAILY_VOLATILITY, SENDER_NOISE = 0.015, 1e-4
CENT = Decimal("0.01")

Numbers = npt.NDArray[np.float64]


def price_bars(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """`rows` bars of the contract's columns, sorted by time and symbol. `day` counts business days from the start."""
    instants = sender.instants(date)
    symbols = _symbols(sender, at_least=-(-rows // len(instants)))
    if rows > len(symbols) * len(instants):
        raise ConfigurationError(
            f"sample of institution {sender.code} dataset {sender.dataset}",
            found=f"{rows} rows a day",
            expected=f"at most {len(symbols) * len(instants)}: {len(symbols)} symbols x {len(instants)} bar starts",
        )
    per_symbol = -(-rows // len(symbols))
    stride = next(s for s in STRIDES if -(-len(instants) // s) >= per_symbol)
    starts = instants.gather_every(stride)
    shape = (len(symbols), len(starts))
    cents = _walk(sender.code, shape, day, seed)
    # Illiquid symbols have no bar in some intervals; the first and the last bar of the day are kept.
    rank = stream(seed, "bars", sender.code, day).random(shape)
    rank[:, [0, -1]] -= 1
    kept = np.zeros(rank.size, dtype=np.bool_)
    kept[np.argpartition(rank.T.ravel(), rows - 1)[:rows]] = True
    frame = pl.DataFrame(
        {
            "symbol": pl.Series(symbols, dtype=pl.String).gather(np.tile(np.arange(shape[0]), shape[1])[kept]),
            "timestamp": starts.gather(np.repeat(np.arange(shape[1]), shape[0])[kept]),
            **{name: values.T.ravel()[kept] for name, values in cents.items()},
        }
    )
    prices = pl.col("open", "high", "low", "close")
    return frame.with_columns((prices * pl.lit(CENT)).cast(pl.Decimal(18, 8)))


def _walk(code: str, shape: tuple[int, int], day: int, seed: int) -> dict[str, npt.NDArray[np.int64]]:
    """Open, high, low, close in cents and volume, each symbols x bars."""
    symbols, bars = shape
    moves = stream(seed, "moves", day).standard_normal(shape) * DAILY_VOLATILITY / np.sqrt(bars)
    noise = 1 + SENDER_NOISE * stream(seed, "noise", code, day).standard_normal(symbols)
    path = (_levels(symbols, day, seed) * noise)[:, None] * np.exp(np.cumsum(moves, axis=1))
    close = np.maximum(np.rint(path * 100), 100).astype(np.int64)
    first = np.maximum(np.rint(path[:, :1] / np.exp(moves[:, :1]) * 100), 100).astype(np.int64)
    opened = np.hstack([first, close[:, :-1]])
    reach = np.abs(stream(seed, "reach", day).standard_normal((2, *shape))) * DAILY_VOLATILITY / np.sqrt(bars) / 2
    high = np.maximum(opened, close) + 1 + np.rint(path * 100 * reach[0]).astype(np.int64)
    low = np.minimum(opened, close) - 1 - np.rint(path * 100 * reach[1]).astype(np.int64)
    # Trading is heavy after the opening and before the close.
    shape_of_day = 0.6 + 2.4 * np.linspace(-1, 1, bars) ** 2
    volume = stream(seed, "volume", code, day).lognormal(7, 0.8, shape) * shape_of_day
    return {
        "open": opened,
        "high": high,
        "low": np.maximum(low, 2),
        "close": close,
        "volume": np.rint(volume).astype(np.int64) + 1,
    }


def _levels(symbols: int, day: int, seed: int) -> Numbers:
    """Price of each symbol when `day` begins. Draws are per day, so that more symbols leave the first ones alone."""
    level: Numbers = stream(seed, "levels").lognormal(4.8, 0.5, symbols)
    for earlier in range(day):
        level = level * np.exp(DAILY_VOLATILITY * stream(seed, "days", earlier).standard_normal(symbols))
    return np.clip(level, 10, 100_000)


def _symbols(sender: Sender, at_least: int) -> list[str]:
    """Symbols that fit the institution's pattern: the familiar ones, and more where one bar a second is not enough."""
    if "symbol" in sender.config.constants:
        return [sender.config.constants["symbol"]]
    pattern = str(sender.contract.parameters["symbol_pattern"])
    letters = itertools.chain.from_iterable(itertools.product(string.ascii_uppercase, repeat=size) for size in (4, 5))
    generated = ["".join(name) for name in itertools.islice(letters, at_least)]
    for spelling in SPELLINGS:
        familiar, more = (_fitting(names, spelling, pattern) for names in ((*COMMON, *SPECIAL), generated))
        if familiar:
            return [*familiar, *(name for name in more if name not in familiar)][: max(at_least, len(familiar))]
    raise ConfigurationError(
        f"institution {sender.code} dataset {sender.dataset} parameter symbol_pattern",
        found=f"{pattern!r}, which no sample symbol fits",
        expected="a pattern for tickers such as AAPL, AAPL.US or XNAS:AAPL",
    )


def _fitting(names: Sequence[str], spelling: str, pattern: str) -> list[str]:
    spelled = pl.Series([spelling.format(name) for name in names], dtype=pl.String)
    return spelled.filter(spelled.str.contains(pattern)).to_list()
