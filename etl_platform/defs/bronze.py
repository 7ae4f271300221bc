"""`bronze/<dataset>`: every landing object of a partition, kept as received."""

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import manifest_table
from etl_platform.defs.attempt import dataset_partition, failures_reported, now, started
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.io_managers.base import TableIOManager
from etl_platform.io_managers.reading import read_frame
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key
from etl_platform.resources.bronze import BronzeStore
from etl_platform.resources.landing import LandingZone


def build_bronze_asset(contract: Contract, graph: Graph) -> dg.AssetsDefinition:
    """The bronze asset of one dataset."""
    table = manifest_table(contract.dataset)

    def bronze(
        context: dg.AssetExecutionContext,
        landing: dg.ResourceParam[LandingZone],
        bronze: dg.ResourceParam[BronzeStore],
        ledger: dg.ResourceParam[Ledger],
        lake: dg.ResourceParam[TableIOManager],
    ) -> dg.Output[pl.DataFrame]:
        partition = parse_key(context.partition_key)
        attempt = dataset_partition(contract.dataset, partition)
        objects = landing.objects(contract.dataset, partition)
        ledger.record_seen([found.landing_object() for found in objects], now=now())
        with started(ledger, context.run.run_id, attempt):
            previous = read_frame(lake.store, table, [partition])
            store = landing.store_of(partition.institution or "")
            copied = bronze.copy(store, objects, previous, contract.dataset, partition)
        if copied.manifest.is_empty():
            context.log.warning(f"{attempt}: no object in {store.url}; downstream tables will be empty")
        if copied.gone:
            context.log.warning(f"{attempt}: deleted before they could be copied: {', '.join(copied.gone)}")
        return dg.Output(
            copied.manifest,
            metadata={
                "objects": copied.manifest.height,
                "objects_current": int(copied.manifest["is_current"].sum()),
                "objects_new": copied.new,
                "bytes_copied": copied.bytes_copied,
                "summary": f"{copied.manifest.height} objects" if copied.manifest.height else "no object arrived",
            },
        )

    return as_asset(
        bronze,
        **table_attributes(table, {"parquet", "s3"}),
        io_manager_key="lake",
        partitions_def=graph.partitions.both,
        hooks={failures_reported(contract.dataset, is_first=True)},
    )
