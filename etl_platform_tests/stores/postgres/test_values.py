"""Values come back exactly, whatever the session is set to; what Postgres cannot hold is refused by column."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pgpq
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.errors import SchemaMismatchError, StorageError
from etl_platform.gold.graph import gold_graph
from etl_platform.limits import ENCODED_ROWS, QUEUED_PIECES
from etl_platform.stores.postgres.copy import _BoundedWriter
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store

EDGES: dict[str, Sequence[Any]] = {
    "text": [
        "",
        "\t\\N\\\n\r\"'",
        "e\u0301 \u202e \ufeff \ufffd 🙂\U0010ffff",
        "'; DROP TABLE samples; --",
        "x" * 100_000,
    ],
    "amount": [Decimal("-0.00000001"), Decimal("-9999999999.99999999"), Decimal("9999999999.99999999"), Decimal("1e4")],
    "big": [Decimal("-" + "9" * 36 + ".99"), Decimal("0.01"), Decimal("1e35"), Decimal(0)],
    "at": [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)],
    "day": [dt.date(1, 1, 1), dt.date(1999, 12, 31), dt.date(2000, 1, 1), dt.date(9999, 12, 31)],
    "count": [-(2**31), 2**31 - 1, 0],
    "ratio": [5e-324, -0.0, float("inf"), float("-inf"), 0.1],
    "flag": [True, False],
    "rules": [[], [""], [None], ["{}", 'a,"b"', "NULL"]],
}


def _edges() -> pl.DataFrame:
    count = max(map(len, EDGES.values())) + 1
    columns = {name: [*values, *[None] * (count - len(values))] for name, values in EDGES.items()}
    return rows(key(0), count=count).with_columns(
        **{name: pl.Series(values, dtype=SAMPLES.polars_schema[name]) for name, values in columns.items()}
    )


@pytest.mark.parametrize(
    "session",
    ["", "options=-c%20timezone%3DAsia/Tokyo%20-c%20datestyle%3DGerman%20-c%20intervalstyle%3Dsql_standard"],
    ids=["plain", "other time zone and date style"],
)
def test_edge_values_come_back_exactly(
    session: str, postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    store = new_store(f"{postgres_database.url}?{session}")
    store.replace(SAMPLES, [key(0)], batches(_edges()))
    assert stored(store, [key(0)]).equals(_edges())


def test_values_are_what_sql_sees(postgres_database: PostgresDatabase) -> None:
    new_store(postgres_database.url).replace(SAMPLES, [key(0)], batches(_edges()))
    columns = ", ".join(f'"{name}"' for name in EDGES)
    query = f"SELECT {columns} FROM institution_a.samples ORDER BY id"
    with postgres_database.connect() as connection:
        connection.execute("SET timezone TO 'UTC'")
        found = connection.execute(query.encode()).fetchall()
    expected = _edges().select(*EDGES)
    assert pl.DataFrame(found, schema=expected.schema, orient="row").equals(expected)


@pytest.fixture
def store(postgres_database: PostgresDatabase) -> PostgresStore:
    return new_store(postgres_database.url)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    some.lists(
        some.tuples(
            some.none() | some.text(some.characters(exclude_characters="\0", codec="utf-8")),
            some.none() | some.decimals("-9999999999", "9999999999", places=8),
            some.none() | some.datetimes(timezones=some.just(dt.UTC)),
            some.none() | some.dates(),
        ),
        max_size=30,
    )
)
def test_any_value_comes_back_exactly(store: PostgresStore, values: list[tuple[Any, ...]]) -> None:
    frame = rows(key(0), count=len(values)).with_columns(
        **{
            name: pl.Series([value[place] for value in values], dtype=SAMPLES.polars_schema[name])
            for place, name in enumerate(("text", "amount", "at", "day"))
        }
    )
    store.replace(SAMPLES, [key(0)], batches(frame))
    assert stored(store, [key(0)]).equals(frame)


def test_the_encoder_knows_every_type_of_every_table() -> None:
    tables = [
        SAMPLES,
        *gold_graph().tables.values(),
        *(c.silver for c in BUILT_IN.values()),
        *map(quarantine_table, BUILT_IN),
    ]
    for table in tables:
        pgpq.ArrowToPostgresBinaryEncoder(table.arrow_schema)


def _poisoned(column: str, value: pa.Scalar) -> pa.RecordBatch:
    (batch,) = batches(rows(key(0), count=3))
    place = batch.schema.get_field_index(column)
    field = batch.schema.field(place)
    values = pa.concat_arrays([batch.column(place).slice(0, 2), pa.array([value.as_py()], value.type).cast(field.type)])
    return batch.set_column(place, field, values)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("text", pa.scalar("a\0b"), "1 values with a NUL character"),
        ("rules", pa.scalar(["a", "\0"]), "1 values with a NUL character"),
        ("at", pa.scalar(-(2**62), pa.int64()), "outside what Postgres can hold"),
        ("day", pa.scalar(-2_147_483_000, pa.int32()), "outside what Postgres can hold"),
        ("day", pa.scalar(2**31 - 1, pa.int32()), "outside what Postgres can hold"),
    ],
)
def test_what_postgres_cannot_hold_is_refused_by_column(
    column: str, value: pa.Scalar, words: str, postgres_database: PostgresDatabase
) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    with pytest.raises(SchemaMismatchError, match=f"silver/samples column {column}: .*{words}"):
        store.replace(SAMPLES, [key(0)], [_poisoned(column, value)])
    assert stored(store, [key(0)]).equals(rows(key(0)))


def test_a_decimal_of_too_many_digits_is_refused_by_column(postgres_database: PostgresDatabase) -> None:
    # Arrow labels a decimal with its digits and does not count them.
    wide = pa.array([Decimal("99999999999.00000000")], pa.decimal128(38, 8))
    array = pa.Array.from_buffers(pa.decimal128(18, 8), 1, wide.buffers())
    (batch,) = batches(rows(key(0), count=1))
    place = batch.schema.get_field_index("amount")
    store = new_store(postgres_database.url)
    with pytest.raises(StorageError, match=r"22003.*overflow.*column amount"):
        store.replace(SAMPLES, [key(0)], [batch.set_column(place, batch.schema.field(place), array)])


def test_a_nul_outside_of_a_slice_does_no_harm(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], [_poisoned("text", pa.scalar("\0")).slice(0, 2)])
    assert stored(store, [key(0)]).equals(rows(key(0), count=2))


def test_many_batches_of_any_size_arrive_whole(postgres_database: PostgresDatabase) -> None:
    frame = rows(key(0), count=2 * ENCODED_ROWS + 7)
    store = new_store(postgres_database.url)
    (whole,) = batches(frame)
    written = store.replace(SAMPLES, [key(0)], [whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)])
    assert written.rows == frame.height and (written.bytes or 0) > 100 * frame.height
    assert stored(store, [key(0)]).equals(frame)


def test_what_waits_between_encoder_and_sender_is_bounded(postgres_database: PostgresDatabase) -> None:
    with postgres_database.connect() as connection, connection.cursor() as cursor:
        assert _BoundedWriter(cursor)._queue.maxsize == QUEUED_PIECES
