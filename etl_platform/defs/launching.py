"""From pending partitions to run requests: pure decisions behind the sensor."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Set
from typing import Any, TypeAlias

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.batches import batches
from etl_platform.defs.due import Due
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST, LOAD_MANY
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import PendingPartition, Unpublished
from etl_platform.partitions import format_key

INSTITUTION_TAG = "etl-platform/institution"
"""By which the queue is fair to the others: `dagster.yaml` limits the runs of one institution."""
NO_RETRIES = {"dagster/max_retries": "0"}
"""Where an older `dagster.yaml` still has them on: what a run leaves is picked up from the ledger, by one owner."""


Requests: TypeAlias = dict[str, tuple[dg.RunRequest, Due]]
"""Run key -> the run, and what it is for."""


def run_requests(due: Due, graph: Graph, ledger: Ledger, leased: Set[Delivery] = frozenset()) -> Requests:
    """The runs of what is due: one over many small dates of an institution and dataset, and one for each date and
    institution of the others: for the datasets that are pending there, and for those that are checked and not
    published.

    What is not configured stays pending on record until its institution, dataset or date is back: Dagster refuses a
    tick with a request for a partition that it does not know, and with it everybody else's requests.

    leased: what somebody is about to start a run of. It holds back no run over many.
    """
    pending = {item.partition: item for item in due.load if graph.has(item.partition)}
    requests: Requests = {}
    for batch in batches([found for found in pending if found not in leased], ledger):
        items = [pending.pop(delivery) for delivery in batch.deliveries]
        tags = of_institution(batch.institution)
        name, whole = str(batch), Due(items, [])
        requests |= _request(name, whole, job_name=LOAD_MANY, run_config=batch.run_config, tags=tags)
    for part, assets in ((Due([*pending.values()], []), dataset_assets), (Due([], due.publish), publishing_assets)):
        for partition, of_partition in _by_partition(part, graph).items():
            requests |= _request(
                format_key(partition),
                of_partition,
                job_name=INGEST,
                partition_key=format_key(partition),
                asset_selection=assets({found.dataset for found in of_partition.partitions}, graph),
                tags=of_institution(partition.institution),
            )
    return requests


def of_institution(code: str | None) -> dict[str, str]:
    """The tags of a run for one institution."""
    return {INSTITUTION_TAG: str(code), **NO_RETRIES}


def _request(name: str, due: Due, **attributes: Any) -> Requests:
    """One run. Its key names the content that it would load or publish: it is launched once, whatever happens to the
    cursor."""
    items: list[PendingPartition | Unpublished] = [*due.load, *due.publish]
    content = "|".join(
        f"{item.partition.dataset}={item.fingerprint}" for item in sorted(items, key=lambda i: i.partition)
    )
    key = f"{name}|{hashlib.sha256(content.encode()).hexdigest()[:32]}"
    return {key: (dg.RunRequest(run_key=key, **attributes), due)}


def _by_partition(due: Due, graph: Graph) -> dict[PartitionKey, Due]:
    """What is due by date and institution, of those that are configured."""
    groups: dict[PartitionKey, Due] = defaultdict(lambda: Due([], []))
    for item in due.load:
        if graph.has(item.partition):
            groups[item.partition.partition].load.append(item)
    for checked in due.publish:
        if graph.has(checked.partition):
            groups[checked.partition.partition].publish.append(checked)
    return dict(groups)


def publishing_assets(datasets: Iterable[str], graph: Graph) -> list[dg.AssetKey]:
    """The assets that take what is checked in silver to gold and warehouse."""
    tables = [name for dataset in sorted(set(datasets)) for name in graph.gold.publication_of(dataset)]
    return [dg.AssetKey(name.split("/")) for name in tables]


def dataset_assets(datasets: Iterable[str], graph: Graph) -> list[dg.AssetKey]:
    """All assets of one partition's run for `datasets`, from bronze to warehouse."""
    wanted = sorted(set(datasets))
    layers = ("bronze", "silver", "quarantine", "reconciliation")
    return [dg.AssetKey([layer, dataset]) for dataset in wanted for layer in layers] + publishing_assets(wanted, graph)
