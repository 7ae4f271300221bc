"""The resources of `dagster-aws` as an asset gets them: no text of theirs shows a key.

Not here: their configuration (`library_aws.py`). Importing this costs half a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from dagster_aws.secretsmanager import SecretsManagerResource


class _Hidden(dg.ConfigurableResource[Any]):
    """In a run the fields hold the values themselves, and who logs a resource would log its keys."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            is_key = str(name).startswith("aws_") and value is not None
            yield name, "**********" if is_key else value


class HiddenS3(_Hidden, S3Resource):
    """S3, keys not shown."""


class HiddenSecretsManager(_Hidden, SecretsManagerResource):
    """Secrets Manager, keys not shown."""
