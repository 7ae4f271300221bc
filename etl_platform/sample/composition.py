"""The rows of one partition as they will be sent: good ones, broken ones, repeats and corrections, with their fate.

Not here: how values are broken (`defects.py`) or written (`writers.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from etl_platform.sample.declared import declared_rows
from etl_platform.sample.defects import Kinds, corrections, kinds_for, spoil
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.indicators import anomalies, indicators
from etl_platform.sample.market import price_bars
from etl_platform.sample.master import accounts, products
from etl_platform.sample.randomness import stream
from etl_platform.sample.transactions import account_transactions

GOOD, BROKEN, DUPLICATE, SUPERSEDED = "good", "broken", "duplicate", "superseded"
FATE, RULE, DELIVERY, POSITION = "_fate", "_rule", "_delivery", "_position"

GENERATORS: dict[str, Callable[[Sender, dt.date, int, int, int], pl.DataFrame]] = {
    "prices": price_bars,
    "technical_indicators": indicators,
    "anomalies": anomalies,
    "transactions": account_transactions,
    "accounts": accounts,
    "products": products,
}

FEWEST_ROWS = 50
"""Below it a file has no repeats and corrections: one of them would be more than the usual limits allow."""

LIMIT_USED = 0.6
"""Part of the institution's quarantine limit that the faults may use, so that the partition is published."""


@dataclass(frozen=True)
class Composition:
    """rows: contract columns, fate, broken rule, delivery (1 or 2) and position in it, in the order of sending."""

    rows: pl.DataFrame
    kinds: Kinds


@dataclass(frozen=True)
class _Counts:
    broken: int
    duplicates: int
    superseded: int

    @classmethod
    def of(cls, sender: Sender, rows: int, share: float, kinds: int) -> _Counts:
        if share == 0:
            return cls(0, 0, 0)
        room = int(rows * sender.institution.largest_quarantined_share(sender.dataset) * LIMIT_USED)
        enough = rows >= FEWEST_ROWS
        changes, contract = corrections(sender), sender.contract
        correctable = enough and contract.key and changes and not set(changes) & sender.supplied
        superseded = min(max(1, rows // 500), room) if correctable and contract.has_unique_key else 0
        broken = min(max(round(rows * share), kinds), room - superseded) if kinds else 0
        return cls(broken, max(1, rows // 400) if enough and contract.has_unique_key else 0, superseded)


def compose(
    sender: Sender, date: dt.date, day: int, rows: int, seed: int, *, defect_share: float, deliveries: int
) -> Composition:
    """Exactly `rows` rows, of which about `defect_share` are broken; every kind of fault at least once where the
    institution's limit has room for all, else in turn from day to day."""
    kinds = kinds_for(sender)
    counts = _Counts.of(sender, rows, defect_share, len(kinds.made))
    size = rows - counts.duplicates - counts.superseded
    random = stream(seed, "faults", sender.code, sender.dataset, day)
    base = GENERATORS.get(sender.dataset, declared_rows)(sender, date, day, size, seed).with_columns(
        pl.lit(GOOD).alias(FATE),
        pl.lit(None, pl.String).alias(RULE),
        pl.lit(1, pl.Int8).alias(DELIVERY),
        pl.int_range(pl.len()).cast(pl.Float64).alias(POSITION),
    )
    chosen = random.choice(size, counts.broken + counts.duplicates + counts.superseded, replace=False)
    broken, repeated, corrected = np.split(chosen, np.cumsum([counts.broken, counts.duplicates]))
    spoiled = _spoiled(base[broken], sender, kinds.made, day * counts.broken)
    old = base[corrected].with_columns(pl.lit(SUPERSEDED).alias(FATE))
    new = base[corrected].with_columns(e.alias(c) for c, e in corrections(sender).items())
    copies = base[repeated].with_columns(pl.lit(DUPLICATE).alias(FATE))
    later = _later(pl.concat([new, copies]), size, deliveries, random)
    untouched = np.ones(size, dtype=np.bool_)
    untouched[np.concatenate([broken, corrected])] = False
    whole = pl.concat([base.filter(pl.Series(untouched)), *spoiled, old, later])
    return Composition(whole.sort(DELIVERY, POSITION, maintain_order=True), kinds)


def _spoiled(rows: pl.DataFrame, sender: Sender, kinds: tuple[str, ...], start: int) -> list[pl.DataFrame]:
    turn = (np.arange(rows.height) + start) % max(1, len(kinds))
    marked = rows.with_columns(pl.Series(RULE, kinds, dtype=pl.String).gather(turn), pl.lit(BROKEN).alias(FATE))
    return [spoil(part, sender, str(part[RULE][0])) for part in marked.partition_by(RULE) if part.height]


def _later(rows: pl.DataFrame, size: int, deliveries: int, random: np.random.Generator) -> pl.DataFrame:
    """Each row somewhere after its original: by turns in the last delivery and in the same one."""
    ahead = pl.Series(random.random(rows.height))
    delivery = pl.Series(deliveries - np.arange(rows.height) % deliveries, dtype=pl.Int8)
    # Originals stand on whole positions.
    after = pl.col(POSITION) + ahead * (size - 1 - pl.col(POSITION)) + 0.5
    return rows.with_columns(after.alias(POSITION), delivery.alias(DELIVERY))
