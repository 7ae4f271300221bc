"""Settings: everything has a default, every mistake names its variable, and no secret is ever shown."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from etl_platform.errors import ConfigurationError
from etl_platform.settings import Settings, load_settings

SECRET = "s3cr3t-value"
SECRETS = {
    "ETL_LEDGER_URL": f"postgresql://u:{SECRET}@h/d", "ETL_POSTGRES_URL": f"postgresql://u:{SECRET}@h/d",
    "ETL_SNOWFLAKE_PASSWORD": SECRET, "ETL_SNOWFLAKE_PRIVATE_KEY_PASSWORD": SECRET, "ETL_SNOWFLAKE_TOKEN": SECRET,
    "ETL_S3_SECRET_ACCESS_KEY": SECRET, "ETL_S3_SESSION_TOKEN": SECRET,
}  # fmt: skip


def setting(monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_with_nothing_set_everything_is_under_one_local_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    home = tmp_path.resolve() / "var"
    assert (settings.landing_root, settings.lake_root) == (str(home / "landing"), str(home / "lake"))
    assert (settings.duckdb_file, settings.scratch) == (home / "warehouse.duckdb", home / "scratch")
    assert settings.ledger.get_secret_value() == f"sqlite:///{home / 'ledger.db'}"
    assert (settings.warehouse, settings.first_date) == ("duckdb", dt.date(2025, 1, 1))
    assert (settings.institutions_folder / "institution_a.yaml").is_file()
    assert not home.exists(), "settings make nothing"


def test_every_part_is_one_variable_away(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = setting(
        monkeypatch, ETL_HOME="~/etl", ETL_LANDING="s3://in/x/", ETL_LAKE="s3://lake", ETL_WAREHOUSE="postgres",
        ETL_FIRST_DATE="2024-02-29", ETL_MEMORY_LIMIT_MB="64", ETL_INSTITUTIONS_PATH="~/institutions",
        ETL_S3_ALLOW_HTTP="true",
    )  # fmt: skip
    assert settings.root == Path.home().resolve() / "etl"
    assert (settings.landing_root, settings.lake_root) == ("s3://in/x", "s3://lake")
    assert settings.institutions_folder == Path.home() / "institutions"
    assert (settings.first_date, settings.memory_limit_mb, settings.s3_allow_http) == (dt.date(2024, 2, 29), 64, True)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = setting(monkeypatch, ETL_WAREHOUSE="", ETL_LANDING="", ETL_MEMORY_LIMIT_MB="")
    assert (settings.warehouse, settings.landing, settings.memory_limit_mb) == ("duckdb", None, None)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ETL_WAREHOUSE", "oracle", "'duckdb', 'postgres' or 'snowflake'"), ("ETL_LANDING", "gs://x", "s3://bucket/prefix"),
        ("ETL_LAKE", "ftp://x", "s3://bucket/prefix"), ("ETL_FIRST_DATE", "15.01.2025", "date"),
        ("ETL_MEMORY_LIMIT_MB", "8", "64"), ("ETL_DOWNLOAD_CONCURRENCY", "0", "1"),
        ("ETL_DOWNLOAD_CONCURRENCY", "65", "64"),
        ("ETL_SENSOR_MAX_SECONDS", "0", "0"), ("ETL_SENSOR_MAX_OBJECTS", "many", "integer"),
        ("ETL_POSTGRES_ROLES", "perhaps", "boolean"), ("ETL_SNOWFLAKE_PROTOCOL", "ftp", "'https' or 'http'"),
    ],
)  # fmt: skip
def test_a_bad_value_names_the_variable_what_was_found_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as failure:
        setting(monkeypatch, **{name: value})
    assert failure.value.subject == f"environment variable {name}"
    assert failure.value.found == repr(value)
    assert expected in failure.value.expected and "Value error" not in failure.value.expected


def test_a_misspelt_variable_is_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"ETL_WAREHOSE.*expected ETL_WAREHOUSE"):
        setting(monkeypatch, ETL_WAREHOSE="postgres")
    monkeypatch.delenv("ETL_WAREHOSE")
    # Other programs have names too.
    setting(monkeypatch, ETL_PLATFORM_VERSION="1", ETL_ROLE_OF_SOMETHING_ELSE="x")


def test_no_secret_is_ever_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = setting(monkeypatch, **SECRETS)
    fields = [name for name, value in settings if isinstance(value, SecretStr)]
    assert {f"ETL_{name.upper()}" for name in fields} == set(SECRETS)
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.ledger),
        str(settings.model_dump()),
        settings.model_dump_json(),
    ):
        assert SECRET not in shown


def test_a_secret_is_not_shown_when_another_setting_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as failure:
        setting(monkeypatch, **SECRETS, ETL_SNOWFLAKE_PORT=SECRET, ETL_WAREHOUSE="oracle")
    assert failure.value.__cause__ is None and failure.value.__suppress_context__
    assert "ETL_WAREHOUSE" in str(failure.value)


def test_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.warehouse = "postgres"  # type: ignore[misc]


def test_credentials_of_an_institution_come_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    monkeypatch.setenv("ACME_AWS_ACCESS_KEY_ID", "id")
    with pytest.raises(ConfigurationError, match="ACME_AWS_SECRET_ACCESS_KEY not set"):
        settings.aws_credentials("ACME")
    monkeypatch.setenv("ACME_AWS_SECRET_ACCESS_KEY", SECRET)
    key, secret = settings.aws_credentials("ACME")
    assert (key, secret.get_secret_value()) == ("id", SECRET) and SECRET not in repr((key, secret))
