"""Builds every resource from the settings: the one place that chooses implementations. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from etl_platform.contracts.catalog import Catalog
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.model import Institution
from etl_platform.io_managers.base import TableIOManager
from etl_platform.io_managers.lake import LakeStore
from etl_platform.ledger.ledger import Ledger
from etl_platform.resources.bronze import BronzeStore
from etl_platform.resources.landing import build_landing_zone
from etl_platform.resources.object_store import S3Options, open_object_store
from etl_platform.resources.probes import build_probes
from etl_platform.resources.warehouse import build_warehouse
from etl_platform.settings import Settings


def build_resources(settings: Settings, institutions: Mapping[str, Institution], catalog: Catalog) -> dict[str, Any]:
    """Resources by key: `lake` and `warehouse` (IO managers), `landing`, `bronze`, `ledger`, `probes`."""
    s3 = s3_options(settings)
    lake_objects = open_object_store(settings.lake_root, s3, settings.retries, service="lake")

    def table_of(key: Any) -> Any:
        return catalog.table(*key.path)

    warehouse = build_warehouse(settings, institutions)
    landing = build_landing_zone(settings, institutions, s3)
    return {
        "lake": TableIOManager(LakeStore(lake_objects, settings.scratch), table_of),
        "warehouse": TableIOManager(warehouse, table_of, layer="warehouse"),
        "landing": landing,
        "probes": build_probes(landing, lake_objects, warehouse),
        "bronze": BronzeStore(lake_objects, settings.scratch, settings.download_concurrency),
        "ledger": Ledger(settings.ledger.get_secret_value(), retries=settings.retries),
    }


def s3_options(settings: Settings) -> S3Options:
    """How to reach S3; without keys the machine's own credentials chain serves."""
    try:
        return S3Options(
            endpoint_url=settings.s3_endpoint_url,
            region=settings.s3_region,
            access_key_id=settings.s3_access_key_id,
            secret_access_key=settings.s3_secret_access_key,
            session_token=settings.s3_session_token,
            allow_http=settings.s3_allow_http,
        )
    except ValidationError as error:
        # Its own text shows the values.
        found = error.errors(include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigurationError("environment variables ETL_S3_*", found=found) from None
