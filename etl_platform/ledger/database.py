"""Connections of the ledger: SQLite or Postgres by URL, opened on first use, with one writer at a time.

All writes of the ledger are short and take the same lock (SQLite: `BEGIN IMMEDIATE`; Postgres: one advisory lock of
the transaction). So two sensors that record two versions of one key see each other, and no order of rows can deadlock.
Not here: what is written (`recording.py`, `attempts.py`).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from etl_platform.errors import ConfigurationError, StorageError
from etl_platform.ledger.failures import SERVICE, has_waited, sqlite_may_pass, translated
from etl_platform.ledger.read_only import open_read_only, read_revision
from etl_platform.ledger.revision import HEAD, find, refuse_newer
from etl_platform.ledger.upgrade import upgrade
from etl_platform.limits import (
    LEDGER_CONNECT_SECONDS,
    LEDGER_CONNECTIONS,
    LEDGER_FURTHER_CONNECTIONS,
    LOCK_SECONDS,
    UPGRADE_SECONDS,
)
from etl_platform.retries import Retries

_T = TypeVar("_T")
_POSTGRES_SPELLINGS = {"postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"}
_SQLITE_SPELLINGS = {"sqlite", "sqlite+pysqlite"}
_WRITES = "etl_ledger_writes"

_ONCE = Retries(attempts=1)


# One fixed number for all ledgers of a database. A writer that lost its network is ended by the server after a minute,
# so that it cannot hold the lock for ever. Sent as plain text: a pooler between may run each statement elsewhere
# unless they are one, and refuses start-up options.
_POSTGRES_WRITE_LOCK = """
SET LOCAL lock_timeout = '{seconds}s';
SET LOCAL idle_in_transaction_session_timeout = '60s';
SELECT pg_advisory_xact_lock(7241930855140163)
"""


class LedgerDatabase:
    """The database of one ledger. `label` names it in messages, without user and password.

    read_only: nothing is created or changed, and what is not there yet reads as empty.
    retries: how a database that does not answer is asked again, until a transaction has begun; by default it is not.
    What a transaction does is never repeated here. Whoever waited for a lock has waited already, and does not again.
    """

    def __init__(self, url: str, *, read_only: bool = False, retries: Retries | None = None) -> None:
        self._url = parse_url(url)
        self._read_only = read_only
        self._retries = retries or _ONCE
        self.label = _label(self._url)
        self._opening = threading.Lock()
        self._engine: sa.Engine | None = None
        self._shared = threading.local()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view."""
        if (shared := self._of_together()) is not None:
            yield shared
            return
        with self._begun(lambda: _begin_read(self._open())) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction, alone: what it reads does not change before it commits."""
        if self._read_only:
            raise StorageError(self.label, found="a write", expected="reads only: it was opened so")
        if (shared := self._of_together()) is not None:
            yield shared
            return
        with self._begun(lambda: _begin_write(self._open())) as connection:
            yield connection

    @contextmanager
    def _begun(self, begin: Callable[[], AbstractContextManager[sa.Connection]]) -> Iterator[sa.Connection]:
        def enter() -> tuple[sa.Connection, ExitStack]:
            with ExitStack() as stack:
                return stack.enter_context(begin()), stack.pop_all()

        connection, transaction = self._asked(enter)
        with translated(self.label), transaction:
            yield connection

    def _asked(self, action: Callable[[], _T]) -> _T:
        """`action()`, again while the database does not answer."""

        def ask() -> _T:
            with translated(self.label):
                return action()

        return self._retries.call(ask, service=SERVICE, may_repeat=lambda error: not has_waited(error))

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that this thread reads and writes inside is one transaction: all of it is on record, or nothing."""
        if self._of_together() is not None:
            yield
            return
        with self.write() as connection:
            self._shared.connection = connection
            try:
                yield
            finally:
                self._shared.connection = None

    def _of_together(self) -> sa.Connection | None:
        found: sa.Connection | None = getattr(self._shared, "connection", None)
        return found

    def revision(self) -> str | None:
        """The revision of the ledger, None where there is none. Nothing is created or changed."""
        return self._asked(lambda: read_revision(self._url, self.label))

    def upgrade(self) -> str | None:
        """Make the ledger or bring it to the revision of this code, as its first use does. Returns what was found.

        Raises StorageError for a ledger of newer code.
        """
        with self._opening:
            engine, found = self._asked(self._open_current)
            engine.dispose()
            return found

    def close(self) -> None:
        """Return all connections; the next use opens new ones."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def _open(self) -> sa.Engine:
        with self._opening:
            if self._engine is None and self._read_only:
                self._engine = open_read_only(self._url, self.label)
            if self._engine is None:
                self._engine, _ = self._open_current()
            return self._engine

    def _open_current(self) -> tuple[sa.Engine, str | None]:
        """The ledger at the revision of this code, and the one that was found (None: there was no ledger)."""
        engine = _create_engine(self._url)
        try:
            with engine.connect() as connection, connection.begin():
                found = find(connection, self.label)
            # Before the lock: a newer ledger is not even asked for a transaction that writes.
            refuse_newer(found, self.label)
            if found != HEAD:
                # Inside the write lock: of two first users one creates or upgrades the tables, the other finds them.
                seconds = LOCK_SECONDS if found is None else UPGRADE_SECONDS
                with _begin_write(engine, seconds) as connection:
                    found = upgrade(connection, self.label)
        except BaseException:  # an interrupt, too, must not leave a connection that holds the write lock
            engine.dispose()
            raise
        return engine, found


def parse_url(url: str) -> URL:
    """The URL with the driver this package brings. Raises ConfigurationError, never repeating what was given."""
    expected = "sqlite:////absolute/path/ledger.db or postgresql://user:password@host:5432/database"
    next_step = "set ETL_LEDGER_URL, or leave it out for SQLite in ETL_HOME"
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Neither the text nor the cause: either may hold a password in a place where it cannot be told apart.
        found = "text that is no URL"
        raise ConfigurationError("ledger URL", found=found, expected=expected, next_step=next_step) from None
    if parsed.drivername in _POSTGRES_SPELLINGS:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in _SQLITE_SPELLINGS and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    found = f"{parsed.drivername}:// without a file" if parsed.drivername in _SQLITE_SPELLINGS else parsed.drivername
    raise ConfigurationError("ledger URL", found=found, expected=expected, next_step=next_step)


def _label(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"ledger {url.database}"
    return f"ledger postgresql://{url.host or 'localhost'}:{url.port or 5432}/{url.database or ''}"


@contextmanager
def _begin_read(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def _begin_write(engine: sa.Engine, seconds: int | None = None) -> Iterator[sa.Connection]:
    seconds = LOCK_SECONDS if seconds is None else seconds
    with (
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        _sqlite_waits(connection, seconds),
        connection.begin(),
    ):
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_POSTGRES_WRITE_LOCK.format(seconds=seconds))
        yield connection


@contextmanager
def _sqlite_waits(connection: sa.Connection, seconds: int) -> Iterator[None]:
    """Wait that long for the lock of SQLite, where that is not what every connection does anyway."""
    if connection.dialect.name != "sqlite" or seconds == LOCK_SECONDS:
        yield
        return
    # On the driver's own connection: SQLAlchemy's would begin the transaction first.
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA busy_timeout = {seconds * 1000}")
    try:
        yield
    finally:
        # An interrupt has closed it.
        with suppress(sqlite3.ProgrammingError):
            driver.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")


def _create_engine(url: URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,  # a server that restarted costs one reconnect, not a failed tick
            pool_size=LEDGER_CONNECTIONS,
            max_overflow=LEDGER_FURTHER_CONNECTIONS,
            connect_args={
                "application_name": "etl-platform ledger",
                "connect_timeout": LEDGER_CONNECT_SECONDS,
                "prepare_threshold": None,  # named statements do not survive a transaction pooler
            },
        )
    Path(url.database or "").expanduser().parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's own transactions begin late and deferred: two of them that read, then write, fail instead of waiting.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
    _use_wal(connection)


def _use_wal(connection: Any) -> None:
    """Let readers and the writer not wait for each other.

    The change of a new database does not wait for its turn, whatever the timeout: of several first users all but one
    are told at once that it is locked.
    """
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not sqlite_may_pass(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN")
