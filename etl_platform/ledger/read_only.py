"""A ledger that is looked at without leaving a trace: no table, no file, no lock."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool, StaticPool

from etl_platform.ledger.tables import metadata


def open_read_only(url: URL) -> sa.Engine:
    """An engine that cannot write. Where a table does not exist yet, an empty ledger in memory serves instead."""
    engine = _engine(url)
    if engine is not None:
        with engine.connect() as connection:
            if set(metadata.tables) <= set(sa.inspect(connection).get_table_names()):
                return engine
        engine.dispose()
    empty = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    metadata.create_all(empty)
    return empty


def _engine(url: URL) -> sa.Engine | None:
    if url.get_backend_name() == "postgresql":
        arguments = {"connect_timeout": 10, "prepare_threshold": None}
        engine = sa.create_engine(url, hide_parameters=True, poolclass=NullPool, connect_args=arguments)
        return engine.execution_options(postgresql_readonly=True)
    path = Path(url.database or "").expanduser()
    if not path.exists():
        return None
    # A reader of a write-ahead log creates files beside it, unless a writer has them open already or nobody writes.
    is_quiet = not Path(f"{path}-wal").exists()
    address = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if is_quiet else ''}"
    return sa.create_engine(
        "sqlite://", hide_parameters=True, poolclass=NullPool, creator=lambda: sqlite3.connect(address, uri=True)
    )
