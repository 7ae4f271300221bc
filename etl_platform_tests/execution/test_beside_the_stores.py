"""An asset of somebody's own uses the resources of the Dagster libraries, and the platform goes on unharmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import duckdb as driver
import pytest
from dagster_aws.s3 import S3Resource
from dagster_aws.secretsmanager import SecretsManagerResource
from dagster_duckdb import DuckDBResource

from etl_platform.defs.assemble import build_defs
from etl_platform.defs.library_duckdb import WarehouseDuckDB
from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.settings import load_settings
from etl_platform.stores.duckdb.file import DuckDBFile
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, dagster_instance, plain
from etl_platform_tests.support.s3 import S3Bucket, S3Server

__all__ = ["dagster_instance", "plain"]


@pytest.fixture
def in_s3(s3_bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The resources of definitions whose environment names the test server, for S3 and for secrets."""
    server = s3_bucket.server
    for name, value in {
        "ETL_HOME": str(tmp_path),
        "ETL_LAKE": f"{s3_bucket.url}/lake",
        "ETL_S3_ENDPOINT_URL": server.endpoint_url,
        "ETL_S3_REGION": server.region,
        "ETL_S3_ACCESS_KEY_ID": server.access_key_id,
        "ETL_S3_SECRET_ACCESS_KEY": server.secret_access_key,
        "ETL_S3_ALLOW_HTTP": "true",
        "ETL_SECRETSMANAGER_ENDPOINT_URL": server.endpoint_url,
    }.items():
        monkeypatch.setenv(name, value)
    return dict(build_defs(load_settings()).resources or {})


def test_an_asset_reads_and_writes_objects_with_s3(in_s3: dict[str, Any], s3_bucket: S3Bucket) -> None:
    s3_bucket.put("reference/rates.csv", b"EUR,1.00\n")

    @dg.asset
    def rates(s3: S3Resource) -> None:
        client = s3.get_client()
        body = client.get_object(Bucket=s3_bucket.name, Key="reference/rates.csv")["Body"].read()
        client.put_object(Bucket=s3_bucket.name, Key="out/rates.csv", Body=body * 2)

    assert dg.materialize([rates], resources={"s3": in_s3["s3"]}).success
    assert s3_bucket.get("out/rates.csv") == b"EUR,1.00\nEUR,1.00\n"


def test_an_asset_reads_a_secret_and_the_log_does_not(
    in_s3: dict[str, Any], s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    boto3.client(
        "secretsmanager",
        endpoint_url=s3_server.endpoint_url,
        region_name=s3_server.region,
        aws_access_key_id=s3_server.access_key_id,
        aws_secret_access_key=s3_server.secret_access_key,
    ).create_secret(Name="vendor/password", SecretString="canary-of-the-vendor")

    lengths: list[int] = []

    @dg.asset
    def asks(secretsmanager: SecretsManagerResource) -> None:
        dg.get_dagster_logger().info(f"with {secretsmanager!r}")
        value = secretsmanager.get_client().get_secret_value(SecretId="vendor/password")["SecretString"]
        lengths.append(len(value))

    assert dg.materialize([asks], resources={"secretsmanager": in_s3["secretsmanager"]}).success
    assert lengths == [len("canary-of-the-vendor")]
    assert "HiddenSecretsManager" in caplog.text
    assert "canary-of-the-vendor" not in caplog.text and s3_server.secret_access_key not in caplog.text


def load(platform: Platform, *closes: str) -> None:
    """A delivery of `first`, from landing to warehouse, whose bars close so."""
    rows = [bar("AAA", minute, close) for minute, close in enumerate(closes)]
    platform.put(f"first/prices/{DATE}/a.csv", HEADER + "".join(rows))
    run = platform.ingest("first")
    assert run.succeeded, run.failures


def test_an_asset_queries_the_warehouse_and_the_next_load_is_not_held_up(plain: Platform) -> None:
    load(plain, "10")
    seen: list[Any] = []

    @dg.asset
    def closes(duckdb: DuckDBResource) -> None:
        with duckdb.get_connection() as connection:
            seen.append(connection.execute('SELECT "close"::VARCHAR FROM "first".prices ORDER BY 1').fetchall())

    resources = {"duckdb": plain.resources["duckdb"]}
    dg.materialize([closes], resources=resources)
    load(plain, "11", "12")
    dg.materialize([closes], resources=resources)

    assert [[float(value) for (value,) in rows] for rows in seen] == [[10.0], [11.0, 12.0]]


@pytest.mark.parametrize(
    "statement", ['DELETE FROM "first".prices', 'DROP SCHEMA "first" CASCADE', "CREATE TABLE mine (a INTEGER)"]
)
def test_an_asset_that_writes_into_the_warehouse_is_refused_and_holds_up_nobody(
    plain: Platform, statement: str
) -> None:
    load(plain, "10")

    @dg.asset
    def writes(duckdb: DuckDBResource) -> None:
        with duckdb.get_connection() as connection:
            connection.execute(statement)

    with pytest.raises(driver.InvalidInputException, match="read-only") as refused:
        dg.materialize([writes], resources={"duckdb": plain.resources["duckdb"]})

    assert plain.table("warehouse", "prices", "first").height == 1
    load(plain, "11", "12")  # while the exception still holds every frame of the asset
    assert refused.value and plain.table("warehouse", "prices", "first").height == 2


def test_a_query_waits_for_the_load_that_has_the_file(plain: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    load(plain, "10")
    resource: WarehouseDuckDB = plain.resources["duckdb"]
    monkeypatch.setattr("etl_platform.defs.library_duckdb.DUCKDB_WAIT_SECONDS", 0.2)
    with (
        DuckDBFile(plain.settings.duckdb_file, 1).connection(),
        pytest.raises(StorageUnavailableError, match=r"in use by process .*\bfree within 0.2 seconds"),
        resource.get_connection(),
    ):
        pass


def test_a_warehouse_that_nobody_has_written_is_said_at_once_and_not_made(plain: Platform) -> None:
    resource: WarehouseDuckDB = plain.resources["duckdb"]
    with pytest.raises(StorageError, match="no such file"), resource.get_connection():
        pass
    assert not plain.settings.duckdb_file.exists()
