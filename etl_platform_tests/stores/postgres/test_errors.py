"""What goes wrong says what to do; what may pass is tried again, with a limit; a password is never shown."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote as percent_encode

import psycopg
import pyarrow as pa
import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import ConfigurationError, EtlError, StorageError, StorageUnavailableError
from etl_platform.stores.postgres.errors import explain
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform_tests.stores.tables import SAMPLES, B, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import IMPATIENT, new_store, open_store

PASSWORD = "s3cret/never shown"


def _uses(store: PostgresStore) -> list[EtlError]:
    """The errors of each use of a store that cannot work."""
    found = []
    for use in (
        store.check,
        store.initialise,
        lambda: store.replace(SAMPLES, [key(0)], []),
        lambda: list(store.read(SAMPLES, [key(0)])),
    ):
        with pytest.raises(EtlError) as caught:
            use()
        shown = "".join(traceback.format_exception(caught.value)) + repr(store)
        assert PASSWORD not in shown and percent_encode(PASSWORD, safe="") not in shown
        found.append(caught.value)
    return found


def test_an_unreachable_server_may_come_back(postgres_database: PostgresDatabase) -> None:
    password = percent_encode(PASSWORD, safe="")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for error in _uses(open_store(f"postgresql://loader:{password}@127.0.0.1:{port}/warehouse")):
        assert isinstance(error, StorageUnavailableError)
        assert f"Postgres 127.0.0.1:{port}/warehouse" in str(error) and "check host, port and network" in str(error)


@pytest.mark.parametrize("user", ["postgres", "nobody_of_that_name"])
def test_a_wrong_login_is_refused_at_once(user: str, postgres_database: PostgresDatabase) -> None:
    for error in _uses(open_store(postgres_database.url_as(user, percent_encode(PASSWORD, safe="")))):
        assert isinstance(error, StorageError)
        assert "28P01" in str(error) and "correct the password in ETL_POSTGRES_URL" in str(error)


def test_a_database_that_does_not_exist_is_refused_at_once(postgres_database: PostgresDatabase) -> None:
    with pytest.raises(StorageError, match=r"3D000.*create the database or correct its name"):
        open_store(postgres_database.server.url_of("nowhere")).check()


def test_a_server_without_tls_is_refused_where_the_url_demands_it(postgres_database: PostgresDatabase) -> None:
    store = open_store(f"{postgres_database.url}?sslmode=verify-full")
    with pytest.raises(StorageError, match="correct sslmode and sslrootcert"):
        store.check()


@pytest.mark.parametrize(
    "url", [f"postgresql+psycopg2://u:{PASSWORD}@h/d", f"postgresql://u:{PASSWORD}@[h/d", PASSWORD]
)
def test_a_broken_url_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ETL_POSTGRES_URL: .*not shown") as caught:
        open_store(url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_writing_before_init_says_so(postgres_database: PostgresDatabase) -> None:
    store = open_store(postgres_database.url, {"institution_a": "never_initialised"})
    with pytest.raises(StorageError, match="warehouse init"):
        store.replace(SAMPLES, [key(0)], [])


@contextmanager
def _failing(database: PostgresDatabase, event: str, code: str, times: int) -> Iterator[None]:
    """Within the block the server answers `code` to the first `times` statements of that kind."""
    with database.connect() as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS public.failures")
        connection.execute("GRANT ALL ON SEQUENCE public.failures TO PUBLIC")
        connection.execute("SELECT setval('public.failures', 1, false)")
        # A sequence counts on through rollbacks.
        body = (
            f"BEGIN IF nextval('public.failures') <= {times} THEN RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; "
        )
        connection.execute(
            f"CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ {body} END IF; RETURN NULL; END $$".encode()
        )
        connection.execute(
            f"CREATE TRIGGER failing BEFORE {event} ON institution_a.samples EXECUTE FUNCTION public.fail()".encode()
        )
        yield
        connection.execute("DROP TRIGGER failing ON institution_a.samples")


@pytest.fixture
def filled(postgres_database: PostgresDatabase) -> PostgresStore:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    return store


@pytest.mark.parametrize("code", ["40001", "40P01", "53300", "57014"])
def test_what_may_pass_is_tried_again_before_rows_are_taken(
    code: str, filled: PostgresStore, postgres_database: PostgresDatabase
) -> None:
    with _failing(postgres_database, "DELETE", code, times=IMPATIENT.attempts - 1):
        filled.replace(SAMPLES, [key(0)], iter(batches(rows(key(0), start=100))))
    assert stored(filled, [key(0)]).equals(rows(key(0), start=100))


def test_trying_again_has_a_limit(filled: PostgresStore, postgres_database: PostgresDatabase) -> None:
    with (
        _failing(postgres_database, "DELETE", "40001", times=IMPATIENT.attempts),
        pytest.raises(StorageUnavailableError, match=r"40001.*nothing was changed: run the partition again"),
    ):
        filled.replace(SAMPLES, [key(0)], [])
    assert stored(filled, [key(0)]).equals(rows(key(0)))


@pytest.mark.parametrize(
    ("code", "kind", "step"),
    [
        ("57014", StorageUnavailableError, "gave up after 1 try.*raise statement_timeout"),
        ("53100", StorageError, "free space on the database server's disk"),
        ("58030", StorageError, "see the message of Postgres"),
    ],
    ids=["time limit", "disk full", "disk broken"],
)
def test_what_would_fail_again_while_rows_are_sent_leaves_the_old_ones_and_is_not_repeated(
    code: str, kind: type[EtlError], step: str, filled: PostgresStore, postgres_database: PostgresDatabase
) -> None:
    taken = []

    def once() -> Iterator[pa.RecordBatch]:
        taken.append(1)
        yield from batches(rows(key(0), start=100))

    with _failing(postgres_database, "INSERT", code, times=1), pytest.raises(kind, match=step) as caught:
        filled.replace(SAMPLES, [key(0)], once())
    assert code in str(caught.value) and len(taken) <= 1
    assert stored(filled, [key(0)]).equals(rows(key(0)))
    filled.replace(SAMPLES, [key(0)], once())
    assert stored(filled, [key(0)]).equals(rows(key(0), start=100))


@pytest.mark.parametrize("keys", [[key(0)], [key(0), key(0, B)]], ids=["one institution", "two"])
def test_what_may_pass_while_rows_are_sent_is_tried_again_with_all_of_them(
    keys: list[PartitionKey], filled: PostgresStore, postgres_database: PostgresDatabase
) -> None:
    new = [rows(each, start=100, count=300) for each in keys]
    with _failing(postgres_database, "INSERT", "40001", times=IMPATIENT.attempts - 1):
        written = filled.replace(SAMPLES, keys, iter(batches(*new)))
    assert written.rows == 300 * len(keys)
    for each, expected in zip(keys, new, strict=True):
        assert stored(filled, [each]).equals(expected)


def test_a_source_that_broke_off_is_not_taken_for_one_that_ended(filled: PostgresStore) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from batches(rows(key(0), start=100))
        raise StorageUnavailableError("object a", found="no answer", service="lake")

    with pytest.raises(StorageUnavailableError, match="object a") as caught:
        filled.replace(SAMPLES, [key(0)], broken())
    assert caught.value.service == "lake", "the service that was away, not the one that was written to"
    assert stored(filled, [key(0)]).equals(rows(key(0)))


@pytest.mark.parametrize(
    "text",
    [
        "consuming input failed: SSL SYSCALL error: EOF detected",
        "consuming input failed: SSL connection has been closed unexpectedly",
        "SSL error: unexpected eof while reading",
    ],
)
def test_a_broken_encrypted_connection_may_pass_but_a_refused_one_does_not(text: str) -> None:
    assert isinstance(explain("Postgres", psycopg.OperationalError(text)), StorageUnavailableError)
    for refused in ("server does not support SSL, but SSL was required", "SSL error: certificate verify failed"):
        assert isinstance(explain("Postgres", psycopg.OperationalError(refused)), StorageError)


def test_a_statement_time_out_of_the_url_holds_and_says_so(
    filled: PostgresStore, postgres_database: PostgresDatabase
) -> None:
    hurried = open_store(f"{postgres_database.url}?options=-c%20statement_timeout%3D50ms")
    with postgres_database.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE institution_a.samples")
        with pytest.raises(StorageUnavailableError, match=r"57014.*raise statement_timeout"):
            hurried.replace(SAMPLES, [key(0)], [])
    assert stored(filled, [key(0)]).equals(rows(key(0)))
