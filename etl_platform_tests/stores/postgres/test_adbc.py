"""Tables with types that the fast encoder lacks go over the Arrow driver, under every promise of the others."""

from __future__ import annotations

import datetime as dt
import threading
import traceback
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.table import Column, Table
from etl_platform.errors import ConfigurationError, SchemaMismatchError, StorageError, StorageUnavailableError
from etl_platform.gold.graph import gold_graph
from etl_platform.stores.postgres import load as load_module
from etl_platform.stores.postgres.adbc import needs_arrow_driver
from etl_platform.stores.postgres.locks import lock_partitions
from etl_platform_tests.stores.tables import SAMPLES, A, B, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_proxy import Cut, run_proxy
from etl_platform_tests.support.postgres_store import IMPATIENT, new_store, open_store

NANOSECONDS = 1_000_000_000
LAST_NANOSECOND = 9_223_372_036_854_775_000
"""In whole microseconds, of the year 2262."""

LACKING: dict[str, tuple[pl.DataType, Sequence[Any]]] = {
    "instant": (pl.Datetime("ns", "UTC"), [0, -1_000, -LAST_NANOSECOND, LAST_NANOSECOND, None]),
    "wall_clock": (pl.Datetime("ns"), [0, -1_000, 1_700_000_000_123_456_000, None]),
    "category": (pl.Categorical(), ["", "ü'\"\\N{}", "b", None, "b"]),
    "choice": (pl.Enum(["z", "a", "never used"]), ["a", "z", None, "a"]),
    "time": (pl.Time(), [dt.time(0), dt.time(23, 59, 59, 999_999), None]),
}


def _table_of(*names: str) -> Table:
    """SAMPLES, which holds all other types, with those columns of LACKING in the middle."""
    added = (Column(name, LACKING[name][0], True, name) for name in names)
    return replace(SAMPLES, columns=(*SAMPLES.columns[:2], *added, *SAMPLES.columns[2:]))


EXOTIC = _table_of(*LACKING)


def _rows(partition: Any = None, *, table: Table = EXOTIC, start: int = 0, count: int = 6) -> pl.DataFrame:
    def series(name: str) -> pl.Series:
        dtype, values = LACKING[name]
        return pl.Series(name, [values[n % len(values)] for n in range(count)]).cast(dtype)

    added = [series(column.name) for column in table.columns if column.name in LACKING]
    return rows(partition or key(0), start=start, count=count).with_columns(added).select(table.arrow_schema.names)


def _batches(*frames: pl.DataFrame, table: Table = EXOTIC) -> list[pa.RecordBatch]:
    oldest = pl.CompatLevel.oldest()
    plain = [frame.to_arrow(compat_level=oldest).cast(table.arrow_schema).combine_chunks() for frame in frames]
    return [batch for data in plain for batch in data.to_batches()]


OLD, NEW = _rows(), _rows(start=100, count=400)


def test_only_tables_with_such_a_type_take_the_slower_way() -> None:
    assert all(needs_arrow_driver(_table_of(name)) for name in LACKING)
    tables = [SAMPLES, *gold_graph().tables.values(), *(contract.silver for contract in BUILT_IN.values())]
    assert not any(map(needs_arrow_driver, tables))


@pytest.mark.parametrize("name", LACKING)
def test_each_type_comes_back_exactly(
    name: str, postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "copy_rows", None)
    table = _table_of(name)
    store, frame = new_store(postgres_database.url), _rows(table=table)
    written = store.replace(table, [key(0)], _batches(frame[:4], frame[4:], table=table))
    found = stored(store, [key(0)], table=table)
    assert written.rows == 6 and found.schema == table.polars_schema
    assert found.equals(frame)


def test_values_are_what_sql_sees(postgres_database: PostgresDatabase) -> None:
    new_store(postgres_database.url).replace(EXOTIC, [key(0)], _batches(OLD))
    query = (
        "SELECT extract(epoch FROM instant) * 1000000, category, choice, time FROM institution_a.samples ORDER BY id"
    )
    found = postgres_database.rows(query)
    first = [value if value is None else value // 1000 for value in LACKING["instant"][1]]
    expected = zip(
        (first[n % 5] for n in range(6)), *(OLD[name].to_list() for name in ("category", "choice", "time")), strict=True
    )
    assert found == list(expected)


def test_rows_meet_their_columns_by_name(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(1)], batches(rows(key(1))))
    # Postgres adds the gained columns at the end; the contract has them in the middle.
    store.replace(EXOTIC, [key(0)], _batches(OLD))
    assert stored(store, [key(0)], table=EXOTIC).equals(OLD)
    assert stored(store, [key(1)], table=EXOTIC).select(SAMPLES.arrow_schema.names).equals(rows(key(1)))


def test_a_replace_is_recorded_under_its_token_and_replaces_only_its_partitions(
    postgres_database: PostgresDatabase,
) -> None:
    store = new_store(postgres_database.url)
    kept = _rows(key(1))
    store.replace(EXOTIC, [key(0), key(1)], _batches(OLD, kept))
    written = store.replace(EXOTIC, [key(0)], _batches(NEW))
    assert stored(store, [key(0)], table=EXOTIC).equals(NEW)
    assert stored(store, [key(1)], table=EXOTIC).equals(kept)
    query = "SELECT table_name, partitions, row_count FROM institution_a._loads WHERE token = %s"
    token = uuid.UUID(str(written.details["load_token"]))
    assert postgres_database.rows(query, (token,)) == [("samples", [str(key(0))], NEW.height)]
    assert store.replace(EXOTIC, [key(0)], []).rows == 0
    assert stored(store, [key(0), key(1)], table=EXOTIC).equals(kept)


