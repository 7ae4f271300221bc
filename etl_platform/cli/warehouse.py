"""`etl-platform warehouse`: prepares the warehouse for its institutions."""

from __future__ import annotations

import click

from etl_platform.cli.session import open_session
from etl_platform.errors import ConfigurationError
from etl_platform.resources.warehouse import build_warehouse
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform.stores.snowflake.store import SnowflakeStore


@click.group()
def warehouse() -> None:
    """The warehouse that ETL_WAREHOUSE names."""


@warehouse.command()
@click.option("--login", help="Postgres: the user that the platform loads as. Default: the URL's own.")
@click.option("--show", is_flag=True, help="Snowflake: print the statements instead of running them.")
def init(login: str | None, show: bool) -> None:
    """Create a schema and a least-privileged role per institution. Run as an administrator; safe to repeat.

    \b
      ETL_WAREHOUSE=postgres ETL_POSTGRES_URL=postgresql://admin@db/etl etl-platform warehouse init --login loader
    """
    session = open_session()
    store = build_warehouse(session.settings, session.graph.institutions)
    if isinstance(store, DuckDBStore):
        raise ConfigurationError(
            "warehouse duckdb", found="nothing to prepare", expected="ETL_WAREHOUSE=postgres or snowflake"
        )
    if isinstance(store, SnowflakeStore):
        for statement in store.initialise_statements() if show else store.initialise():
            click.echo(f"{statement};")
        return
    store.initialise(login)  # type: ignore[attr-defined]
    click.echo(f"prepared: {store.check()}")
