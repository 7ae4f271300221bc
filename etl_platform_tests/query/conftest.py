"""Fixtures of the query tests: the folder platforms, the S3 server, the Postgres server."""

from etl_platform_tests.support.platform import dagster_instance, plain, platform
from etl_platform_tests.support.s3 import s3_bucket, s3_server

__all__ = ["dagster_instance", "plain", "platform", "s3_bucket", "s3_server"]
