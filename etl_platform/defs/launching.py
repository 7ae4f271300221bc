"""From pending partitions to run requests: pure decisions behind the sensor."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST
from etl_platform.ledger.records import PendingPartition
from etl_platform.partitions import format_key


def run_requests(pending: Sequence[PendingPartition], graph: Graph) -> list[dg.RunRequest]:
    """One request per date and institution, for the datasets that are pending there.

    The run key holds the content's fingerprint: the same content is launched once, whatever happens to the cursor.
    """
    groups: dict[PartitionKey, list[PendingPartition]] = defaultdict(list)
    for item in pending:
        if item.partition.institution not in graph.institutions or item.partition.dataset not in graph.contracts:
            continue  # configured no more: it stays pending on record until its institution or dataset is back
        groups[PartitionKey(item.partition.business_date, item.partition.institution)].append(item)
    return [_request(partition, items, graph) for partition, items in groups.items()]


def _request(partition: PartitionKey, items: Sequence[PendingPartition], graph: Graph) -> dg.RunRequest:
    key = format_key(partition)
    datasets = sorted({item.partition.dataset for item in items})
    content = "|".join(
        f"{item.partition.dataset}={item.fingerprint}" for item in sorted(items, key=lambda i: i.partition)
    )
    return dg.RunRequest(
        run_key=f"{key}|{hashlib.sha256(content.encode()).hexdigest()[:32]}",
        job_name=INGEST,
        partition_key=key,
        asset_selection=dataset_assets(datasets, graph),
    )


def dataset_assets(datasets: Iterable[str], graph: Graph) -> list[dg.AssetKey]:
    """All assets of one partition's run for `datasets`, from bronze to warehouse."""
    from etl_platform.defs.gold import AGGREGATES

    wanted = set(datasets)
    keys = [
        dg.AssetKey([layer, dataset])
        for dataset in sorted(wanted)
        for layer in ("bronze", "silver", "quarantine", "reconciliation", "warehouse")
    ]
    tables = [a.table.name for a in AGGREGATES if a.source[0] == "silver" and a.source[1] in wanted]
    return keys + [dg.AssetKey([layer, name]) for name in tables for layer in ("gold", "warehouse")]
