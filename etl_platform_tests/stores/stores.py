"""The registry of stores that the one suite runs over.

To add a store, write `make_<name>(request) -> TableStore` (a pytest factory: it gets fixtures with
`request.getfixturevalue("...")`) in a module of your own and add one line to `STORES`. Whatever it needs for
`INSTITUTIONS` (schemas, roles, grants) is made by the factory; tables are made by the store itself.
Two calls for one test must give two handles on the same storage: the second is the "other process" of a test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from etl_platform.object_store.open import open_object_store
from etl_platform.object_store.types import S3Options
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform.stores.lake.store import LakeStore
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform.stores.store import TableStore
from etl_platform_tests.support.quick import QUICK
from etl_platform_tests.support.s3 import S3Bucket

INSTITUTIONS = ("institution_a", "institution_b")
SCHEMAS = {code: code for code in INSTITUTIONS}

StoreFactory = Callable[[pytest.FixtureRequest], TableStore]


def make_folder_lake(request: pytest.FixtureRequest) -> TableStore:
    folder: Path = request.getfixturevalue("tmp_path")
    return LakeStore(open_object_store((folder / "lake").as_uri()))


def make_s3_lake(request: pytest.FixtureRequest) -> TableStore:
    bucket: S3Bucket = request.getfixturevalue("s3_bucket")
    server = bucket.server
    options = S3Options(
        endpoint_url=server.endpoint_url,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        allow_http=True,
    )
    return LakeStore(open_object_store(f"{bucket.url}/lake", options))


def make_duckdb(request: pytest.FixtureRequest) -> TableStore:
    folder: Path = request.getfixturevalue("tmp_path")
    return DuckDBStore(folder / "warehouse.duckdb", SCHEMAS)


def make_postgres(request: pytest.FixtureRequest) -> TableStore:
    store = PostgresStore(SecretStr(request.getfixturevalue("postgres_database").url), SCHEMAS, retries=QUICK)
    store.initialise()
    return store


def make_snowflake(request: pytest.FixtureRequest) -> TableStore:
    return SnowflakeStore(request.getfixturevalue("snowflake_emulator"), SCHEMAS, retries=QUICK)


def make_snowflake_account(request: pytest.FixtureRequest) -> TableStore:
    return SnowflakeStore(request.getfixturevalue("snowflake_real_account"), SCHEMAS)


STORES: dict[str, StoreFactory] = {
    "folder_lake": make_folder_lake,
    "s3_lake": make_s3_lake,
    "duckdb": make_duckdb,
    "postgres": make_postgres,
    "snowflake": make_snowflake,
    "snowflake_account": make_snowflake_account,
}

MARKS: dict[str, pytest.MarkDecorator] = {"snowflake_account": pytest.mark.snowflake_account}
"""Stores that not every machine has; the marker says which."""
