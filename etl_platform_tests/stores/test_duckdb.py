"""The DuckDB file: one process at a time, tables that follow their contracts, views of the latest delivery."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from etl_platform.contracts.table import Column, Table
from etl_platform.errors import SchemaMismatchError, StorageError, StorageUnavailableError, UnknownNameError
from etl_platform.stores.duckdb import store as duckdb_module
from etl_platform.stores.duckdb import tables as duckdb_tables
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform_tests.stores.stores import SCHEMAS
from etl_platform_tests.stores.tables import SAMPLES, TOTALS, A, B, batches, key, rows, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def warehouse(path: Path) -> DuckDBStore:
    return DuckDBStore(path, SCHEMAS)


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(path) as connection:
        return connection.execute(sql).fetchall()


@contextmanager
def other_process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has printed its first line; it ends when its stdin closes."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.stdin.close()


_WRITER = """
import sys
from pathlib import Path
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows

store = DuckDBStore(Path(sys.argv[1]), {"institution_b": "institution_b"})
print("ready", flush=True)
sys.stdin.readline()
for n in range(8):
    store.replace(SAMPLES, [key(n % 4, "institution_b")], batches(rows(key(n % 4, "institution_b"))))
"""


def test_two_processes_wait_for_each_other_and_lose_nothing(warehouse: DuckDBStore, path: Path) -> None:
    with other_process(_WRITER, str(path)) as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        for n in range(8):
            warehouse.replace(SAMPLES, [key(n % 4)], batches(rows(key(n % 4))))
            assert stored(warehouse, [key(n % 4)]).equals(rows(key(n % 4)))
    assert process.returncode == 0
    for institution in (A, B):
        partitions = [key(day, institution) for day in range(4)]
        assert stored(warehouse, partitions).equals(pl.concat(map(rows, partitions)))


_HOLDER = """
import sys
from pathlib import Path
from etl_platform.stores.duckdb.file import DuckDBFile

with DuckDBFile(Path(sys.argv[1]), 5).connection() as connection:
    connection.execute("CREATE TABLE half (id INTEGER)")
    print("ready", flush=True)
    sys.stdin.readline()
"""
_STRANGER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("program", [_HOLDER, _STRANGER], ids=["one of us", "another program"])
def test_who_waits_too_long_is_told_the_file_and_its_holder(path: Path, program: str) -> None:
    with other_process(program, str(path)) as process:
        impatient = DuckDBStore(path, SCHEMAS, wait_seconds=0.2)
        for use in (
            lambda: impatient.replace(SAMPLES, [key(0)], batches(rows(key(0)))),
            lambda: list(impatient.read(SAMPLES, [key(0)])),
        ):
            with pytest.raises(StorageUnavailableError) as caught:
                use()
            assert str(path) in str(caught.value) and str(process.pid) in str(caught.value)
    impatient.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert stored(impatient, [key(0)]).equals(rows(key(0)))


_READER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
print("ready", flush=True)
sys.stdin.readline()
"""


def test_who_waits_behind_one_who_waits_is_told_of_every_reader(warehouse: DuckDBStore, path: Path) -> None:
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    patient, failed = DuckDBStore(path, SCHEMAS, wait_seconds=3), list[Exception]()

    def load() -> None:
        try:
            patient.replace(SAMPLES, [key(1)], batches(rows(key(1))))
        except StorageUnavailableError as error:
            failed.append(error)

    with other_process(_READER, str(path)) as one, other_process(_READER, str(path)) as other:
        thread = threading.Thread(target=load)
        thread.start()
        while not Path(f"{path}.holder").exists():
            time.sleep(0.01)
        with pytest.raises(StorageUnavailableError) as caught:
            warehouse.probe()
        thread.join()
        for told in (str(caught.value), str(failed[0])):
            assert all(f"process {reader.pid} of " in told for reader in (one, other)) and "read_only=True" in told
    patient.replace(SAMPLES, [key(1)], batches(rows(key(1))))


@pytest.mark.parametrize("program", [_HOLDER, _STRANGER], ids=["one of us", "another program"])
def test_a_probe_says_at_once_whether_the_file_is_free(path: Path, program: str) -> None:
    warehouse = DuckDBStore(path, SCHEMAS, wait_seconds=60, service="the warehouse")
    warehouse.probe()
    assert not path.exists()
    with other_process(program, str(path)) as process:
        begun = time.monotonic()
        with pytest.raises(StorageUnavailableError, match=str(process.pid)) as caught:
            warehouse.probe()
        assert caught.value.service == "the warehouse" and time.monotonic() - begun < 5
    warehouse.probe()


