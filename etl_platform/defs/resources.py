"""Builds every resource from the settings: the one place that chooses implementations. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl_platform.catalog.tables import Catalog
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.institutions.model import Institution
from etl_platform.landing.copies import BronzeStore
from etl_platform.landing.zone import build_landing_zone
from etl_platform.ledger.ledger import Ledger
from etl_platform.object_store.open import open_object_store
from etl_platform.resources.probes import build_probes
from etl_platform.resources.s3_settings import s3_options
from etl_platform.resources.warehouse import build_warehouse
from etl_platform.settings import Settings
from etl_platform.stores.lake.store import LakeStore


def build_resources(settings: Settings, institutions: Mapping[str, Institution], catalog: Catalog) -> dict[str, Any]:
    """Resources by key: `lake` and `warehouse` (IO managers), `landing`, `bronze`, `ledger`, `probes`."""
    s3 = s3_options(settings)
    ledger = Ledger(settings.ledger.get_secret_value(), retries=settings.retries)
    lake_objects = open_object_store(settings.lake_root, s3, settings.retries, service="lake")

    def table_of(key: Any) -> Any:
        return catalog.table(*key.path)

    lake = LakeStore(lake_objects, settings.scratch, ledger.has_published)
    warehouse = build_warehouse(settings, institutions)
    landing = build_landing_zone(settings, institutions, s3)
    return {
        "lake": TableIOManager(lake, table_of),
        "warehouse": TableIOManager(warehouse, table_of, layer="warehouse"),
        "landing": landing,
        "probes": build_probes(landing, lake, warehouse),
        "bronze": BronzeStore(lake_objects, settings.scratch, settings.download_concurrency),
        "ledger": ledger,
    }
