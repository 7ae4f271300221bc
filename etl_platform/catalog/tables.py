"""Every table of the platform by layer and name: the one lookup that IO managers, checks and the CLI share."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import manifest_table
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import Table
from etl_platform.errors import UnknownNameError
from etl_platform.gold.graph import GoldGraph, gold_graph


class Catalog:
    """Tables of `contracts` in bronze, silver, quarantine and reconciliation; gold tables; and `warehouse`, which
    shows silver and gold tables under their own names."""

    def __init__(self, contracts: Mapping[str, Contract], gold: GoldGraph | None = None) -> None:
        self._tables: dict[tuple[str, str], Table] = {}
        for name, contract in contracts.items():
            per_layer = (manifest_table(name), contract.silver, quarantine_table(name), reconciliation_table(name))
            self._tables |= {(table.layer, name): table for table in per_layer}
            self._tables["warehouse", name] = contract.silver
        for name, table in (gold or gold_graph()).tables.items():
            self._tables["gold", name] = table
            self._tables["warehouse", name] = table

    def table(self, layer: str, name: str) -> Table:
        """The table. Raises UnknownNameError with the near matches."""
        try:
            return self._tables[layer, name]
        except KeyError:
            known = [f"{a}/{b}" for a, b in self._tables]
            near = difflib.get_close_matches(f"{layer}/{name}", known, n=3) or sorted(known)
            raise UnknownNameError(f"table {layer}/{name}", found="no such table", expected=" or ".join(near)) from None

    def warehouse_tables(self) -> list[Table]:
        """The tables that people query in the warehouse."""
        return [table for (layer, _), table in self._tables.items() if layer == "warehouse"]
