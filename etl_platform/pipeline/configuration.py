"""What the company has configured: settings, contracts, tenants and gold tables, read once and then only passed on.

Belongs here: questions about them. Not here: Dagster's partitions (`defs/graph.py`), reading files (`institutions/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from etl_platform.catalog.tables import Catalog
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.gold.graph import GoldGraph, gold_graph
from etl_platform.institutions.faults import Fault, is_of_faulty
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import DriftPolicy, Institution
from etl_platform.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """faults: what takes out the institutions that are not in `institutions`."""

    settings: Settings
    contracts: Mapping[str, Contract]
    institutions: Mapping[str, Institution]
    faults: tuple[Fault, ...] = ()
    gold: GoldGraph = field(default_factory=gold_graph)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog(self.contracts, self.gold)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """Of every institution that may have stored anything: what one has stored stays part of a date, also while its
        file is out of use."""
        return tuple(
            sorted({*self.institutions, *(f.institution for f in self.faults if ALLOWED.fullmatch(f.institution))})
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

    def drift_policy_of(self, dataset: str, institution: str) -> DriftPolicy:
        """What the institution wants on drift of `dataset`; nothing where it does not send it."""
        tenant = self.institutions.get(institution)
        return tenant.drift_policy_of(dataset) if tenant and dataset in tenant.datasets else "ignore"

    def quarantine_limit_of(self, dataset: str, institution: str) -> float:
        """The largest share of quarantined rows; all of them where the institution does not send the dataset."""
        tenant = self.institutions[institution]
        return tenant.largest_quarantined_share(dataset) if dataset in tenant.datasets else 1.0

    @cached_property
    def _bound(self) -> dict[tuple[str, str], Contract]:
        return {}
