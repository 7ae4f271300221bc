"""What follows what in gold: which tables a dataset fills, which lie across institutions, what rests on what.

Belongs here: every question about the gold tables as a whole; nobody else filters them or names one. Not here: a
table's own description (`table.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import Table
from etl_platform.errors import ConfigurationError, UnknownNameError
from etl_platform.gold.table import GoldTable
from etl_platform.gold.tables import gold_tables

_SILVER, _GOLD = "silver", "gold"


@cache
def gold_graph() -> GoldGraph:
    """That of the tables that come with the package."""
    return GoldGraph()


class GoldGraph:
    """The gold tables, each after what it rests on. Raises ConfigurationError for a table without a source, one of an
    institution that rests on one across them, and tables that rest on each other."""

    def __init__(self, tables: Iterable[GoldTable] | None = None) -> None:
        self._by_name = {found.name: found for found in (gold_tables() if tables is None else tables)}
        self._tables = {name: self._by_name[name] for name in self._in_order()}

    def __iter__(self) -> Iterator[GoldTable]:
        """Every table, after what it rests on."""
        return iter(self._tables.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def __getitem__(self, name: str) -> GoldTable:
        return self._tables[name]

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The stored tables by name."""
        return {name: found.table for name, found in self._tables.items()}

    @cached_property
    def contracts(self) -> Mapping[str, Contract]:
        """The contracts by name."""
        return {name: found.contract for name, found in self._tables.items()}

    @cached_property
    def shared(self) -> tuple[GoldTable, ...]:
        """The tables across institutions."""
        return tuple(found for found in self if found.is_shared)

    def of(self, dataset: str) -> tuple[GoldTable, ...]:
        """The tables of one delivery of `dataset`: those that rest on its silver, at once or through other gold."""
        return tuple(found for found in self if not found.is_shared and self.dataset_of(found.table) == dataset)

    def shared_over(self, dataset: str) -> tuple[GoldTable, ...]:
        """The tables across institutions that rows of `dataset` reach."""
        return tuple(found for found in self.shared if self.dataset_of(found.table) == dataset)

    def dataset_of(self, table: Table) -> str:
        """The dataset whose rows a silver or gold table holds or rests on."""
        layer, name = table.layer, table.name
        while layer == _GOLD:
            layer, name = self._tables[name].source
        return name

    def datasets_of(self, names: Iterable[tuple[str, str]]) -> set[str]:
        """The datasets whose deliveries these tables (layer, name) are of; those across institutions are of none."""
        found = set()
        for layer, name in names:
            gold = self._tables.get(name) if layer in (_GOLD, "warehouse") else None
            if gold is None or not gold.is_shared:
                found.add(self.dataset_of(gold.table) if gold else name)
        return found

    def publication_of(self, dataset: str) -> dict[str, str | None]:
        """The tables that hold what is stored in silver/<dataset>, as layer/name, each with the one of them that it is
        written from. With all of them the delivery is published."""
        wanted: dict[str, str | None] = {f"warehouse/{dataset}": None}
        for found in self.of(dataset):
            layer, source = found.source
            gold = f"gold/{found.name}"
            wanted |= {gold: f"gold/{source}" if layer == _GOLD else None, f"warehouse/{found.name}": gold}
        return wanted

    def _in_order(self) -> Iterator[str]:
        rests_on: dict[str, set[str]] = {}
        for name, found in self._by_name.items():
            layer, source = found.source
            rests_on[name] = {source} if layer == _GOLD else set()
            below = self._by_name.get(source)
            if layer not in (_SILVER, _GOLD) or (layer == _GOLD and below is None):
                raise UnknownNameError(
                    f"gold table {name}",
                    found=f"it rests on {layer}/{source}",
                    expected="silver/<dataset> or one of " + ", ".join(f"gold/{other}" for other in self._by_name),
                )
            if below is not None and layer == _GOLD and below.is_shared and not found.is_shared:
                raise ConfigurationError(
                    f"gold table {name}",
                    found=f"a table of one institution that rests on gold/{source} across institutions",
                    expected="a source of the same institution: what others sent is not this one's",
                )
        try:
            return iter(tuple(TopologicalSorter(rests_on).static_order()))
        except CycleError as error:
            circle = " -> ".join(error.args[1])
            raise ConfigurationError(
                "gold tables", found=f"they rest on each other: {circle}", expected="an order in which to compute them"
            ) from None
