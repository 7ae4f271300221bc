"""What datasets about instruments on a market share: parameters and the rule about the symbol.

Not here: rules about time (`timing.py`), identifiers of securities (`isin.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

MARKET_PARAMETERS: Mapping[str, Any] = {
    "symbol_pattern": r"^[A-Z]{1,5}$",
    "time_zone": "UTC",
    "business_date_tolerance_hours": 12,
    "clock_skew_minutes": 5,
}


def symbol_matches(parameters: Mapping[str, Any]) -> pl.Expr:
    """True where `symbol` matches the institution's `symbol_pattern`."""
    return pl.col("symbol").str.contains(parameters["symbol_pattern"])
