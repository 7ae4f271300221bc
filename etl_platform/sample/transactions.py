"""Plausible account transactions: exact amounts, signs as their type demands, one currency per account. No faults."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl

from etl_platform.contracts.datasets.transactions import CREDIT_TYPES, EITHER_TYPES
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.randomness import stream

SHARES = {
    "card": 0.34, "payment": 0.18, "transfer_out": 0.11, "transfer_in": 0.11, "deposit": 0.08, "withdrawal": 0.07,
    "fee": 0.04, "dividend": 0.03, "interest": 0.02, "refund": 0.01, "adjustment": 0.005, "reversal": 0.005,
}  # fmt: skip
CURRENCIES = ("USD", "EUR", "CHF", "SGD", "GBP", "JPY")
TEXTS = ("Monthly statement", "Invoice 4711; thank you", 'Shop "Corner", till 3', "Standing order", "Ref 0012-34")
CENT, LARGEST_CENTS = Decimal("0.01"), 1_000_000_000


def account_transactions(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """`rows` transactions of the contract's columns, sorted by time."""
    random = stream(seed, "transactions", sender.code, day)
    instants = sender.instants(date)
    kinds, shares = tuple(SHARES), np.array(list(SHARES.values()))
    kind = random.choice(len(kinds), rows, p=shares / shares.sum())
    account = random.integers(0, max(5, rows // 40), rows)
    cents = np.clip(np.rint(random.lognormal(8.5, 1.4, rows)), 1, LARGEST_CENTS).astype(np.int64)
    direction = np.where(np.isin(kind, [kinds.index(k) for k in CREDIT_TYPES]), 1, -1)
    either = np.isin(kind, [kinds.index(k) for k in EITHER_TYPES])
    direction = np.where(either & (random.random(rows) < 0.5), 1, direction)
    silent = ~either & (random.random(rows) < 0.35)
    number = pl.col("number").cast(pl.String)
    frame = pl.DataFrame(
        {
            "number": np.arange(1, rows + 1),
            "account": account,
            "timestamp": instants.gather(np.sort(random.integers(0, len(instants), rows))),
            "cents": cents * direction,
            "currency": pl.Series(CURRENCIES).gather(account % len(CURRENCIES)),
            "type": pl.Series(kinds).gather(kind),
            "text": pl.Series(TEXTS).gather(random.integers(0, len(TEXTS), rows)),
            "silent": silent,
        }
    )
    # The yen has no cents.
    whole = pl.when(pl.col("currency") == "JPY").then(pl.col("cents") * 100).otherwise(pl.col("cents"))
    return _as_configured(
        frame.select(
            transaction_id=pl.lit(f"{date:%Y%m%d}-") + number.str.zfill(8),
            account_id=pl.lit("ACC-") + pl.col("account").cast(pl.String).str.zfill(8),
            timestamp="timestamp",
            amount=(whole * pl.lit(CENT)).cast(pl.Decimal(18, 4)),
            currency="currency",
            type="type",
            description=pl.when(~pl.col("silent")).then("text"),
        ),
        sender,
    )


def _as_configured(frame: pl.DataFrame, sender: Sender) -> pl.DataFrame:
    """Amounts signed as a constant `type` demands, where the institution's file fixes one for all rows."""
    kind = sender.config.constants.get("type")
    if kind is None:
        return frame
    sign = 1 if kind in CREDIT_TYPES else -1
    return frame.with_columns(type=pl.lit(kind), amount=pl.col("amount").abs() * sign, description=pl.lit("see type"))
