"""Opening the ledger, and what is said when its database does not answer or refuses."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from etl_platform.errors import ConfigurationError, StorageError, StorageUnavailableError
from etl_platform.ledger import database
from etl_platform.ledger.ledger import Ledger
from etl_platform_tests.support.apart import eventually
from etl_platform_tests.support.landing_objects import NOW, landing_object
from etl_platform_tests.support.ledgers import ledger, ledger_url  # noqa: F401
from etl_platform_tests.support.postgres import (  # noqa: F401
    PostgresDatabase,
    postgres_database,
    postgres_server,
    run_postgres_server,
)

FIRST = landing_object("first.csv")


def test_construction_opens_nothing(tmp_path: Path) -> None:
    Ledger(f"sqlite:///{tmp_path}/not/yet/ledger.db")
    Ledger("postgresql://user:password@host.invalid:1/database")
    assert list(tmp_path.iterdir()) == []


def test_importing_loads_no_driver_and_opens_nothing() -> None:
    program = "import sys, etl_platform.ledger.ledger; assert not {'psycopg', 'psycopg2', 'dagster'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_postgres_works(postgres_database: PostgresDatabase, scheme: str) -> None:
    opened = Ledger(postgres_database.url.replace("postgresql", scheme, 1))
    assert opened.record_seen([FIRST], now=NOW) == 1
    opened.close()
    assert postgres_database.rows("SELECT state FROM landing_objects") == [("seen",)]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mysql://user:s3cret@host/db", "mysql"),
        ("sqlite://", "without a file"),
        ("sqlite:///:memory:", "without a file"),
        ("s3cret no url", "text that is no URL"),
        ("postgresql://user:s3cret@host:port/db", "text that is no URL"),
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found) as caught:
        Ledger(url)
    assert "expected sqlite:////absolute/path/ledger.db or postgresql://" in str(caught.value)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_the_password_is_never_shown(postgres_database: PostgresDatabase) -> None:
    opened = Ledger(postgres_database.url_as("postgres", "s3cret-word"))
    with pytest.raises(StorageError, match="authentication failed") as caught:
        opened.unknown([FIRST])
    shown = "".join(traceback.format_exception(caught.value)) + repr(opened) + str(opened) + repr(opened._database)
    assert "s3cret-word" not in shown
    assert "next step: correct ETL_LEDGER_URL" in shown


def test_a_missing_database_is_permanent(postgres_database: PostgresDatabase) -> None:
    with pytest.raises(StorageError, match='database "nowhere" does not exist'):
        Ledger(postgres_database.server.url_of("nowhere")).check()


def test_a_user_without_privileges_is_told_what_is_missing(postgres_database: PostgresDatabase) -> None:
    Ledger(postgres_database.url).record_seen([FIRST], now=NOW)
    role = f"reader_{postgres_database.name}"
    with postgres_database.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'word'").format(sql.Identifier(role)))
        connection.execute(
            sql.SQL("GRANT SELECT ON landing_objects, ledger_revision TO {}").format(sql.Identifier(role))
        )
    reader = Ledger(postgres_database.url_as(role, "word"))
    assert reader.unknown([FIRST]) == []
    with pytest.raises(StorageError, match="permission denied for table landing_objects") as caught:
        reader.check()
    assert "may create and write the tables" in caught.value.expected
    reader.close()


def test_a_server_that_does_not_answer_may_come_back() -> None:
    with pytest.raises(StorageUnavailableError, match="refused") as caught:
        Ledger("postgresql://user:word@127.0.0.1:1/ledger").check()
    assert caught.value.subject == "ledger postgresql://127.0.0.1:1/ledger"
    assert "try again" in caught.value.next_step


def test_after_a_lost_connection_the_next_call_works(postgres_database: PostgresDatabase) -> None:
    opened = Ledger(postgres_database.url)
    opened.record_seen([FIRST], now=NOW)
    terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'etl-platform ledger'"
    assert postgres_database.rows(terminate)
    assert opened.unknown([FIRST]) == []
    opened.close()


def test_a_connection_lost_in_the_middle_may_come_back_and_leaves_nothing_half_done() -> None:
    with run_postgres_server() as server:
        base = server.new_database()
        opened = Ledger(base.url)
        opened.check()

        def cut_the_line() -> None:
            with opened._database.write() as connection:
                pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
                connection.exec_driver_sql("UPDATE attempts SET error = 'half'")
                base.rows("SELECT pg_terminate_backend(%s)", (pid,))
                connection.exec_driver_sql("SELECT 1")

        with pytest.raises(StorageUnavailableError):
            cut_the_line()
        assert opened.record_seen([FIRST], now=NOW) == 1
        opened.close()


def test_a_writer_that_waits_too_long_is_told_to_come_back(
    ledger: Ledger, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_SECONDS", 1)
    impatient = Ledger(ledger_url)
    impatient.check()
    ledger.check()
    with ledger._database.write(), pytest.raises(StorageUnavailableError, match="lock"):
        impatient.record_seen([FIRST], now=NOW)
    assert impatient.record_seen([FIRST], now=NOW) == 1
    impatient.close()


def test_readers_do_not_wait_for_the_writer(ledger: Ledger) -> None:
    ledger.record_seen([FIRST], now=NOW)
    with ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE landing_objects SET reason = 'not yet committed'")
        assert [row.reason for row in ledger.objects()] == [None]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"a note, not a database" * 100)
    with pytest.raises(StorageError, match="not a database") as caught:
        Ledger(f"sqlite:///{path}").check()
    assert caught.value.subject == f"ledger {path}"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"ledger .*/file/ledger\.db"):
        Ledger(f"sqlite:///{tmp_path}/file/ledger.db").check()


def test_sqlite_keeps_readers_and_writer_apart(tmp_path: Path) -> None:
    opened = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    opened.check()
    with sqlite3.connect(tmp_path / "ledger.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with opened._database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_the_tables_hold_utc_and_exact_types_on_postgres(postgres_database: PostgresDatabase) -> None:
    opened = Ledger(postgres_database.url)
    opened.record_seen([FIRST], now=NOW)
    opened.close()
    types = dict(
        postgres_database.rows(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'landing_objects'"
        )
    )
    assert types["last_modified"] == types["first_seen_at"] == "timestamp with time zone"
    assert (types["business_date"], types["size"], types["id"], types["uri"]) == ("date", "bigint", "bigint", "text")


def test_the_ledger_leaves_no_connection_open_after_close(postgres_database: PostgresDatabase) -> None:
    opened = Ledger(postgres_database.url)
    opened.check()
    opened.close()
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'etl-platform ledger' AND datname = %s"
    with psycopg.connect(postgres_database.url, autocommit=True) as eye:
        # A server process ends a moment after its client has gone.
        eventually(lambda: eye.execute(query, (postgres_database.name,)).fetchone() == (0,))
