"""Chooses and builds the warehouse that `ETL_WAREHOUSE` names. Its driver is imported here, when it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from etl_platform.errors import ConfigurationError
from etl_platform.institutions.model import Institution
from etl_platform.settings import Settings
from etl_platform.stores.store import TableStore

SERVICE = "warehouse"
"""What errors and waiting partitions call it, whatever it is."""


class WarehouseStore(TableStore, Protocol):
    """A table store that can also say whether it is well."""

    def check(self) -> str:
        """One line for people. Raises StorageUnavailableError / StorageError with the next step."""
        ...

    def canary(self) -> str:
        """One line for people: awkward values of every type came back as they were sent, on the way of a load.

        They go into a temporary table, and nothing is left behind. Raises StorageError with the column.
        """
        ...


def build_warehouse(settings: Settings, institutions: Mapping[str, Institution]) -> WarehouseStore:
    """The store of `settings.warehouse`. Opens nothing. Raises ConfigurationError for a missing setting."""
    schemas = {code: institution.schema_name for code, institution in institutions.items()}
    if settings.warehouse == "postgres":
        return _postgres(settings, schemas)
    if settings.warehouse == "snowflake":
        return _snowflake(settings, schemas)
    from etl_platform.stores.duckdb.store import DuckDBStore

    return DuckDBStore(settings.duckdb_file, schemas, scratch=settings.scratch, service=SERVICE)


def _postgres(settings: Settings, schemas: Mapping[str, str]) -> WarehouseStore:
    from etl_platform.stores.postgres.store import PostgresStore

    if settings.postgres_url is None:
        raise _missing("ETL_POSTGRES_URL", "postgresql://user:password@host/database")
    return PostgresStore(
        settings.postgres_url,
        schemas,
        roles=settings.postgres_roles,
        retries=settings.retries,
        scratch=settings.scratch,
        service=SERVICE,
    )


def _snowflake(settings: Settings, schemas: Mapping[str, str]) -> WarehouseStore:
    from etl_platform.stores.snowflake.account import SnowflakeAccount
    from etl_platform.stores.snowflake.store import SnowflakeStore

    for name in ("account", "user", "database"):
        if getattr(settings, f"snowflake_{name}") is None:
            raise _missing(f"ETL_SNOWFLAKE_{name.upper()}", f"the {name}")
    account = SnowflakeAccount(
        account=settings.snowflake_account or "",
        user=settings.snowflake_user or "",
        database=settings.snowflake_database or "",
        warehouse=settings.snowflake_warehouse,
        role=settings.snowflake_role,
        password=settings.snowflake_password,
        private_key_path=settings.snowflake_private_key_path,
        private_key_password=settings.snowflake_private_key_password,
        oauth_token=settings.snowflake_token,
        host=settings.snowflake_host,
        port=settings.snowflake_port,
        protocol=settings.snowflake_protocol,
    )
    return SnowflakeStore(
        account,
        schemas,
        with_roles=settings.snowflake_roles,
        retries=settings.retries,
        scratch=settings.scratch,
        service=SERVICE,
    )


def _missing(name: str, expected: str) -> ConfigurationError:
    return ConfigurationError(f"environment variable {name}", found="not set", expected=expected)
