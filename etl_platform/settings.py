"""The only reader of the environment: every setting, its default and its meaning. Frozen; secrets are redacted.

With nothing set everything runs on one machine with no server: folder lake, DuckDB warehouse, SQLite ledger,
all under `ETL_HOME` (default `./var`). The README lists the usual production values.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from etl_platform.errors import ConfigurationError
from etl_platform.limits import (
    DOWNLOADS_AT_MOST,
    DOWNLOADS_AT_ONCE,
    MEMORY_FLOOR_MB,
    RETRY_ATTEMPTS,
    RETRY_FIRST_WAIT_SECONDS,
    RETRY_LONGEST_WAIT_SECONDS,
    SENSOR_INTERVAL_SECONDS,
    SENSOR_SECONDS,
    SERVICE_FAILURES_A_DAY,
)
from etl_platform.retries import Retries

Warehouse = Literal["duckdb", "postgres", "snowflake"]


class Settings(BaseModel):
    """All settings. `load_settings` reads them from `ETL_*` environment variables.

    Plain pydantic: importing pydantic-settings takes 0.12 s, a tenth of what Dagster itself takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    home: Path = Field(default=Path("var"), description="Folder of everything local: landing, lake, DuckDB, ledger.")
    dagster_home: Path | None = Field(
        default=None,
        description="Dagster instance (DAGSTER_HOME). Default {home}/dagster.",
    )
    landing: str | None = Field(
        default=None, description="Landing root: folder or s3://bucket/prefix. Default {home}/landing."
    )
    lake: str | None = Field(default=None, description="Lake root: folder or s3://bucket/prefix. Default {home}/lake.")
    ledger_url: SecretStr | None = Field(default=None, description="SQLAlchemy URL. Default SQLite in {home}.")
    warehouse: Warehouse = Field(default="duckdb", description="Where people query.")
    duckdb_path: Path | None = Field(default=None, description="DuckDB file. Default {home}/warehouse.duckdb.")
    postgres_url: SecretStr | None = Field(
        default=None, description="postgresql://... of the warehouse, any libpq parameter."
    )
    postgres_roles: bool = Field(default=True, description="Write under each institution's own role (warehouse init).")
    snowflake_account: str | None = None
    snowflake_user: str | None = None
    snowflake_password: SecretStr | None = None
    snowflake_private_key_path: Path | None = None
    snowflake_private_key_password: SecretStr | None = None
    snowflake_token: SecretStr | None = Field(default=None, description="OAuth token.")
    snowflake_database: str | None = None
    snowflake_warehouse: str | None = None
    snowflake_role: str | None = None
    snowflake_roles: bool = Field(default=False, description="Work under each institution's own role (warehouse init).")
    snowflake_host: str | None = Field(default=None, description="Host of an emulator or private link.")
    snowflake_port: int | None = None
    snowflake_protocol: Literal["https", "http"] = "https"
    institutions_path: Path | None = Field(
        default=None, description="Folder of institution files. Default: the built-in three."
    )
    datasets_path: Path | None = Field(
        default=None, description="Folder of further dataset declarations, beside the built-in ones."
    )
    first_date: dt.date = Field(default=dt.date(2025, 1, 1), description="First business date that the platform knows.")
    download_concurrency: int = Field(
        default=DOWNLOADS_AT_ONCE, ge=1, le=DOWNLOADS_AT_MOST, description="Objects of one partition fetched at once."
    )
    sensor_max_objects: int | None = Field(
        default=None, ge=1, description="New objects that one sensor tick takes. Default: as many as its seconds allow."
    )
    sensor_max_seconds: float = Field(
        default=SENSOR_SECONDS, gt=0, description="Seconds that one sensor tick may list."
    )
    service_failures_a_day: int = Field(
        default=SERVICE_FAILURES_A_DAY,
        ge=1,
        description="A partition that a service fails more often a day, while it answers, has failed.",
    )
    sensor_interval_seconds: int = Field(
        default=SENSOR_INTERVAL_SECONDS, ge=1, description="Seconds between two sensor ticks."
    )
    memory_limit_mb: int | None = Field(
        default=None, ge=MEMORY_FLOOR_MB, description="Memory a partition may take. Default: half of what is free."
    )
    retry_attempts: int = Field(
        default=RETRY_ATTEMPTS, ge=1, description="How often a service that does not answer is asked."
    )
    retry_first_wait_seconds: float = Field(
        default=RETRY_FIRST_WAIT_SECONDS,
        ge=0,
        description="Longest wait before the second attempt; it doubles with each further one.",
    )
    retry_longest_wait_seconds: float = Field(
        default=RETRY_LONGEST_WAIT_SECONDS,
        ge=0,
        description="Longest wait before any attempt, also where a service asks for more.",
    )
    s3_endpoint_url: str | None = None
    s3_region: str | None = None
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_session_token: SecretStr | None = None
    s3_allow_http: bool = False
    secretsmanager_endpoint_url: str | None = Field(
        default=None, description="Endpoint of AWS Secrets Manager for the resource `secretsmanager`. Default: AWS."
    )

    @field_validator("landing", "lake")
    @classmethod
    def _is_root(cls, value: str | None) -> str | None:
        if value and "://" in value and not value.startswith(("s3://", "file://")):
            raise ValueError("a folder, file:///folder or s3://bucket/prefix")
        return value.rstrip("/") if value else value

    @field_validator("secretsmanager_endpoint_url")
    @classmethod
    def _is_endpoint(cls, value: str | None, info: ValidationInfo) -> str | None:
        schemes = ("https", "http") if info.data.get("s3_allow_http") else ("https",)
        parts = urlsplit(value or "https://host")
        if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
            raise ValueError("https://host[:port] without credentials; http:// with ETL_S3_ALLOW_HTTP=true")
        return value

    @cached_property
    def root(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def landing_root(self) -> str:
        return self.landing or str(self.root / "landing")

    @property
    def lake_root(self) -> str:
        return self.lake or str(self.root / "lake")

    @property
    def duckdb_file(self) -> Path:
        return (self.duckdb_path or self.root / "warehouse.duckdb").expanduser().resolve()

    @property
    def ledger(self) -> SecretStr:
        return self.ledger_url or SecretStr(f"sqlite:///{self.root / 'ledger.db'}")

    @property
    def institutions_folder(self) -> Path:
        return (self.institutions_path or Path(__file__).parent / "institutions").expanduser()

    @property
    def retries(self) -> Retries:
        """How every service is asked again."""
        return Retries(self.retry_attempts, self.retry_first_wait_seconds, self.retry_longest_wait_seconds)

    @property
    def processes(self) -> Path:
        """Folder in which processes that execute runs say that they are alive."""
        return self.root / "processes"

    @property
    def scratch(self) -> Path:
        """Folder for temporary files of running partitions."""
        return self.root / "scratch"

    def aws_credentials(self, reference: str) -> tuple[str, SecretStr]:
        """Key id and secret of an institution's `credentials` reference. Raises ConfigurationError if unset."""
        names = (f"{reference}_AWS_ACCESS_KEY_ID", f"{reference}_AWS_SECRET_ACCESS_KEY")
        values = [os.environ.get(name) for name in names]
        missing = [name for name, value in zip(names, values, strict=True) if not value]
        if missing:
            raise ConfigurationError(
                f"credentials {reference}", found=f"{', '.join(missing)} not set", expected="both set"
            )
        return values[0] or "", SecretStr(values[1] or "")


def load_settings() -> Settings:
    """Settings from the environment. Raises ConfigurationError naming the variable, what was found and expected."""
    _require_names(os.environ)
    try:
        return Settings.model_validate(_given(os.environ))
    except ValidationError as error:
        first = error.errors()[0]
        name = "ETL_" + "_".join(str(part) for part in first["loc"]).upper()
        secret = any(word in name for word in ("PASSWORD", "SECRET", "TOKEN", "URL", "KEY"))
        raise ConfigurationError(
            f"environment variable {name}",
            found="(not shown)" if secret else repr(first["input"]),
            expected=first["msg"].removeprefix("Value error, "),
        ) from None


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that the environment names; an empty variable is one that is not set."""
    named = {name.upper(): value for name, value in environment.items() if value}
    variables = {field: f"ETL_{field.upper()}" for field in Settings.model_fields} | {"dagster_home": "DAGSTER_HOME"}
    return {field: named[variable] for field, variable in variables.items() if variable in named}


def _require_names(environment: Iterable[str]) -> None:
    """Refuse a misspelt setting: its default would be taken without a word. Names unlike any setting are not ours."""
    known = [f"ETL_{field.upper()}" for field in Settings.model_fields]
    for name in environment:
        if name.upper().startswith("ETL_") and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.85)
            if near:
                raise ConfigurationError(f"environment variable {name}", found="no such setting", expected=near[0])
