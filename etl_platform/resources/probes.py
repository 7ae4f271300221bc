"""How each service is asked whether it is there, by the name that errors and waiting partitions give it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from etl_platform.landing.zone import LandingZone
from etl_platform.object_store.folder import not_there
from etl_platform.object_store.open import ObjectStore
from etl_platform.resources.warehouse import WarehouseStore
from etl_platform.stores.lake.store import LakeStore

Probes = dict[str, Callable[[], object]]
"""Service -> a quick question that raises what is wrong. The ledger is asked by whoever asks what waits."""


def build_probes(landing: LandingZone, lake: LakeStore, warehouse: WarehouseStore) -> Probes:
    """The probes of lake, warehouse and every landing root. Asks nothing yet."""
    roots = {root.store.service: partial(_probe_root, root.store) for root in landing.roots}
    return {"lake": lake.probe, "warehouse": warehouse.probe, **roots}


def _probe_root(store: ObjectStore) -> None:
    """Objects below it wait: a folder that is not there does not answer."""
    store.probe()
    if error := not_there(store):
        raise error
