"""From pending partitions to run requests: pure decisions behind the sensor."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.due import Due
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST
from etl_platform.ledger.records import PendingPartition, Unpublished
from etl_platform.partitions import format_key

NO_RETRIES = {"dagster/max_retries": "0"}
"""Where an older `dagster.yaml` still has them on: what a run leaves is picked up from the ledger, by one owner."""


def by_partition(due: Due, graph: Graph) -> dict[PartitionKey, Due]:
    """What is due by date and institution, of those that are configured.

    The others stay pending on record until their institution, dataset or date is back: Dagster refuses a tick with a
    request for a partition that it does not know, and with it everybody else's requests.
    """
    groups: dict[PartitionKey, Due] = defaultdict(lambda: Due([], []))
    wanted: list[PendingPartition | Unpublished] = [*due.load, *due.publish]
    for item in wanted:
        if graph.has(item.partition):
            group = groups[item.partition.partition]
            if isinstance(item, PendingPartition):
                group.load.append(item)
            else:
                group.publish.append(item)
    return dict(groups)


def run_key(partition: PartitionKey, items: Sequence[PendingPartition | Unpublished]) -> str:
    """Names the content that a run would load or publish: it is launched once, whatever happens to the cursor."""
    content = "|".join(
        f"{item.partition.dataset}={item.fingerprint}" for item in sorted(items, key=lambda i: i.partition)
    )
    return f"{format_key(partition)}|{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def run_requests(partition: PartitionKey, due: Due, graph: Graph) -> dict[str, tuple[dg.RunRequest, Due]]:
    """The runs of one date and institution by run key: one for the datasets that are pending there, one for those
    that are checked and not published."""
    requests: dict[str, tuple[dg.RunRequest, Due]] = {}
    parts = ((Due(due.load, []), due.load, dataset_assets), (Due([], due.publish), due.publish, publishing_assets))
    for part, items, assets in parts:
        if items:
            request = dg.RunRequest(
                run_key=run_key(partition, items),
                job_name=INGEST,
                partition_key=format_key(partition),
                asset_selection=assets({item.partition.dataset for item in items}, graph),
                tags=NO_RETRIES,
            )
            requests[str(request.run_key)] = (request, part)
    return requests


def publishing_assets(datasets: Iterable[str], graph: Graph) -> list[dg.AssetKey]:
    """The assets that take what is checked in silver to gold and warehouse."""
    tables = [name for dataset in sorted(set(datasets)) for name in graph.gold.publication_of(dataset)]
    return [dg.AssetKey(name.split("/")) for name in tables]


def dataset_assets(datasets: Iterable[str], graph: Graph) -> list[dg.AssetKey]:
    """All assets of one partition's run for `datasets`, from bronze to warehouse."""
    wanted = sorted(set(datasets))
    layers = ("bronze", "silver", "quarantine", "reconciliation")
    return [dg.AssetKey([layer, dataset]) for dataset in wanted for layer in layers] + publishing_assets(wanted, graph)
