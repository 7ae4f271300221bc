"""After any fault in the middle of a load the table is one committed version, and a rerun converges."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
import pytest

from etl_platform.contracts.table import Column, Table
from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.retries import Retries
from etl_platform.stores.postgres.load import PostgresLoad
from etl_platform.stores.postgres.locks import lock_partitions
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows, stored
from etl_platform_tests.support.postgres import (
    PostgresDatabase,
    postgres_database,  # noqa: F401
    postgres_server,  # noqa: F401
    run_postgres_server,
)
from etl_platform_tests.support.postgres_proxy import Cut, run_proxy
from etl_platform_tests.support.postgres_store import new_store, open_store
from etl_platform_tests.support.quick import QUICK

PATIENT = Retries(attempts=20, first_wait_seconds=0.2, longest_wait_seconds=1)
OLD, NEW = rows(key(0)), rows(key(0), start=100, count=40_000)
MORE = rows(key(0), start=100_000, count=40_000)

_LOADER = """
import sys, time
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows
from etl_platform_tests.support.postgres_store import open_store

def endless():
    for start in range(0, 10**9, 40_000):
        yield from batches(rows(key(0), start=start, count=40_000))
        print("sent", flush=True)

open_store(sys.stdin.readline().strip()).replace(SAMPLES, [key(0)], endless())
"""


def test_a_loader_killed_in_the_middle_leaves_the_old_rows(
    postgres_database: PostgresDatabase,
) -> None:
    store = new_store(postgres_database.url, retries=PATIENT)
    store.replace(SAMPLES, [key(0)], batches(OLD))
    process = subprocess.Popen(
        [sys.executable, "-c", _LOADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(postgres_database.url + "\n")
        process.stdin.flush()
        assert process.stdout.readline() and process.stdout.readline(), "the loader is in its second batch"
        process.send_signal(signal.SIGKILL)
    assert stored(store, [key(0)]).equals(OLD)
    store.replace(SAMPLES, [key(0)], batches(NEW))
    assert stored(store, [key(0)]).equals(NEW)


def test_a_server_that_crashes_during_copy_is_given_all_rows_once_it_is_back() -> None:
    with run_postgres_server() as server:
        database = server.new_database()
        store = new_store(database.url, retries=PATIENT)
        store.replace(SAMPLES, [key(0)], batches(OLD))

        def crashing() -> Iterator[pa.RecordBatch]:
            yield from batches(NEW)
            query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'etl-platform' AND datname = %s"
            ((process_id,),) = database.rows(query, (database.name,))
            # A killed backend takes the whole server through crash recovery.
            os.kill(process_id, signal.SIGKILL)
            yield from batches(MORE)

        store.replace(SAMPLES, [key(0)], crashing())
        assert stored(store, [key(0)]).equals(pl.concat([NEW, MORE]))


CATEGORIZED = replace(SAMPLES, columns=(*SAMPLES.columns, Column("kind", pl.Categorical(), False, "Kind.")))
"""Loaded over the other driver."""


def _batches(frame: pl.DataFrame, table: Table) -> list[pa.RecordBatch]:
    (batch,) = batches(frame)
    kinds = pa.array(["a"] * frame.height).cast(CATEGORIZED.arrow_schema.field("kind").type)
    return [batch if table is SAMPLES else batch.append_column("kind", kinds)]


@pytest.mark.parametrize("table", [SAMPLES, CATEGORIZED], ids=["COPY", "Arrow driver"])
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_restarted_during_copy_is_given_all_rows_again(
    mode: Literal["fast", "immediate"], table: Table
) -> None:
    with run_postgres_server() as server:
        store = new_store(server.new_database().url, retries=PATIENT)
        store.replace(table, [key(0)], _batches(OLD, table))

        def interrupted() -> Iterator[pa.RecordBatch]:
            yield from _batches(NEW, table)
            server.restart(mode)
            yield from _batches(MORE, table)

        store.replace(table, [key(0)], interrupted())
        columns = SAMPLES.arrow_schema.names
        assert stored(store, [key(0)], table=table, columns=columns).equals(pl.concat([NEW, MORE]))


def test_a_server_away_while_a_load_runs_is_outlasted_and_one_that_stays_away_is_named() -> None:
    with run_postgres_server() as server:
        store = new_store(server.new_database().url, retries=PATIENT)
        store.replace(SAMPLES, [key(0)], batches(OLD))
        threads: list[threading.Timer] = []

        def interrupted() -> Iterator[pa.RecordBatch]:
            yield from batches(NEW)
            start = server.stop()
            threads.append(threading.Timer(1.5, start))
            threads[0].start()
            yield from batches(MORE)

        store.replace(SAMPLES, [key(0)], interrupted())
        threads[0].join()
        assert stored(store, [key(0)]).equals(pl.concat([NEW, MORE]))
        store.probe()

        start = server.stop()
        hasty = open_store(store._server.url.get_secret_value(), retries=QUICK)
        with pytest.raises(
            StorageUnavailableError, match=r"gave up after 5 tries in 0\.\d+ s; last answer: "
        ) as caught:
            hasty.replace(SAMPLES, [key(0)], batches(NEW))
        assert (caught.value.service, caught.value.tries) == ("warehouse", 5) and caught.value.seconds > 0
        for use in (hasty.probe, lambda: list(hasty.read(SAMPLES, [key(0)]))):
            with pytest.raises(StorageUnavailableError) as caught:
                use()
            assert caught.value.service == "warehouse"
        start()
        hasty.probe()
        assert stored(hasty, [key(0)]).equals(pl.concat([NEW, MORE]))


def test_a_reader_whose_first_answer_is_lost_asks_again_and_one_in_the_middle_is_told(
    postgres_database: PostgresDatabase,
) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], batches(NEW, rows(key(0), start=200_000, count=200_000)))
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    reading = store.read(SAMPLES, [key(0)])
    next(reading)
    postgres_database.rows(end, (postgres_database.name,))
    with pytest.raises(StorageUnavailableError) as caught:
        list(reading)
    assert caught.value.service == "warehouse"
    with postgres_database.connect(autocommit=False) as other:
        other.execute("LOCK TABLE institution_a.samples")
        seen: list[pl.DataFrame] = []
        patient = open_store(postgres_database.url, retries=PATIENT)
        thread = threading.Thread(target=lambda: seen.append(stored(patient, [key(0)])))
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        while postgres_database.rows(waiting, (postgres_database.name,)) == [(0,)]:
            time.sleep(0.01)
        postgres_database.rows(f"{end} AND wait_event_type = 'Lock'", (postgres_database.name,))
    thread.join()
    assert seen[0].height == 240_000


def test_a_silent_server_is_found_out_by_a_probe_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = open_store(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/d")
        begun = time.monotonic()
        with pytest.raises(StorageUnavailableError) as caught:
            store.probe()
        assert time.monotonic() - begun < 8 and caught.value.service == "warehouse"


@contextmanager
def _small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size; only root may make one."""
    folder.mkdir()
    options = [f"size={megabytes}m,mode=0777"]
    mount = ["mount", "-t", "tmpfs", "-o", *options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if done is None or done.returncode:
        pytest.skip(f"a full disk needs the right to mount a small one ({done.stderr.strip() if done else 'no mount'})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("table", [SAMPLES, CATEGORIZED], ids=["COPY", "Arrow driver"])
def test_a_full_disk_is_named_and_leaves_the_old_rows(table: Table) -> None:
    # Not below the test's own folder, which the server's account may not enter.
    with (
        tempfile.TemporaryDirectory(prefix="small-disk-") as name,
        _small_disk(Path(name) / "disk", megabytes=24) as disk,
        run_postgres_server() as server,
    ):
        Path(name).chmod(0o755)
        database = server.new_database()
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(4 * 2**20))
        (disk / "space").mkdir()
        shutil.chown(disk / "space", Path(database.rows("SHOW data_directory")[0][0]).owner())
        with database.connect() as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{disk / 'space'}'".encode())
            connection.execute("GRANT CREATE ON TABLESPACE small TO PUBLIC")
        store = new_store(f"{database.url}?options=-c%20default_tablespace%3Dsmall")
        store.replace(table, [key(0)], _batches(OLD, table))
        with pytest.raises(StorageError, match=r"53100.*No space left.*free space on the database server's disk"):
            store.replace(table, [key(0)], itertools.chain(*(_batches(NEW, table) for _ in range(6))))
        columns = SAMPLES.arrow_schema.names
        assert stored(store, [key(0)], table=table, columns=columns).equals(OLD)
        ballast.unlink()
        store.replace(table, [key(0)], _batches(OLD[:3], table))
        assert stored(store, [key(0)], table=table, columns=columns).equals(OLD[:3])


@pytest.mark.parametrize("cut", ["before the server hears it", "after the server did it"])
def test_a_lost_answer_to_commit_is_read_back_and_a_lost_commit_repeated(
    cut: Cut,
    postgres_database: PostgresDatabase,
) -> None:
    direct = new_store(postgres_database.url)
    direct.replace(SAMPLES, [key(0)], batches(OLD))
    with run_proxy(postgres_database.server, cut) as proxy:
        store = open_store(proxy.url_of(postgres_database.name), retries=PATIENT)
        assert store.replace(SAMPLES, [key(0)], iter(batches(NEW))).rows == NEW.height
        assert proxy.cuts == 1
    assert stored(direct, [key(0)]).equals(NEW)
    loads = postgres_database.rows("SELECT count(*) FROM institution_a._loads")[0][0]
    assert loads == 2, "the old rows' and one of the new: what was committed is not loaded again"


def test_an_outcome_that_cannot_be_asked_is_said_to_be_unknown(
    postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = new_store(postgres_database.url)
    direct.replace(SAMPLES, [key(0)], batches(OLD))
    with run_proxy(postgres_database.server, "after the server did it") as proxy:
        store = open_store(proxy.url_of(postgres_database.name), lock_seconds=0.05)
        ask = PostgresLoad._is_committed

        def ask_a_busy_server(load: PostgresLoad, token: uuid.UUID) -> bool:
            with postgres_database.connect(autocommit=False) as other:
                lock_partitions(other, [("institution_a", SAMPLES.name, key(0))])
                return ask(load, token)

        monkeypatch.setattr(PostgresLoad, "_is_committed", ask_a_busy_server)
        with pytest.raises(StorageUnavailableError, match=r"outcome cannot be asked.*either outcome leads to the same"):
            store.replace(SAMPLES, [key(0)], batches(NEW))
    assert stored(direct, [key(0)]).equals(NEW)
    assert postgres_database.rows("SELECT count(*) FROM institution_a._loads") == [(2,)], "not loaded in doubt"
    direct.replace(SAMPLES, [key(0)], batches(NEW))
    assert stored(direct, [key(0)]).equals(NEW)


@pytest.mark.parametrize("writers", [2, 16])
def test_concurrent_writers_of_one_partition_leave_the_version_of_one(
    writers: int,
    postgres_database: PostgresDatabase,
) -> None:
    store = new_store(postgres_database.url)
    versions = [rows(key(0), start=1_000 * number, count=100 + number) for number in range(writers)]
    failures: list[BaseException] = []
    barrier = threading.Barrier(writers)

    def write(version: pl.DataFrame) -> None:
        try:
            barrier.wait(30)
            store.replace(SAMPLES, [key(0)], batches(version[:50], version[50:]))
        except BaseException as error:
            failures.append(error)

    _run_together([threading.Thread(target=write, args=(version,)) for version in versions])
    assert not failures
    found = stored(store, [key(0)])
    assert any(found.equals(version) for version in versions), "a mixture of versions"


def test_writers_of_overlapping_partitions_do_not_deadlock(
    postgres_database: PostgresDatabase,
) -> None:
    store = new_store(postgres_database.url, retries=Retries(attempts=1))
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0], [3, 1]]
    failures: list[BaseException] = []

    def write(writer: int, days: list[int]) -> None:
        keys = [key(day) for day in days]
        try:
            for attempt in range(5):
                start = 1_000 * writer + 100 * attempt
                store.replace(SAMPLES, keys, batches(*(rows(each, start=start) for each in keys)))
        except BaseException as error:
            failures.append(error)

    _run_together([threading.Thread(target=write, args=(n, days)) for n, days in enumerate(orders)])
    assert not failures
    for day in range(4):
        first = stored(store, [key(day)])["id"].min()
        assert isinstance(first, int) and stored(store, [key(day)]).equals(rows(key(day), start=first))


def test_a_writer_that_waits_too_long_gives_up_cleanly(
    postgres_database: PostgresDatabase,
) -> None:
    store = new_store(postgres_database.url, lock_seconds=0.05)
    store.replace(SAMPLES, [key(0)], batches(OLD))
    with postgres_database.connect(autocommit=False) as other:
        lock_partitions(other, [("institution_a", SAMPLES.name, key(0))])
        with pytest.raises(StorageUnavailableError, match=r"55P03.*another run holds the lock"):
            store.replace(SAMPLES, [key(0)], batches(NEW))
        store.replace(SAMPLES, [key(1)], batches(rows(key(1))))
    assert stored(store, [key(0)]).equals(OLD)
    store.replace(SAMPLES, [key(0)], batches(NEW))
    assert stored(store, [key(0)]).equals(NEW)


def _run_together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
