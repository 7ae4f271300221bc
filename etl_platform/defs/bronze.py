"""`bronze/<dataset>`: every landing object of a partition, kept as received."""

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import manifest_table
from etl_platform.defs.attempt import dataset_partition, failures_reported, now, started
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.defs.step import Step
from etl_platform.io_managers.base import TableIOManager
from etl_platform.io_managers.reading import read_frame
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import DatasetPartition, ObjectResult, State
from etl_platform.resources.bronze import BronzeStore
from etl_platform.resources.landing import LandingZone

GONE = "deleted from the landing zone before it could be copied"


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
        return receive(Step.of(context), contract.dataset, landing, bronze, ledger, lake)

    return as_asset(
        bronze,
        **table_attributes(table, {"parquet", "s3"} if graph.settings.lake_root.startswith("s3://") else {"parquet"}),
        io_manager_key="lake",
        partitions_def=graph.partitions.both,
        hooks={failures_reported(contract.dataset, is_first=True)},
    )


def receive(
    step: Step, dataset: str, landing: LandingZone, bronze: BronzeStore, ledger: Ledger, lake: TableIOManager
) -> dg.Output[pl.DataFrame]:
    """Copy what arrived for the partition; the manifest with its facts."""
    partition = step.partition
    attempt = dataset_partition(dataset, partition)
    objects = landing.objects(dataset, partition)
    ledger.record_seen([found.landing_object() for found in objects], now=now())
    with started(ledger, step.run_id, attempt):
        previous = read_frame(lake.store, manifest_table(dataset), [partition])
        store = landing.store_of(partition.institution or "")
        copied = bronze.copy(store, objects, previous, dataset, partition)
        gone = _refuse_gone(ledger, step.run_id, attempt, copied.manifest)
    if copied.manifest.is_empty():
        step.log.warning(f"{attempt}: no object in {store.url}; downstream tables will be empty")
    if gone:
        step.log.warning(f"{attempt}: {GONE}: {', '.join(gone)}")
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


def _refuse_gone(ledger: Ledger, run_id: str, partition: DatasetPartition, manifest: pl.DataFrame) -> list[str]:
    """Objects that were seen, and deleted before any run could copy them: on record as refused, or they would wait
    for ever. Returns their keys."""
    copied = set(manifest["uri"])
    waiting = ledger.objects(partition=partition, states=[State.SEEN])
    gone = [o for o in waiting if o.claimed_by == run_id and o.uri not in copied]
    ledger.mark_refused(run_id, [ObjectResult(o.uri, o.identity, reason=GONE) for o in gone], now=now())
    return [o.key for o in gone]
