"""`bronze/<dataset>`: every landing object of a partition, kept as received."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import manifest_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import failures_reported, now, reported, start
from etl_platform.defs.census import Census
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.step import Step
from etl_platform.delivery import Delivery
from etl_platform.landing.contents import checked
from etl_platform.landing.copies import BronzeStore, Copied
from etl_platform.landing.placed import content, identity
from etl_platform.landing.zone import LandingZone, Routed
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LedgerObject, State
from etl_platform.object_store.folder import not_there
from etl_platform.object_store.open import ObjectStore
from etl_platform.resources.processes import Processes
from etl_platform.stores.reading import read_frame

GONE = "deleted from the landing zone before it could be copied, no part of the partition any more"


def build_bronze_asset(contract: Contract, graph: Graph) -> dg.AssetsDefinition:
    """The bronze asset of one dataset."""
    table = manifest_table(contract.dataset)
    processes = Processes(graph.settings.processes)

    def bronze(
        context: dg.AssetExecutionContext,
        landing: dg.ResourceParam[LandingZone],
        bronze: dg.ResourceParam[BronzeStore],
        ledger: dg.ResourceParam[Ledger],
        lake: dg.ResourceParam[TableIOManager],
    ) -> dg.Output[pl.DataFrame]:
        step = Step.of(context)
        arrivals = list_arrivals([step], contract.dataset, landing, ledger)
        arrived = begin([step], contract.dataset, arrivals, ledger, processes)[step.partition]
        with reported(ledger, step.run_id, Delivery.of(contract.dataset, step.partition)):
            return receive(step, contract.dataset, arrived, landing, bronze, ledger, lake)

    return as_asset(
        bronze,
        **table_attributes(table, {"parquet", "s3"} if graph.settings.lake_root.startswith("s3://") else {"parquet"}),
        io_manager_key="lake",
        partitions_def=graph.partitions.both,
        hooks={failures_reported(contract.dataset, is_first=True)},
    )


@dataclass
class Arrived:
    """What an attempt is for. objects: in the landing zone now. on_record: all that the ledger has of the partition."""

    objects: list[Routed]
    on_record: list[LedgerObject] = field(default_factory=list)

    def undecided(self, run_id: str) -> list[LedgerObject]:
        """What the ledger has as waiting for the run."""
        return [found for found in self.on_record if found.claimed_by == run_id and found.state is State.SEEN]


def list_arrivals(
    steps: Sequence[Step], dataset: str, landing: LandingZone, ledger: Ledger
) -> dict[PartitionKey, Arrived]:
    """What is in the landing zone for the steps' partitions; it is on record from now on."""
    arrived = {step.partition: Arrived(landing.objects(dataset, step.partition)) for step in steps}
    store = landing.store_of(steps[0].partition.institution or "")
    listed = [o.landing_object() for found in arrived.values() for o in found.objects]
    # Before the transaction: whoever reads an object to compare it may take a while.
    told = checked(store, ledger, listed)
    # What cannot be read is not on record as another content: the copy fails, and says why.
    news = [found for found, finding in told if finding in (Finding.NEWS, Finding.MOVED)]
    ledger.record_seen(news, now=now())
    return arrived


def begin(
    steps: Sequence[Step],
    dataset: str,
    arrived: Mapping[PartitionKey, Arrived],
    ledger: Ledger,
    processes: Processes,
) -> Mapping[PartitionKey, Arrived]:
    """Begin a run's attempts at partitions of one institution: what arrived is claimed."""
    begin_attempts(steps, dataset, ledger, processes)
    return with_records(steps, dataset, arrived, ledger)


def with_records(
    steps: Sequence[Step], dataset: str, arrived: Mapping[PartitionKey, Arrived], ledger: Ledger
) -> Mapping[PartitionKey, Arrived]:
    """What arrived, with all that the ledger has of partitions whose attempts have begun."""
    partitions = [Delivery.of(dataset, step.partition) for step in steps]
    for found in ledger.objects_of(partitions):
        assert found.business_date is not None
        arrived[PartitionKey(found.business_date, found.institution)].on_record.append(found)
    return arrived


def begin_attempts(steps: Sequence[Step], dataset: str, ledger: Ledger, processes: Processes) -> None:
    """Begin the run's attempts at the steps' partitions, or go on with them."""
    first = steps[0]
    partitions = [Delivery.of(dataset, step.partition) for step in steps]
    start(
        ledger,
        first.run_id,
        partitions,
        lambda: Census(first.instance, ledger, processes).run_is_gone,
        first.log.info,
    )


def receive(
    step: Step,
    dataset: str,
    arrived: Arrived,
    landing: LandingZone,
    bronze: BronzeStore,
    ledger: Ledger,
    lake: TableIOManager,
) -> dg.Output[pl.DataFrame]:
    """Copy what arrived for the partition, whose attempt has begun; the manifest with its facts."""
    partition = step.partition
    attempt = Delivery.of(dataset, partition)
    previous = read_frame(lake.store, manifest_table(dataset), [partition])
    store = landing.store_of(partition.institution or "")
    excluded = ledger.excluded(attempt)
    copied = bronze.copy(store, arrived.objects, previous, dataset, partition, arrived.on_record, excluded)
    gone = _leave_gone(ledger, step.run_id, arrived, copied, store)
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


def _leave_gone(ledger: Ledger, run_id: str, arrived: Arrived, copied: Copied, store: ObjectStore) -> list[str]:
    """Objects that were seen, and deleted before any run could copy them, are withdrawn, or they would wait for ever.
    Returns their keys. Raises StorageUnavailableError where their folder is gone with them."""
    undecided = arrived.undecided(run_id)
    if not undecided:
        return []
    listed = {found.info.key for found in arrived.objects} - set(copied.gone)
    held = {
        name for row in copied.manifest.iter_rows(named=True) for name in (content(row), (row["key"], identity(row)))
    }
    gone = [
        found
        for found in undecided
        if found.key not in listed and not {(found.key, found.identity), (found.key, found.sha256)} & held
    ]
    if gone and (error := not_there(store)):
        raise error
    ledger.mark_gone([found.id for found in gone], run_id=run_id, now=now())
    return [found.key for found in gone]
