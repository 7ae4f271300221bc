"""How each service is asked whether it is there, by the name that errors and waiting partitions give it."""

from __future__ import annotations

from collections.abc import Callable

from etl_platform.resources.landing import LandingZone
from etl_platform.resources.object_store import ObjectStore
from etl_platform.resources.warehouse import WarehouseStore

Probes = dict[str, Callable[[], object]]
"""Service -> a quick question that raises what is wrong. The ledger is asked by whoever asks what waits."""


def build_probes(landing: LandingZone, lake: ObjectStore, warehouse: WarehouseStore) -> Probes:
    """The probes of lake, warehouse and every landing root. Asks nothing yet."""
    roots = {root.store.service: root.store.probe for root in landing.roots}
    return {"lake": lake.probe, "warehouse": warehouse.probe, **roots}
