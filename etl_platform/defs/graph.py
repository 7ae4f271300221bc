"""What every part of the asset graph shares at definition time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dagster as dg

from etl_platform.contracts.catalog import Catalog
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import Table
from etl_platform.defs.table_metadata import table_schema
from etl_platform.delivery import Delivery
from etl_platform.institutions.faults import Fault, is_of_faulty
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import Institution
from etl_platform.partitions import Partitions
from etl_platform.settings import Settings

OWNERS = ["team:data-platform"]


@dataclass(frozen=True)
class Graph:
    """Settings, contracts, tenants and partitions: read once, then only passed on.

    faults: what takes out the institutions that are not in `institutions`.
    """

    settings: Settings
    contracts: Mapping[str, Contract]
    institutions: Mapping[str, Institution]
    partitions: Partitions
    faults: tuple[Fault, ...] = ()

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.contracts)

    def has(self, partition: Delivery) -> bool:
        """Whether it is configured: Dagster refuses a run of a partition that it does not know."""
        first = self.settings.first_date
        last = self.partitions.date.get_last_partition_key() or first.isoformat()
        return (
            partition.institution in self.institutions
            and partition.dataset in self.contracts
            and first <= partition.business_date <= dt.date.fromisoformat(last)
        )

    def is_of_faulty(self, key: str) -> bool:
        """Whether an object that nobody claims waits for an institution whose file is broken today."""
        return is_of_faulty(self.institutions, key)

    def contract_of(self, dataset: str, institution: str | None) -> Contract:
        """The contract of `dataset`, bound to the parameters of `institution` where it sends that dataset."""
        contract = self.contracts[dataset]
        tenant = self.institutions.get(institution or "")
        if tenant is None or dataset not in tenant.datasets:
            return contract
        # Once: binding compiles the rules anew, which takes longer than the rows of a small partition take to pass.
        if (dataset, tenant.code) not in self._bound:
            self._bound[dataset, tenant.code] = bind_contract(contract, tenant)
        return self._bound[dataset, tenant.code]

    @cached_property
    def _bound(self) -> dict[tuple[str, str], Contract]:
        return {}


def as_asset(function: Callable[..., Any], **attributes: Any) -> dg.AssetsDefinition:
    """`function` as an asset with `attributes` (of `dg.asset`)."""
    decorated = dg.asset(**attributes)(function)
    assert isinstance(decorated, dg.AssetsDefinition)
    return decorated


def table_attributes(table: Table, kinds: set[str], *, layer: str | None = None) -> dict[str, Any]:
    """The attributes that every asset of a table has: key parts, group, kinds, owners, description, schema."""
    shown = layer or table.layer
    return {
        "key": dg.AssetKey([shown, table.name]),
        "group_name": shown,
        "kinds": kinds,
        "owners": OWNERS,
        "description": table.description,
        "metadata": {
            "dagster/column_schema": table_schema(table),
            "dagster/table_name": f"{shown}.{table.name}",
        },
    }
