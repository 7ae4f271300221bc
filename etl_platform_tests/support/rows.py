"""One good row of each dataset, and frames of it with some values changed: for tests of single rules."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import polars as pl

from etl_platform.contracts import BUILT_IN
from etl_platform.transforms.validate import validate

DATE = dt.date(2025, 1, 15)
NOON = dt.datetime(2025, 1, 15, 12, tzinfo=dt.UTC)
PROCESSED = dt.datetime(2025, 1, 16, 2, tzinfo=dt.UTC)

GOOD: dict[str, dict[str, Any]] = {
    "technical_indicators": {
        "symbol": "AAPL", "timestamp": NOON, "rsi": 55.5, "macd": 1.0, "macd_signal": 0.25, "macd_histogram": 0.75,
        "sma_20": 101.5, "sma_50": 100.5, "ema_12": 102.5, "ema_26": 101.5, "bollinger_lower": 95.0,
        "bollinger_middle": 101.5, "bollinger_upper": 108.0,
    },
    "anomalies": {
        "symbol": "AAPL", "timestamp": NOON, "kind": "price_spike", "score": 0.5, "severity": "high",
        "observed_value": 120.5, "expected_value": 100.0, "description": "after the opening",
    },
    "accounts": {
        "account_id": "ACC-1", "customer_id": "CUS-1", "account_type": "savings", "status": "open", "currency": "CHF",
        "opened_date": dt.date(2020, 2, 29), "closed_date": None, "balance": Decimal("12.3456"), "risk_class": "low",
    },
    "products": {
        "product_id": "PRD-1", "name": "Bond 1", "product_type": "bond", "currency": "USD",
        "issue_date": dt.date(2020, 2, 29), "maturity_date": dt.date(2030, 2, 28), "status": "active", "risk_class": 3,
        "isin": "US0378331005", "price": Decimal("99.5"),
    },
}  # fmt: skip


def frame_of(dataset: str, **changes: Any) -> pl.DataFrame:
    """One row of exactly the silver types: the good one with `changes`."""
    context = {"business_date": DATE, "institution": "first", "_processed_at": PROCESSED, "_source_file": "f",
               "_source_row": 1, "_row_hash": 1}  # fmt: skip
    unknown = changes.keys() - GOOD[dataset].keys()
    assert not unknown, unknown
    return pl.DataFrame([{**GOOD[dataset], **changes, **context}], schema=BUILT_IN[dataset].silver.polars_schema)


def broken_by(dataset: str, **changes: Any) -> set[str]:
    """The rules that the good row breaks with `changes`."""
    return set(validate(frame_of(dataset, **changes), BUILT_IN[dataset])["rule"])
