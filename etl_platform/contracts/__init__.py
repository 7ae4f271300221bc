"""What a valid row is: one contract per dataset, and everything derived from it."""

from __future__ import annotations

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.prices import PRICES
from etl_platform.contracts.transactions import TRANSACTIONS

BUILT_IN: dict[str, Contract] = {c.dataset: c for c in (PRICES, TRANSACTIONS)}

__all__ = ["BUILT_IN", "Contract"]
