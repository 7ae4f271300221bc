"""`silver/<dataset>`, `quarantine/<dataset>` and `reconciliation/<dataset>`: one pass over the bronze copies."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.defs.graph import Graph, table_attributes
from etl_platform.defs.hooks import failures_reported
from etl_platform.defs.step import RESOURCES, delivery_of, platform_of, run_of
from etl_platform.defs.telling import facts_metadata, failures_translated
from etl_platform.ledger.records import ObjectResult
from etl_platform.pipeline.attempt import begin_attempts, reported
from etl_platform.pipeline.silver import decide, record_rules, transform


def build_silver_assets(contract: Contract, graph: Graph) -> dg.AssetsDefinition:
    """The multi-asset of one dataset: silver, quarantine and reconciliation of a partition."""
    dataset = contract.dataset
    tables = (quarantine_table(dataset), reconciliation_table(dataset), contract.silver)

    @dg.multi_asset(
        name=f"silver_{dataset}",
        ins={"manifest": dg.AssetIn(key=dg.AssetKey(["bronze", dataset]), input_manager_key="lake")},
        outs={
            table.layer: dg.AssetOut(
                **table_attributes(table, {"parquet", "polars"}), io_manager_key="lake", is_required=False
            )
            for table in tables
        },
        required_resource_keys=set(RESOURCES),
        partitions_def=graph.partitions.both,
        hooks={failures_reported(dataset)},
    )
    def silver(context: dg.AssetExecutionContext, manifest: pl.DataFrame) -> Iterator[dg.Output[Any]]:
        run, platform, delivery = run_of(context, graph), platform_of(context, graph), delivery_of(context, dataset)
        decided: list[ObjectResult] = []
        with failures_translated():
            begin_attempts(run, [delivery], platform.ledger)
            with reported(platform.ledger, run.run_id, [delivery]):
                record_rules(run, [delivery], graph, platform.ledger)
                for made in transform(run, delivery, manifest, platform, decided):
                    yield dg.Output(made.rows, made.table.layer, metadata=facts_metadata(made.facts))
                decide(platform.ledger, run.run_id, decided)

    return silver
