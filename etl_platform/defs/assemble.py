"""Puts the graph together: one function, so that tests and tools can swap settings and resources."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from etl_platform.catalog.registry import load_contracts
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.defs.bronze import build_bronze_asset
from etl_platform.defs.checks import build_accounts_check, build_gold_checks, build_silver_checks
from etl_platform.defs.faults import build_fault_assets, fault_metadata
from etl_platform.defs.gold import build_gold_asset
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import build_jobs
from etl_platform.defs.library_resources import build_library_resources
from etl_platform.defs.many import build_load_many, build_overview_many
from etl_platform.defs.owners import with_senders
from etl_platform.defs.presence import announcing
from etl_platform.defs.resources import build_resources
from etl_platform.defs.sensors import build_automation_sensor, build_landing_sensor
from etl_platform.defs.silver import build_silver_assets
from etl_platform.defs.warehouse import build_warehouse_asset
from etl_platform.institutions.loader import load_institutions
from etl_platform.landing.zone import landing_root_of
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import build_partitions
from etl_platform.resources.processes import Processes
from etl_platform.settings import Settings


def build_graph(settings: Settings) -> Graph:
    """Contracts, institutions and partitions for `settings`. Reads configuration files, nothing else."""
    contracts = load_contracts(settings)
    tenants = load_institutions(settings.institutions_folder, contracts, landing_root_of(settings))
    # What a faulty institution has stays part of every date, as in the market overview, and stays in sight.
    codes = {fault.institution for fault in tenants.faults if ALLOWED.fullmatch(fault.institution)}
    partitions = build_partitions(settings.first_date, tenants, also=codes)
    return Graph(
        settings=settings, contracts=contracts, institutions=tenants, partitions=partitions, faults=tenants.faults
    )


def build_defs(settings: Settings, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions. `resource_overrides` replaces resources by key."""
    return assemble(build_graph(settings), resource_overrides)


def assemble(graph: Graph, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The same for a graph that is there already: a thousand declared columns take a quarter of a second to read."""
    with _previews_accepted():
        return _assembled(graph, resource_overrides or {})


@contextmanager
def _previews_accepted() -> Iterator[None]:
    """Partitioned checks and the mapping to one dimension are previews of Dagster, chosen on purpose and pinned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield


def _assembled(graph: Graph, resource_overrides: Mapping[str, Any]) -> dg.Definitions:
    contracts = graph.contracts.values()
    assets = [
        *(build_bronze_asset(c, graph) for c in contracts),
        *(build_silver_assets(c, graph) for c in contracts),
        *(build_gold_asset(gold, graph) for gold in graph.gold),
        *(build_warehouse_asset(t, graph) for t in graph.catalog.warehouse_tables()),
    ]
    checks = [
        *(build_silver_checks(c, graph) for c in contracts),
        *(build_gold_checks(gold, graph) for gold in graph.gold),
        build_accounts_check(graph),
    ]
    blocking = {spec.key: spec.blocking for definition in checks for spec in definition.check_specs}
    resources = {
        **build_library_resources(graph.settings, graph.institutions),
        **build_resources(graph.settings, graph.institutions, graph.catalog),
        **resource_overrides,
    }
    if isinstance(resources["ledger"], Ledger):
        resources["ledger"] = announcing(resources["ledger"], Processes(graph.settings.processes))
    jobs = [*build_jobs(graph), build_load_many(graph, blocking, resources), build_overview_many(graph, blocking)]
    return dg.Definitions(
        assets=[*with_senders(assets, graph), *build_fault_assets(graph)],
        asset_checks=checks,
        jobs=jobs,
        sensors=[build_landing_sensor(graph, jobs), build_automation_sensor()],
        resources=resources,
        executor=dg.in_process_executor,
        metadata=fault_metadata(graph),
    )
