"""How the database is reached: connection parameters, transactions under a role, time-outs, retries.

Belongs here: everything between a URL and an open transaction. Not here: what is done inside (`store.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from etl_platform.contracts.identifiers import quote
from etl_platform.errors import ConfigurationError, TransientError
from etl_platform.limits import PROBE_SECONDS
from etl_platform.retries import Retries
from etl_platform.stores.postgres.errors import DRIVER_ERRORS, explain

if TYPE_CHECKING:
    import adbc_driver_postgresql.dbapi as arrow_driver

Connection = psycopg.Connection[tuple[Any, ...]]
_T = TypeVar("_T")

_DEFAULTS: dict[str, str] = {
    "application_name": "etl-platform",
    "connect_timeout": "10",
    # A peer that vanished without a word is noticed after a minute, not after the two hours of most systems.
    "keepalives_idle": "30",
    "tcp_user_timeout": "60000",
}


class PostgresSession(Protocol):
    """What a load needs of a driver's open transaction."""

    def execute(self, query: bytes, params: Sequence[Any] | None = None, /) -> object: ...

    def commit(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Server:
    """A Postgres database and how patient to be with it. `url`: libpq's URL or key=value form, any parameter.

    lock_seconds: longest wait for another run on the same partition or table. service: its name in errors.
    """

    url: SecretStr
    retries: Retries
    lock_seconds: float
    service: str = "warehouse"

    def __post_init__(self) -> None:
        self._parameters()

    @property
    def subject(self) -> str:
        """For messages: where the database is, without user or password."""
        known = self._parameters()
        host, port = known.get("host", known.get("hostaddr", "localhost")), known.get("port", "5432")
        return f"Postgres {host}:{port}/{known.get('dbname', '')}"

    def call(self, action: Callable[[], _T], *, may_repeat: Callable[[TransientError], bool] = lambda _: True) -> _T:
        """`action()`, again with growing waits while the server may come back (see `Retries.call`)."""
        return self.retries.call(action, service=self.service, may_repeat=may_repeat)

    def probe(self) -> None:
        """Connect once. Raises the platform's errors within about PROBE_SECONDS for each address of the host."""
        # No question is asked: a session that is ready has gone through the server's own start and login.
        with self.connect(connect_timeout=str(round(PROBE_SECONDS) - 1)):
            return

    @contextmanager
    def connect(self, **more: str) -> Iterator[Connection]:
        """An open connection. Raises the platform's errors for whatever Postgres says inside the block.

        more: connection parameters that take the place of the URL's.
        """
        with self.explained():
            # Text goes out as UTF-8 whatever PGCLIENTENCODING says. Each statement sees what was committed before it
            # whatever the server's default is: a writer that waited for a lock must see the rows of the one before.
            connection: Connection = psycopg.connect(self._conninfo(**more), client_encoding="utf8")
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            try:
                yield connection
            finally:
                connection.close()

    def begin(self, session: PostgresSession, role: str | None) -> None:
        """Start a transaction with time-outs and, where given, as `role`."""
        # A receipt is a promise: a server that acknowledges before it writes would lose the load in a crash.
        session.execute(
            b"SELECT pg_catalog.set_config('lock_timeout', %s, true), "
            b"pg_catalog.set_config('search_path', 'pg_catalog', true), "
            b"pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit') "
            b"WHEN 'off' THEN 'on' ELSE pg_catalog.current_setting('synchronous_commit') END, true), "
            # Compiling the many sums of a load's proof costs more than it saves.
            b"pg_catalog.set_config('jit', 'off', true)",
            [f"{round(self.lock_seconds * 1000)}ms"],
        )
        become(session, role)

    @contextmanager
    def connect_for_arrow(self, isolation: str) -> Iterator[arrow_driver.Connection]:
        """A connection of the Arrow driver, in a transaction of that isolation (SQL words, may end in READ ONLY)."""
        # Readers and few loads need the driver, and it brings pandas: 55 MB that other loaders do without.
        import adbc_driver_postgresql.dbapi as arrow_driver

        with self.explained():
            connection = arrow_driver.connect(self._conninfo(client_encoding="utf8"))
            try:
                with connection.cursor() as cursor:
                    cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                yield connection
            finally:
                connection.close()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """The drivers' errors inside the block as the platform's."""
        try:
            yield
        except DRIVER_ERRORS as error:
            # The cause stays out of the chain: a driver may quote the URL.
            explained = explain(self.subject, error, self._secrets())
            if isinstance(explained, TransientError):
                explained.service = self.service
            raise explained from None

    def _conninfo(self, **more: str) -> str:
        return make_conninfo(**{**_DEFAULTS, **self._parameters(), **more})

    def _parameters(self) -> dict[str, Any]:
        try:
            return conninfo_to_dict(self.url.get_secret_value())
        except psycopg.Error:
            # The parser's message quotes the URL.
            raise ConfigurationError(
                "ETL_POSTGRES_URL",
                found="not a URL that libpq reads (not shown)",
                expected="postgresql://user:password@host:5432/database?sslmode=verify-full",
                next_step="percent-encode special characters of the password",
            ) from None

    def _secrets(self) -> list[str]:
        known = self._parameters()
        return [str(known[name]) for name in ("password", "sslpassword") if known.get(name)]


def become(session: PostgresSession, role: str | None) -> None:
    """Act as `role` until the end of the transaction."""
    if role is not None:
        session.execute(f"SET LOCAL ROLE {quote(role, 'postgres')}".encode())