def test_a_killed_writer_blocks_nobody_and_leaves_the_old_rows(warehouse: DuckDBStore, path: Path) -> None:
    program = _HOLDER.replace(
        'connection.execute("CREATE TABLE half (id INTEGER)")',
        'connection.begin(); connection.execute("DELETE FROM institution_a.samples")',
    )
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    with other_process(program, str(path)) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert stored(warehouse, [key(0)]).equals(rows(key(0)))
    warehouse.replace(SAMPLES, [key(0)], [])
    assert stored(warehouse, [key(0)]).is_empty()


def test_rows_live_in_the_schema_of_their_institution(warehouse: DuckDBStore, path: Path) -> None:
    warehouse.replace(SAMPLES, [key(0), key(0, B)], batches(rows(key(0)), rows(key(0, B))))
    warehouse.replace(TOTALS, [key(0, None)], batches(rows(key(0, None), table=TOTALS), table=TOTALS))
    for schema in (A, B):
        assert query(path, f"SELECT DISTINCT institution FROM {schema}.samples") == [(schema,)]
    assert query(path, "SELECT count(*) FROM shared.totals") == [(6,)]


@pytest.mark.parametrize("joined", [0, 2**14, 2**20])
def test_many_small_partitions_are_stored_in_the_order_of_their_keys(
    warehouse: DuckDBStore, path: Path, monkeypatch: pytest.MonkeyPatch, joined: int
) -> None:
    monkeypatch.setattr(duckdb_module, "DUCKDB_JOINED_BYTES", joined)
    parts = [rows(key(day), start=day * 2000, count=size) for day, size in ((3, 3), (1, 2000), (0, 1), (2, 100))]
    warehouse.replace(SAMPLES, [key(day) for day in range(5)], batches(pl.concat(parts).sample(fraction=1, seed=1)))
    with duckdb.connect(path, read_only=True) as connection:
        found = connection.execute(f"SELECT business_date FROM {A}.samples").fetchall()
    assert [day for (day,) in found] == sorted(day for part in parts for day in part["business_date"])
    assert stored(warehouse, [key(day) for day in range(5)]).equals(pl.concat(parts).sort("business_date", "id"))


def test_types_and_descriptions_are_those_of_the_table(warehouse: DuckDBStore, path: Path) -> None:
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    columns = query(path, "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'samples'")
    found = {row[0]: row[1] for row in columns}
    assert found["amount"] == "DECIMAL(18,8)" and found["big"] == "DECIMAL(38,2)"
    assert found["at"] == "TIMESTAMP WITH TIME ZONE" and found["rules"] == "VARCHAR[]"
    assert query(path, "SELECT comment FROM duckdb_tables() WHERE table_name = 'samples'") == [(SAMPLES.description,)]


