"""A ledger that is looked at without leaving a trace: no table, no file, no lock."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool, StaticPool

from etl_platform.ledger.revision import find, refuse_newer, refuse_old
from etl_platform.ledger.tables import metadata


def open_read_only(url: URL, label: str) -> sa.Engine:
    """An engine that cannot write. Where there is no ledger yet, an empty one in memory serves instead.

    Raises StorageError for an old ledger, which would have to be changed first, and for a newer one.
    """
    found = read_revision(url, label)
    refuse_old(found, label)
    refuse_newer(found, label)
    engine = _engine(url) if found is not None else None
    if engine is not None:
        return engine
    empty = sa.create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    metadata.create_all(empty)
    return empty


def read_revision(url: URL, label: str) -> str | None:
    """The revision of the ledger, None where there is none. Nothing is created or changed."""
    engine = _engine(url)
    if engine is None:
        return None
    try:
        with engine.connect() as connection:
            return find(connection, label)
    finally:
        engine.dispose()


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
