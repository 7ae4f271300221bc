"""Dates whose tables across institutions are older than what they rest on: their run was killed, failed or never came.

With the daemon, Dagster's own automation sees to them; this is for `etl-platform run`, which does without.
"""

from __future__ import annotations

import datetime as dt

import dagster as dg

from etl_platform.defs.gold import AGGREGATES
from etl_platform.defs.graph import Graph
from etl_platform.partitions import parse_key


def overdue_overviews(instance: dg.DagsterInstance, graph: Graph, last: dt.date) -> list[dt.date]:
    """The dates, oldest first, by the order of the materializations on record."""
    due: set[dt.date] = set()
    for aggregate in (a for a in AGGREGATES if a.table.shared):
        made = [_latest(instance, layer, aggregate.table.name) for layer in ("gold", "warehouse")]
        for partition, position in _latest(instance, *aggregate.source).items():
            date = parse_key(partition).business_date
            if any(position > found.get(date.isoformat(), -1) for found in made):
                due.add(date)
    return sorted(date for date in due if graph.settings.first_date <= date <= last)


def _latest(instance: dg.DagsterInstance, layer: str, name: str) -> dict[str, int]:
    return dict(
        instance.get_latest_storage_id_by_partition(
            dg.AssetKey([layer, name]), dg.DagsterEventType.ASSET_MATERIALIZATION
        )
    )
