"""Resources of the Dagster libraries, for what assets and people use beside the platform's own stores.

Belongs here: which of them there are for these settings. Not here: the platform's own resources (`resources.py`); the
classes (`library_aws.py`, `library_duckdb.py`), which are imported when they are chosen. Asks nothing of any service.

`docs/decisions/own-stores.md` says when to use which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from etl_platform.institutions.model import Institution
from etl_platform.settings import Settings

Resource = dg.ConfigurableResource[Any]


def build_library_resources(settings: Settings, institutions: Mapping[str, Institution]) -> dict[str, Resource]:
    """`duckdb`, `s3` and `secretsmanager`, each only where the settings have something for it to reach."""
    found: dict[str, Resource] = {}
    if settings.warehouse == "duckdb":
        from etl_platform.defs.library_duckdb import build_duckdb

        found["duckdb"] = build_duckdb(settings)
    if _uses_s3(settings, institutions):
        from etl_platform.defs.library_aws import build_s3

        found["s3"] = build_s3(settings)
    if _has_secrets_manager(settings):
        from etl_platform.defs.library_aws import build_secretsmanager

        found["secretsmanager"] = build_secretsmanager(settings)
    return found


def _uses_s3(settings: Settings, institutions: Mapping[str, Institution]) -> bool:
    # A bucket that is reached with an institution's own keys is nothing for the platform's.
    own = [one.landing for one in institutions.values() if one.landing and not one.credentials]
    in_s3 = any(root.startswith("s3://") for root in (settings.lake_root, settings.landing_root, *own))
    return in_s3 or bool(settings.s3_region or settings.s3_endpoint_url)


def _has_secrets_manager(settings: Settings) -> bool:
    """Keys of another S3 than AWS's mean nothing to AWS, and are not shown to it."""
    is_aws = settings.s3_endpoint_url is None
    return settings.s3_region is not None and (is_aws or settings.secretsmanager_endpoint_url is not None)
