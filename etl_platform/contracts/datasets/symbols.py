"""What datasets about instruments on a market share: parameters and the rule about the symbol.

Not here: rules about time (`timing.py`), identifiers of securities (`isin.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from etl_platform.contracts.visible import is_visible, leaves_no_room

MARKET_PARAMETERS: Mapping[str, Any] = {
    "symbol_pattern": r"^[A-Z]{1,5}$",
    "time_zone": "UTC",
    "business_date_tolerance_hours": 12,
    "clock_skew_minutes": 5,
}
SYMBOL_SENTENCE = (
    "The symbol matches the institution's pattern (1 to 5 capital letters by default) and holds only characters that "
    "can be seen."
)


def symbol_matches(parameters: Mapping[str, Any]) -> pl.Expr:
    """True where `symbol` matches the institution's `symbol_pattern` and holds only characters that can be seen."""
    pattern = parameters["symbol_pattern"]
    matches = pl.col("symbol").str.contains(pattern)
    return matches if leaves_no_room(pattern) else matches & is_visible("symbol")