def test_each_institution_s_rows_are_written_under_its_own_role(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    others = _rows(key(0, B))
    store.replace(EXOTIC, [key(0, A), key(0, B)], _batches(pl.concat([OLD, others])))
    assert stored(store, [key(0, A)], table=EXOTIC).equals(OLD)
    assert stored(store, [key(0, B)], table=EXOTIC).equals(others)
    query = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'samples' ORDER BY 1"
    assert postgres_database.rows(query) == [("etl_institution_a",), ("etl_institution_b",)]
    store._role = lambda schema: "etl_institution_a"  # type: ignore[method-assign]
    with pytest.raises(Exception, match=r"42501.*warehouse init"):
        store.replace(EXOTIC, [key(0, B)], [])


def test_a_failure_between_batches_leaves_the_old_rows_and_keeps_its_type(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(EXOTIC, [key(0)], _batches(OLD))

    def failing() -> Iterator[pa.RecordBatch]:
        yield from _batches(NEW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.replace(EXOTIC, [key(0)], failing())
    assert stored(store, [key(0)], table=EXOTIC).equals(OLD)
    assert postgres_database.rows("SELECT count(*) FROM institution_a._loads") == [(1,)]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("instant", 1, "between two microseconds"),
        ("wall_clock", -1, "between two microseconds"),
        ("time", 1, "between two microseconds"),
        ("category", "a\0b", "1 values with a NUL character"),
    ],
)
def test_what_postgres_would_change_is_refused_by_column(
    name: str, value: Any, words: str, postgres_database: PostgresDatabase
) -> None:
    store = new_store(postgres_database.url)
    store.replace(EXOTIC, [key(0)], _batches(OLD))
    poisoned = NEW.with_columns(pl.Series(name, [value] * NEW.height).cast(LACKING[name][0]))
    words = words.replace("1 values", f"{NEW.height} values")
    with pytest.raises(SchemaMismatchError, match=f"silver/samples column {name}: .*{words}"):
        store.replace(EXOTIC, [key(0)], _batches(NEW, poisoned))
    assert stored(store, [key(0)], table=EXOTIC).equals(OLD)


def test_a_type_that_postgres_cannot_hold_is_refused_before_anything_is_made(
    postgres_database: PostgresDatabase,
) -> None:
    for dtype in (pl.Duration("ns"), pl.Null(), pl.Struct({"a": pl.Int64()})):
        table = replace(SAMPLES, columns=(*SAMPLES.columns, Column("extra", dtype, True, "Odd.")))
        with pytest.raises(ConfigurationError, match="no SQL type of postgres"):
            new_store(postgres_database.url).replace(table, [key(0)], [])
    assert postgres_database.rows("SELECT to_regclass('institution_a.samples')") == [(None,)]


def test_a_writer_waits_for_the_lock_of_its_partition(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(EXOTIC, [key(0)], _batches(OLD))
    hurried = open_store(postgres_database.url, lock_seconds=0.05)
    with postgres_database.connect(autocommit=False) as other:
        lock_partitions(other, [("institution_a", EXOTIC.name, key(0))])
        with pytest.raises(StorageUnavailableError, match=r"55P03.*another run holds the lock"):
            hurried.replace(EXOTIC, [key(0)], _batches(NEW))
        waiting = threading.Thread(target=store.replace, args=(EXOTIC, [key(0)], _batches(NEW)))
        waiting.start()
    waiting.join()
    assert stored(store, [key(0)], table=EXOTIC).equals(NEW)


@pytest.mark.parametrize("table", [SAMPLES, EXOTIC], ids=["COPY", "Arrow driver"])
def test_a_refused_row_is_not_quoted(table: Table, postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(table, [key(0)], [])
    with postgres_database.connect() as connection:
        connection.execute("ALTER TABLE institution_a.samples ADD CONSTRAINT mine CHECK (text <> 'of a\ntenant')")
    told = {name: LACKING[name][0] for name in LACKING if name in table.arrow_schema.names}
    frame = rows(key(0)).with_columns(text=pl.lit("of a\ntenant"), **{n: pl.lit(None, d) for n, d in told.items()})
    with pytest.raises(StorageError, match=r"23514.*violates check constraint \"mine\"") as caught:
        store.replace(table, [key(0)], _batches(frame.select(table.arrow_schema.names), table=table))
    assert "tenant" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("cut", ["before the server hears it", "after the server did it"])
def test_a_lost_answer_to_commit_is_read_back_and_a_lost_commit_repeated(
    cut: Cut, postgres_database: PostgresDatabase
) -> None:
    direct = new_store(postgres_database.url)
    direct.replace(EXOTIC, [key(0)], _batches(OLD))
    with run_proxy(postgres_database.server, cut) as proxy:
        store = open_store(proxy.url_of(postgres_database.name), retries=replace(IMPATIENT, attempts=20))
        assert store.replace(EXOTIC, [key(0)], iter(_batches(NEW))).rows == NEW.height
        assert proxy.cuts == 1
    assert stored(direct, [key(0)], table=EXOTIC).equals(NEW)
    loads = postgres_database.rows("SELECT count(*) FROM institution_a._loads")[0][0]
    assert loads == 2, "the old rows' and one of the new: what was committed is not loaded again"
