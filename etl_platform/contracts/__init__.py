"""What a valid row is: one contract per dataset, and everything derived from it.

Tables and SQL names (`table.py`, `ddl.py`, `identifiers.py`) are imported by stores that validate nothing: Pandera and
pandas, 54 MB and half a second, come with the first use of `BUILT_IN` or `Contract`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etl_platform.contracts.contract import Contract

    BUILT_IN: dict[str, Contract]

__all__ = ["BUILT_IN", "Contract"]


def __getattr__(name: str) -> Any:
    if name == "Contract":
        from etl_platform.contracts.contract import Contract

        return Contract
    if name == "BUILT_IN":
        from etl_platform.contracts.datasets.accounts import ACCOUNTS
        from etl_platform.contracts.datasets.anomalies import ANOMALIES
        from etl_platform.contracts.datasets.prices import PRICES
        from etl_platform.contracts.datasets.products import PRODUCTS
        from etl_platform.contracts.datasets.technical_indicators import TECHNICAL_INDICATORS
        from etl_platform.contracts.datasets.transactions import TRANSACTIONS

        all_contracts = (PRICES, TECHNICAL_INDICATORS, ANOMALIES, TRANSACTIONS, ACCOUNTS, PRODUCTS)
        # Kept, so that everybody gets the one dictionary.
        built_in = globals()[name] = {contract.dataset: contract for contract in all_contracts}
        return built_in
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
