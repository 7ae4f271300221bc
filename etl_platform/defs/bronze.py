"""`bronze/<dataset>`: every landing object of a partition, kept as received."""

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import manifest_table
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.defs.hooks import failures_reported
from etl_platform.defs.step import RESOURCES, delivery_of, platform_of, run_of
from etl_platform.defs.telling import facts_metadata, failures_translated
from etl_platform.pipeline.attempt import begin_attempts, reported
from etl_platform.pipeline.receive import add_records, list_arrivals, receive


def build_bronze_asset(contract: Contract, graph: Graph) -> dg.AssetsDefinition:
    """The bronze asset of one dataset."""
    dataset = contract.dataset

    def bronze(context: dg.AssetExecutionContext) -> dg.Output[pl.DataFrame]:
        run, platform, delivery = run_of(context, graph), platform_of(context, graph), delivery_of(context, dataset)
        with failures_translated():
            arrivals = list_arrivals([delivery], platform)
            begin_attempts(run, [delivery], platform.ledger)
            add_records([delivery], arrivals, platform.ledger)
            with reported(platform.ledger, run.run_id, [delivery]):
                made = receive(run, delivery, arrivals[delivery], platform)
        return dg.Output(made.rows, metadata=facts_metadata(made.facts))

    kinds = {"parquet", "s3"} if graph.settings.lake_root.startswith("s3://") else {"parquet"}
    return as_asset(
        bronze,
        **table_attributes(manifest_table(dataset), kinds),
        io_manager_key="lake",
        required_resource_keys=set(RESOURCES),
        partitions_def=graph.partitions.both,
        hooks={failures_reported(dataset, is_first=True)},
    )
