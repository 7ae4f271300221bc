"""The form of tables: made from the contract, follows it where that is safe, refuses with the statement where not."""

from __future__ import annotations

import threading
from dataclasses import replace

import polars as pl
import pytest

from etl_platform.contracts.table import Column, Table
from etl_platform.errors import SchemaMismatchError
from etl_platform_tests.stores.tables import SAMPLES, TOTALS, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store

NOTE = Column("note", pl.String(), True, "What the contract gained: it's text.")


def _with_columns(*columns: Column) -> Table:
    return replace(SAMPLES, columns=columns)


def test_table_carries_the_contract_s_comments_types_and_index(postgres_database: PostgresDatabase) -> None:
    new_store(postgres_database.url).replace(SAMPLES, [key(0)], [])
    query = (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum) "
        "FROM pg_attribute WHERE attrelid = 'institution_a.samples'::regclass AND attnum > 0 ORDER BY attnum"
    )
    columns = {name: facts for name, *facts in postgres_database.rows(query)}
    assert list(columns) == [column.name for column in SAMPLES.columns]
    assert columns["amount"] == ["numeric(18,8)", False, "Money."]
    assert columns["at"] == ["timestamp with time zone", False, "Instant with microseconds."]
    assert columns["id"] == ["bigint", True, "Number of the row."]
    ((index,),) = postgres_database.rows("SELECT indexdef FROM pg_indexes WHERE tablename = 'samples'")
    assert index.endswith("(business_date, id)")
    ((comment,),) = postgres_database.rows("SELECT obj_description('institution_a.samples'::regclass)")
    assert comment == SAMPLES.description


def test_current_view_shows_the_latest_delivery_of_each_key(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0), key(1)], batches(rows(key(0), count=4), rows(key(1), start=2, count=4)))
    found = postgres_database.rows("SELECT id, business_date FROM institution_a.samples_current ORDER BY id")
    first, second = key(0).business_date, key(1).business_date
    assert found == [(0, first), (1, first), (2, second), (3, second), (4, second), (5, second)]
    store.replace(TOTALS, [key(0, None)], [])
    assert postgres_database.rows("SELECT to_regclass('shared.totals_current')") == [(None,)]


def test_the_current_view_follows_the_declared_key(postgres_database: PostgresDatabase) -> None:
    """The old one would hide rows that the new key tells apart."""
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0), key(1)], batches(rows(key(0), count=4), rows(key(1), count=4)))
    store.replace(replace(SAMPLES, key=("id", "business_date")), [key(2)], [])
    assert postgres_database.rows("SELECT count(*) FROM institution_a.samples_current") == [(8,)]
    store.replace(replace(SAMPLES, key=()), [key(2)], batches(rows(key(2), count=1)))
    assert postgres_database.rows("SELECT count(*) FROM institution_a.samples_current") == [(9,)]


def test_a_nullable_column_that_the_contract_gained_is_added(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    # In the middle: Postgres adds at the end, and rows must still meet their columns by name.
    wider = _with_columns(SAMPLES.columns[0], NOTE, *SAMPLES.columns[1:])
    old = rows(key(0)).insert_column(1, pl.lit(None, pl.String()).alias("note"))
    assert stored(store, [key(0)], table=wider).equals(old), "read before anything was written"
    new = rows(key(1)).insert_column(1, pl.lit("new").alias("note"))
    store.replace(wider, [key(1)], batches(new, table=wider))
    assert stored(store, [key(0), key(1)], table=wider).equals(pl.concat([old, new]))
    query = (
        "SELECT DISTINCT note, col_description('institution_a.samples'::regclass, %s) "
        "FROM institution_a.samples_current"
    )
    assert postgres_database.rows(query, (len(wider.columns),)) == [("new", NOTE.description)]


@pytest.mark.parametrize(
    ("changed", "difference", "cures"),
    [
        (
            _with_columns(*(replace(c, dtype=pl.Decimal(20, 8)) if c.name == "amount" else c for c in SAMPLES.columns)),
            "amount is numeric(18,8) instead of numeric(20,8)",
            ['ALTER COLUMN "amount" TYPE numeric(20,8) USING "amount"::numeric(20,8);'],
        ),
        (
            _with_columns(*(c for c in SAMPLES.columns if c.name != "flag")),
            "flag is not in the contract",
            ['DROP COLUMN "flag";'],
        ),
        (
            _with_columns(*(replace(c, nullable=False) if c.name == "day" else c for c in SAMPLES.columns)),
            "day allows null",
            ['ALTER COLUMN "day" SET NOT NULL;'],
        ),
        (
            _with_columns(*SAMPLES.columns, replace(NOTE, nullable=False)),
            "note is missing and must not be null",
            ['ADD COLUMN "note" text;', 'ALTER COLUMN "note" SET NOT NULL;'],
        ),
    ],
    ids=["type", "extra column", "nullability", "required column"],
)
def test_other_differences_are_refused_with_the_statement_that_settles_them(
    changed: Table, difference: str, cures: list[str], postgres_database: PostgresDatabase
) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], [])
    for action in (lambda: store.replace(changed, [key(0)], []), lambda: list(store.read(changed, [key(0)]))):
        with pytest.raises(SchemaMismatchError) as caught:
            action()
        assert difference in str(caught.value) and "institution_a.samples" in str(caught.value)
    with postgres_database.connect() as connection:
        connection.execute("DROP VIEW institution_a.samples_current")
        for cure in cures:
            statement = f'ALTER TABLE "institution_a"."samples" {cure}'
            assert statement in str(caught.value)
            connection.execute(statement.encode())
    assert store.replace(changed, [key(0)], []).rows == 0


def test_two_first_writers_both_survive(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    tables = [replace(SAMPLES, name=f"samples_{number}") for number in range(4)]
    barrier = threading.Barrier(3)
    failures: list[BaseException] = []

    def write(day: int) -> None:
        try:
            for table in tables:
                barrier.wait(20)
                store.replace(table, [key(day)], batches(rows(key(day))))
        except BaseException as error:
            barrier.abort()
            failures.append(error)

    threads = [threading.Thread(target=write, args=(day,)) for day in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert all(stored(store, [key(day) for day in range(3)], table=table).height == 18 for table in tables)
