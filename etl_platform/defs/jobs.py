"""Jobs: `ingest` runs a partition from landing to warehouse, `overview` a date across institutions."""

from __future__ import annotations

import dagster as dg

from etl_platform.defs.graph import Graph

INGEST, OVERVIEW = "ingest", "overview"


def build_jobs(graph: Graph) -> list[dg.UnresolvedAssetJobDefinition]:
    """Both jobs. One run is one partition, in one process."""
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
    ]


def _shared_keys(graph: Graph) -> list[dg.AssetKey]:
    shared = {table.name for table in graph.catalog.warehouse_tables() if table.shared}
    return [dg.AssetKey([layer, name]) for name in sorted(shared) for layer in ("gold", "warehouse")]
