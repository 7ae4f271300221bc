"""Ledgers for tests, each on SQLite and on a real Postgres.

Use the fixtures by importing them: `from etl_platform_tests.support.ledgers import ledger, ledger_url  # noqa: F401`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import psycopg
import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.revision import MARKER
from etl_platform.ledger.tables import metadata
from etl_platform_tests.support.postgres import PostgresDatabase, PostgresServer, postgres_server

__all__ = ["ledger", "ledger_url", "load_old_ledger", "old_ledger_url", "postgres_server"]


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without tables; the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new folder/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database = _database_of(server)
    # A new database for each test would copy the template every time.
    with database.connect() as connection:
        connection.execute(f"DROP TABLE IF EXISTS {', '.join((*metadata.tables, MARKER.name))}")
    return database.url


FIXTURES = Path(__file__).parents[1] / "fixtures" / "ledger_today"


@pytest.fixture
def old_ledger_url(ledger_url: str) -> str:
    """URL of a ledger as the code before revisions made it, with rows of every kind."""
    load_old_ledger(ledger_url)
    return ledger_url


def load_old_ledger(url: str) -> None:
    """Make a ledger of revision 0001, without a revision on record, in an empty database."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((FIXTURES / "sqlite.sql").read_text(encoding="utf-8"))
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute((FIXTURES / "postgres.sql").read_bytes())


@cache
def _database_of(server: PostgresServer) -> PostgresDatabase:
    return server.new_database()


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    opened = Ledger(ledger_url)
    yield opened
    opened.close()
