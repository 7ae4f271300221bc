"""Ledgers for tests, each on SQLite and on a real Postgres.

Use the fixtures by importing them: `from etl_platform_tests.support.ledgers import ledger, ledger_url  # noqa: F401`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.tables import metadata
from etl_platform_tests.support.postgres import PostgresDatabase, PostgresServer, postgres_server

__all__ = ["ledger", "ledger_url", "postgres_server"]


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables; the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new folder/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database = _database_of(server)
    # A new database for each test would copy the template every time.
    with database.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {', '.join(metadata.tables)}")
    return database.url


@cache
def _database_of(server: PostgresServer) -> PostgresDatabase:
    return server.new_database()


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(ledger_url)
    yield opened
    opened.close()