def test_columns_are_described_also_where_an_earlier_process_ended_before_it_came_to_them(
    warehouse: DuckDBStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = replace(SAMPLES, columns=tuple(replace(c, description=f"What {c.name} is.") for c in SAMPLES.columns))
    monkeypatch.setattr(duckdb_tables, "COMMENTS_AT_ONCE", 2)
    warehouse.replace(described, [key(0)], batches(rows(key(0))))
    comments = "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'samples'"
    assert set(query(path, comments)) == {(c.name, c.description) for c in described.columns}

    query(path, f'COMMENT ON COLUMN {A}.samples."amount" IS NULL')
    query(path, f"COMMENT ON COLUMN {A}.samples.\"big\" IS 'a person''s own words'")
    warehouse.replace(described, [key(0)], batches(rows(key(0))))
    found: dict[object, object] = {row[0]: row[1] for row in query(path, comments)}
    assert (found["amount"], found["big"]) == ("What amount is.", "a person's own words")


def test_an_institution_without_schema_is_refused_with_the_known_ones(warehouse: DuckDBStore) -> None:
    with pytest.raises(UnknownNameError, match=r"institution_c.*institution_a or institution_b"):
        warehouse.replace(SAMPLES, [key(0, "institution_c")], [])


def with_column(column: Column) -> Table:
    kept = tuple(c for c in SAMPLES.columns if c.name != column.name)
    return replace(SAMPLES, columns=(column, *kept))


def test_a_nullable_column_that_the_contract_gained_is_added(warehouse: DuckDBStore, path: Path) -> None:
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    gained = with_column(Column("venue", pl.String(), True, "New."))
    assert stored(warehouse, [key(0)], table=gained)["venue"].null_count() == 6
    frame = rows(key(1)).select(pl.lit("XNYS").alias("venue"), pl.all())
    warehouse.replace(gained, [key(1)], batches(frame, table=gained))
    assert stored(warehouse, [key(1)], table=gained).equals(frame)
    assert stored(warehouse, [key(0)], table=gained).drop("venue").equals(rows(key(0)))
    assert query(path, "SELECT count(venue) FROM institution_a.samples_current") == [(6,)]


@pytest.mark.parametrize(
    ("changed", "difference", "statement"),
    [
        (
            with_column(Column("amount", pl.Decimal(20, 8), True, "")),
            "amount is DECIMAL(18,8) instead of DECIMAL(20,8)",
            'ALTER TABLE "institution_a"."samples" ALTER COLUMN "amount" SET DATA TYPE DECIMAL(20,8);',
        ),
        (
            with_column(Column("text", pl.String(), False, "")),
            "text allows null",
            'ALTER TABLE "institution_a"."samples" ALTER COLUMN "text" SET NOT NULL;',
        ),
        (
            with_column(Column("id", pl.Int64(), True, "")),
            "id forbids null",
            'ALTER TABLE "institution_a"."samples" ALTER COLUMN "id" DROP NOT NULL;',
        ),
        (
            with_column(Column("venue", pl.String(), False, "")),
            "venue is missing and must not be null",
            'ALTER TABLE "institution_a"."samples" ADD COLUMN "venue" VARCHAR;',
        ),
        (
            replace(SAMPLES, columns=tuple(c for c in SAMPLES.columns if c.name != "flag")),
            "flag is not in the contract",
            'ALTER TABLE "institution_a"."samples" DROP COLUMN "flag";',
        ),
    ],
)
def test_every_other_difference_is_refused_with_the_statement_that_settles_it(
    warehouse: DuckDBStore, changed: Table, difference: str, statement: str
) -> None:
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    for use in (lambda: warehouse.replace(changed, [key(0)], []), lambda: list(warehouse.read(changed, [key(0)]))):
        with pytest.raises(SchemaMismatchError) as caught:
            use()
        assert difference in str(caught.value) and statement in str(caught.value)
    assert stored(warehouse, [key(0)]).equals(rows(key(0)))


@pytest.mark.parametrize("name", ["amount", "id", "flag"])
def test_the_statement_of_the_message_settles_the_difference(warehouse: DuckDBStore, path: Path, name: str) -> None:
    changes = {
        "amount": with_column(Column("amount", pl.Decimal(20, 8), True, "")),
        "id": with_column(Column("id", pl.Int64(), True, "")),
        "flag": replace(SAMPLES, columns=tuple(c for c in SAMPLES.columns if c.name != "flag")),
    }
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    with pytest.raises(SchemaMismatchError) as caught:
        warehouse.replace(changes[name], [key(0)], [])
    query(path, caught.value.next_step.partition(": ")[2])
    warehouse.replace(changes[name], [key(0)], [])


def test_the_current_view_shows_the_latest_delivery_of_each_key(warehouse: DuckDBStore, path: Path) -> None:
    older, newer = rows(key(0), count=4), rows(key(1), start=2, count=4)
    warehouse.replace(SAMPLES, [key(1), key(0)], batches(newer, older))
    found = query(path, "SELECT id, CAST(business_date AS VARCHAR) FROM institution_a.samples_current ORDER BY id")
    assert found == [(n, "2025-01-13" if n < 2 else "2025-01-14") for n in range(6)]


def test_the_current_view_follows_the_declared_key(warehouse: DuckDBStore, path: Path) -> None:
    """The old one would hide rows that the new key tells apart."""
    warehouse.replace(SAMPLES, [key(0), key(1)], batches(rows(key(0), count=4), rows(key(1), count=4)))
    warehouse.replace(replace(SAMPLES, key=("id", "business_date")), [key(2)], [])
    assert query(path, "SELECT count(*) FROM institution_a.samples_current") == [(8,)]
    warehouse.replace(replace(SAMPLES, key=()), [key(2)], batches(rows(key(2), count=1)))
    assert query(path, "SELECT count(*) FROM institution_a.samples_current") == [(9,)]


def test_shared_tables_and_tables_without_key_have_no_current_view(warehouse: DuckDBStore, path: Path) -> None:
    warehouse.replace(TOTALS, [key(0, None)], [])
    warehouse.replace(replace(SAMPLES, key=()), [key(0)], [])
    assert query(path, "SELECT view_name FROM duckdb_views() WHERE NOT internal") == []


def test_a_file_that_is_no_database_is_refused_by_name(warehouse: DuckDBStore, path: Path) -> None:
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(StorageError, match=r"warehouse\.duckdb"):
        warehouse.replace(SAMPLES, [key(0)], [])
    with pytest.raises(StorageError, match=r"warehouse\.duckdb"):
        list(warehouse.read(SAMPLES, [key(0)]))


def test_reading_creates_no_file(warehouse: DuckDBStore, path: Path) -> None:
    assert list(warehouse.read(SAMPLES, [key(0)])) == []
    assert not path.exists()


def test_a_reader_that_takes_its_time_keeps_nobody_waiting(warehouse: DuckDBStore, path: Path) -> None:
    warehouse.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    reader = warehouse.read(SAMPLES, [key(0)])
    next(reader)
    DuckDBStore(path, SCHEMAS, wait_seconds=0).replace(SAMPLES, [key(0)], [])
