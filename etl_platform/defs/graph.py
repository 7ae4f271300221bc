"""What every part of the asset graph shares at definition time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dagster as dg

from etl_platform.contracts.table import Table
from etl_platform.defs.table_metadata import table_schema
from etl_platform.delivery import Delivery
from etl_platform.partitions import Partitions
from etl_platform.pipeline.configuration import Configuration

OWNERS = ["team:data-platform"]


@dataclass(frozen=True, kw_only=True)
class Graph(Configuration):
    """The configuration with the partitions that Dagster knows."""

    partitions: Partitions

    def has(self, delivery: Delivery) -> bool:
        """Whether it is configured: Dagster refuses a run of a partition that it does not know."""
        first = self.settings.first_date
        last = self.partitions.date.get_last_partition_key() or first.isoformat()
        return (
            delivery.institution in self.institutions
            and delivery.dataset in self.contracts
            and first <= delivery.business_date <= dt.date.fromisoformat(last)
        )


def as_asset(function: Callable[..., Any], **attributes: Any) -> dg.AssetsDefinition:
    """`function` as an asset with `attributes` (of `dg.asset`)."""
    decorated = dg.asset(**attributes)(function)
    assert isinstance(decorated, dg.AssetsDefinition)
    return decorated


def table_attributes(table: Table, kinds: set[str], *, layer: str | None = None) -> dict[str, Any]:
    """The attributes that every asset of a table has: key parts, group, kinds, owners, description, schema."""
    shown = layer or table.layer
    return {
        "key": dg.AssetKey([shown, table.name]),
        "group_name": shown,
        "kinds": kinds,
        "owners": OWNERS,
        "description": table.description,
        "metadata": {
            "dagster/column_schema": table_schema(table),
            "dagster/table_name": f"{shown}.{table.name}",
        },
    }
