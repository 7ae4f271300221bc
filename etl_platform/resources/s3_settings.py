"""How S3 is reached, from the settings. Apart from `defs/resources.py`: what only reads the lake imports no Dagster."""

from __future__ import annotations

from pydantic import ValidationError

from etl_platform.errors import ConfigurationError
from etl_platform.object_store.open import S3Options
from etl_platform.settings import Settings


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
