"""Jobs: `ingest` runs a partition from landing to warehouse, `overview` a date across institutions, `check_stored`
the checks of a partition alone."""

from __future__ import annotations

import dagster as dg

from etl_platform.defs.graph import Graph

INGEST, OVERVIEW, CHECK_STORED = "ingest", "overview", "check_stored"
LOAD_MANY, OVERVIEW_MANY = "load_many", "overview_many"
JOBS = frozenset({INGEST, OVERVIEW, CHECK_STORED, LOAD_MANY, OVERVIEW_MANY})


def build_jobs(graph: Graph) -> list[dg.UnresolvedAssetJobDefinition]:
    """All jobs. One run is one partition, in one process."""
    across = dg.AssetSelection.assets(*(key for key in _shared_keys(graph)))
    return [
        dg.define_asset_job(
            INGEST,
            selection=dg.AssetSelection.all() - across,
            description="Landing to gold and warehouse for one date and institution: bronze, silver with checks, gold.",
        ),
        dg.define_asset_job(
            OVERVIEW, selection=across, description="Tables across institutions, for one date, in lake and warehouse."
        ),
        # Dagster 1.13 gives a job of checks no partitions of its own, and its page cannot choose one for a check.
        dg.define_asset_job(
            CHECK_STORED,
            selection=dg.AssetSelection.all_asset_checks(),
            description="Every check of one partition on what is stored, without loading anything. In the launchpad, "
            "choose the checks, and name the partition as tag dagster/partition, e.g. 2025-01-15|institution_a.",
        ),
    ]


def _shared_keys(graph: Graph) -> list[dg.AssetKey]:
    shared = {table.name for table in graph.catalog.warehouse_tables() if table.shared}
    return [dg.AssetKey([layer, name]) for name in sorted(shared) for layer in ("gold", "warehouse")]
