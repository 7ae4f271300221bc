"""S3 and AWS Secrets Manager as resources of `dagster-aws`, reached as the platform reaches S3.

Belongs here: their configuration from the settings. Not here: whether there are any (`library_resources.py`), the
platform's own client (`object_store/s3_client.py`). The library is imported when a run uses one: definitions that
imported it would take a fifth longer to load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from etl_platform.settings import Settings

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource
    from dagster_aws.secretsmanager import SecretsManagerResource

_KEYS = {
    "aws_access_key_id": "s3_access_key_id",
    "aws_secret_access_key": "s3_secret_access_key",
    "aws_session_token": "s3_session_token",
}
"""Field of a resource -> the setting that holds it."""


class _Aws(dg.ConfigurableResource[Any]):
    """What the UI shows, and what the library's resource is made of."""

    endpoint_url: str | None
    region_name: str | None
    max_attempts: int
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None


class PlatformS3(_Aws):
    """A dagster_aws.s3.S3Resource with the platform's endpoint, region and keys. Objects of the lake are for reading:
    the platform alone writes them."""

    def create_resource(self, context: dg.InitResourceContext) -> S3Resource:
        from etl_platform.defs.library_aws_hidden import HiddenS3

        return HiddenS3(**dict(self))


class PlatformSecretsManager(_Aws):
    """A dagster_aws.secretsmanager.SecretsManagerResource with the platform's region and keys."""

    def create_resource(self, context: dg.InitResourceContext) -> SecretsManagerResource:
        from etl_platform.defs.library_aws_hidden import HiddenSecretsManager

        return HiddenSecretsManager(**dict(self))


def build_s3(settings: Settings) -> PlatformS3:
    """S3 as `ETL_S3_*` says; without keys the machine's own credentials chain serves."""
    return PlatformS3(
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        max_attempts=settings.retry_attempts,
        **_keys(settings),
    )


def build_secretsmanager(settings: Settings) -> PlatformSecretsManager:
    """Secrets Manager in the region of S3, with the same keys."""
    return PlatformSecretsManager(
        endpoint_url=settings.secretsmanager_endpoint_url,
        region_name=settings.s3_region,
        max_attempts=settings.retry_attempts,
        **_keys(settings),
    )


def _keys(settings: Settings) -> dict[str, Any]:
    """By the name of their variable: the UI shows that, and the value is read when a run uses the resource."""
    given = {field: name for field, name in _KEYS.items() if getattr(settings, name) is not None}
    return {field: dg.EnvVar(f"ETL_{name.upper()}") for field, name in given.items()}
