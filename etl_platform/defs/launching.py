"""From pending partitions to run requests: pure decisions behind the sensor."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST
from etl_platform.ledger.records import PendingPartition
from etl_platform.partitions import format_key


def grouped(pending: Sequence[PendingPartition], graph: Graph) -> dict[PartitionKey, list[PendingPartition]]:
    """What is pending by date and institution, of those that are configured.

    The others stay pending on record until their institution, dataset or date is back: Dagster refuses a tick with a
    request for a partition that it does not know, and with it everybody else's requests.
    """
    first, last = graph.settings.first_date, _last_date(graph)
    groups: dict[PartitionKey, list[PendingPartition]] = defaultdict(list)
    for item in pending:
        dataset, date, institution = item.partition.dataset, item.partition.business_date, item.partition.institution
        if institution in graph.institutions and dataset in graph.contracts and first <= date <= last:
            groups[PartitionKey(date, institution)].append(item)
    return dict(groups)


def _last_date(graph: Graph) -> dt.date:
    return dt.date.fromisoformat(
        graph.partitions.date.get_last_partition_key() or graph.settings.first_date.isoformat()
    )


def run_key(partition: PartitionKey, items: Sequence[PendingPartition]) -> str:
    """Names the content that a run would load: the same content is launched once, whatever happens to the cursor."""
    content = "|".join(
        f"{item.partition.dataset}={item.fingerprint}" for item in sorted(items, key=lambda i: i.partition)
    )
    return f"{format_key(partition)}|{hashlib.sha256(content.encode()).hexdigest()[:32]}"


def run_request(partition: PartitionKey, items: Sequence[PendingPartition], graph: Graph) -> dg.RunRequest:
    """The run of one date and institution, for the datasets that are pending there."""
    return dg.RunRequest(
        run_key=run_key(partition, items),
        job_name=INGEST,
        partition_key=format_key(partition),
        asset_selection=dataset_assets({item.partition.dataset for item in items}, graph),
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
