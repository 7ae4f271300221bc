"""Resources of the Dagster libraries: there where they apply, visible in the UI, and nobody sees a key of theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource
from dagster_aws.secretsmanager import SecretsManagerResource

from etl_platform.defs.assemble import build_defs
from etl_platform.errors import ConfigurationError
from etl_platform.settings import Settings, load_settings
from etl_platform_tests.support.platform import REPOSITORY, plain_senders

BIN = Path(sys.executable).parent
LIBRARIES = {"duckdb", "s3", "secretsmanager"}
CANARIES = {
    "ETL_S3_ACCESS_KEY_ID": "AKIACANARYKEYID",
    "ETL_S3_SECRET_ACCESS_KEY": "canary-secret-key",
    "ETL_S3_SESSION_TOKEN": "canary-session-token",
}
QUERY = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    allTopLevelResourceDetails { name description configuredValues { key value type } } } } } }
"""


def libraries(settings: Settings) -> set[str]:
    """Which of them the definitions have."""
    return set((build_defs(settings).resources or {}).keys() & LIBRARIES)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"duckdb"}),
        ({"warehouse": "postgres", "postgres_url": "postgresql://host/x"}, set()),
        ({"lake": "s3://bucket/lake"}, {"duckdb", "s3"}),
        ({"landing": "s3://bucket/in"}, {"duckdb", "s3"}),
        ({"s3_region": "eu-central-1"}, {"duckdb", "s3", "secretsmanager"}),
        # The keys are those of another S3.
        ({"s3_region": "eu-central-1", "s3_endpoint_url": "https://minio"}, {"duckdb", "s3"}),
        (
            {
                "s3_region": "eu-central-1",
                "s3_endpoint_url": "https://minio",
                "secretsmanager_endpoint_url": "https://secrets",
            },
            {"duckdb", "s3", "secretsmanager"},
        ),
    ],
)
def test_there_are_those_that_have_something_to_reach(
    given: dict[str, Any], expected: set[str], tmp_path: Path
) -> None:
    assert libraries(Settings.model_validate({"home": tmp_path, **given})) == expected


@pytest.mark.parametrize(("credentials", "expected"), [("", {"duckdb", "s3"}), ("credentials: ACME", {"duckdb"})])
def test_a_bucket_of_an_institution_counts_where_the_platforms_keys_reach_it(
    credentials: str, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("ACME_AWS_SECRET_ACCESS_KEY", "secret")
    folder = plain_senders(tmp_path / "institutions", "first", settings=f"landing: s3://theirs/in\n{credentials}\n")
    assert libraries(Settings(home=tmp_path / "home", institutions_path=folder)) == expected


@pytest.mark.parametrize("url", ["http://secrets", "https://key:canary@secrets", "secrets:443", "ftp://secrets"])
def test_an_endpoint_for_secrets_is_held_to_tls_and_holds_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_SECRETSMANAGER_ENDPOINT_URL", url)
    with pytest.raises(ConfigurationError, match=r"ETL_SECRETSMANAGER_ENDPOINT_URL.*https://host") as refused:
        load_settings()
    assert "canary" not in str(refused.value)


def test_no_text_of_a_resource_shows_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**CANARIES, "ETL_S3_REGION": "eu-central-1", "ETL_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    resources = build_defs(load_settings()).resources or {}
    seen: list[str] = []

    @dg.asset
    def looks(s3: S3Resource, secretsmanager: SecretsManagerResource) -> None:
        assert isinstance(s3, S3Resource) and isinstance(secretsmanager, SecretsManagerResource)
        assert s3.aws_secret_access_key == secretsmanager.aws_secret_access_key == CANARIES["ETL_S3_SECRET_ACCESS_KEY"]
        assert s3.aws_session_token == secretsmanager.aws_session_token == CANARIES["ETL_S3_SESSION_TOKEN"]
        seen.extend(text for resource in (s3, secretsmanager) for text in (repr(resource), str(resource)))

    used = {name: resources[name] for name in ("s3", "secretsmanager")}
    dg.materialize([looks], resources=used)

    texts = [*seen, *(repr(resource) for resource in used.values())]
    assert len(texts) == 6 and all("eu-central-1" in text for text in texts)
    assert [text for text in texts if any(canary in text for canary in CANARIES.values())] == []


def test_definitions_load_without_the_clients_of_aws(tmp_path: Path) -> None:
    program = (
        "import sys, etl_platform.definitions as d\n"
        "assert {'s3', 'secretsmanager'} <= d.defs.resources.keys()\n"
        "print([m for m in ('boto3', 'dagster_aws') if m in sys.modules])"
    )
    environment = {**os.environ, "ETL_HOME": str(tmp_path), "ETL_S3_REGION": "x", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.long
def test_the_ui_lists_them_with_the_names_of_variables_instead_of_keys(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **CANARIES,
        "ETL_HOME": str(tmp_path),
        "ETL_LAKE": "s3://bucket/lake",
        "ETL_S3_REGION": "eu-central-1",
        "PYTHONPATH": str(REPOSITORY),
    }
    command = [str(BIN / "dagster-graphql"), "-m", "etl_platform.definitions", "-t", QUERY]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    answer = next(line for line in done.stdout.splitlines() if line.startswith("{"))  # among lines of its log
    (repository,) = json.loads(answer)["data"]["repositoriesOrError"]["nodes"]
    shown = {one["name"]: one for one in repository["allTopLevelResourceDetails"]}
    assert shown.keys() >= LIBRARIES
    values = {name: {v["key"]: (v["type"], v["value"]) for v in shown[name]["configuredValues"]} for name in LIBRARIES}
    for name in ("s3", "secretsmanager"):
        assert values[name]["region_name"] == ("VALUE", '"eu-central-1"')
        secrets = {value for kind, value in values[name].values() if kind == "ENV_VAR"}
        assert secrets == CANARIES.keys()
    assert values["duckdb"]["database"] == ("VALUE", json.dumps(str(tmp_path / "warehouse.duckdb")))
    assert "read only" in shown["duckdb"]["description"]
    assert [c for c in CANARIES.values() if c in done.stdout + done.stderr] == []
