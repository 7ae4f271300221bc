"""A load proves its copy: the warehouse's own figures are those of the rows that were sent, or nothing is committed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from etl_platform.contracts.ddl import column_definition
from etl_platform.contracts.identifiers import Dialect
from etl_platform.contracts.table import BUSINESS_DATE, Column, Table
from etl_platform.errors import StorageError
from etl_platform.resources.warehouse import WarehouseStore
from etl_platform.stores import canary as canary_module
from etl_platform.stores.duckdb import store as duckdb_store
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform.stores.frames import to_batches
from etl_platform.stores.postgres import encode as encode_module
from etl_platform.stores.postgres.adbc import ArrowSession
from etl_platform.stores.postgres.copy import copy_rows
from etl_platform.stores.postgres.proof import require_arrived
from etl_platform.stores.proof.compared import figures, require_same, select_list
from etl_platform.stores.proof.sent import Sent, SentColumn, _last_digits
from etl_platform.stores.snowflake import statements
from etl_platform.stores.snowflake.files import _Writer
from etl_platform.stores.store import TableStore
from etl_platform_tests.stores.stores import STORES
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store, open_store

WAREHOUSES = ("duckdb", "postgres", "snowflake")
OLD, NEW = rows(key(0), count=12), rows(key(0), start=100, count=300)
_DAY = dt.date(2025, 1, 13)
_WIDE = Context(prec=60)

Change = Callable[[pa.RecordBatch], pa.RecordBatch]


def _changed(column: str, change: Callable[[pl.Expr], pl.Expr], row: int = 120) -> Change:
    """Gives batches in which one row of `column` is another one, as a broken encoder would make them."""

    def apply(batch: pa.RecordBatch) -> pa.RecordBatch:
        wanted = pl.col("id") == row
        frame = pl.DataFrame(batch)
        dtype = frame.schema[column]
        bent = pl.when(wanted).then(change(pl.col(column))).otherwise(pl.col(column)).cast(dtype).alias(column)
        frame = frame.with_columns(bent)
        plain = pa.schema([pa.field(field.name, field.type) for field in batch.schema])
        whole = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(plain).combine_chunks()
        return pa.RecordBatch.from_arrays([whole.column(n).combine_chunks() for n in plain.names], schema=batch.schema)

    return apply


BENT: dict[str, tuple[Change, str]] = {
    "decimal": (_changed("amount", lambda c: c + Decimal("0.00009999")), "column amount: sum"),
    "wide decimal": (_changed("big", lambda c: c - Decimal("0.01")), "column big: sum"),
    "whole number": (_changed("id", lambda c: c + 1), "column id: sum"),
    "small number": (_changed("count", lambda c: c + 1), "column count: sum"),
    "text": (_changed("text", lambda _: pl.lit("another")), "column text: (bytes|characters)"),
    "instant": (_changed("at", lambda c: c + pl.duration(microseconds=1)), "column at: sum of microseconds"),
    "date": (_changed("day", lambda c: c + pl.duration(days=1)), "column day: sum of days"),
    "binary number": (_changed("ratio", lambda c: c * 1.001, row=121), "column ratio: "),
    "boolean": (_changed("flag", lambda c: ~c.fill_null(value=True)), "column flag: values that are true"),
    "list": (_changed("rules", lambda _: pl.lit(["a", "b", "c"])), "column rules: items"),
    "null": (
        _changed("amount", lambda _: pl.lit(None)),
        "column amount: values that are not null: sent 250, arrived 249",
    ),
    "missing rows": (lambda batch: batch.slice(1), "rows: sent 300, arrived 29"),
    "row of another date": (
        _changed("business_date", lambda c: c + pl.duration(days=40)),
        "rows: sent 300, arrived 29",
    ),
}


def _bend(monkeypatch: pytest.MonkeyPatch, kind: str, change: Change) -> None:
    """Between counting and the wire, as a driver does that stores other values without a word."""
    if kind == "postgres":
        encode = encode_module.Encoder.encode
        monkeypatch.setattr(encode_module.Encoder, "encode", lambda self, batch: encode(self, change(batch)))
    elif kind == "duckdb":
        watch = Sent.watch
        monkeypatch.setattr(Sent, "watch", lambda self, given: map(change, watch(self, given)))
    else:
        append = _Writer.append

        def bent(self: _Writer, batch: pa.RecordBatch) -> None:
            counted = self.staged.sent.add
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(self.staged.sent, "add", lambda _: counted(batch))
                append(self, change(batch))

        monkeypatch.setattr(_Writer, "append", bent)


@pytest.mark.parametrize("name", BENT)
@pytest.mark.parametrize("kind", WAREHOUSES)
def test_a_load_that_arrives_otherwise_is_refused_by_column_and_rolled_back(
    kind: str, name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "snowflake" and name == "missing rows":
        pytest.skip("COPY's own count finds it before")
    store = STORES[kind](request)
    store.replace(SAMPLES, [key(0)], batches(OLD))
    change, words = BENT[name]
    with monkeypatch.context() as patch:
        _bend(patch, kind, change)
        with pytest.raises(
            StorageError, match=rf"(?is)samples.*what arrived is not what was sent: .*{words}"
        ) as caught:
            store.replace(SAMPLES, [key(0)], batches(NEW))
    assert "sent " in caught.value.found and "arrived " in caught.value.found and "doctor" in caught.value.next_step
    assert stored(store, [key(0)]).equals(OLD)
    store.replace(SAMPLES, [key(0)], batches(NEW))
    assert stored(store, [key(0)]).equals(NEW)


def _as_pgpq_0_11(values: pa.Array) -> pa.Array:
    """Decimals as pgpq 0.9 to 0.11 stored them: groups of four zeros right behind the point were left out."""

    def bent(value: Decimal | None) -> Decimal | None:
        if value is None:
            return None
        whole, _, digits = f"{value:.8f}".partition(".")
        kept = digits[4:] if digits[:4] == "0000" else digits
        return Decimal(f"{whole}.{kept:0<8}")

    return pa.array([bent(value) for value in values.to_pylist()], values.type)


def test_the_decimals_of_the_broken_encoder_are_found(
    postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _as_pgpq_0_11(pa.array([Decimal("101.00000001")], pa.decimal128(18, 8))).to_pylist() == [Decimal("101.0001")]

    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        place = batch.schema.get_field_index("amount")
        return batch.set_column(place, batch.schema.field(place), _as_pgpq_0_11(batch.column(place)))

    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], batches(OLD))
    one_wrong = NEW.with_columns(
        amount=pl.when(pl.col("id") == 150).then(Decimal("101.00000001")).otherwise(Decimal("7.5"))
    )
    one_wrong = one_wrong.with_columns(pl.col("amount").cast(pl.Decimal(18, 8)))
    _bend(monkeypatch, "postgres", change)
    with pytest.raises(StorageError, match=r"column amount: sum: sent 2,343\.50000001, arrived 2,343\.5001"):
        store.replace(SAMPLES, [key(0)], batches(one_wrong))
    monkeypatch.undo()
    assert stored(store, [key(0)]).equals(OLD)


def test_a_load_over_the_arrow_driver_is_proven_too(
    postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table("silver", "timed", "", (*SAMPLES.columns, Column("time", pl.Time(), True, "")), key=("id",))
    frame = NEW.with_columns(time=pl.lit(dt.time(9, 30, 0, 5)))
    sent = list(to_batches(frame, table, "test"))
    store = new_store(postgres_database.url)
    store.replace(table, [key(0)], sent)
    ingest = ArrowSession.ingest
    change = _changed("time", lambda _: pl.lit(dt.time(9, 30, 0, 6)))
    monkeypatch.setattr(
        ArrowSession, "ingest", lambda self, table, schema, given: ingest(self, table, schema, map(change, given))
    )
    with pytest.raises(StorageError, match=r"column time: sum of microseconds"):
        store.replace(table, [key(0)], sent)
    assert stored(store, [key(0)], table=table).equals(frame)


@pytest.mark.parametrize("days", [[0], [0, 1], [0, 2]], ids=["one day", "two days", "two days with one between"])
def test_rows_of_another_institution_in_the_schema_are_no_difference(
    days: list[int], postgres_database: PostgresDatabase
) -> None:
    store = new_store(postgres_database.url)
    frames = [rows(key(day), start=day * 10) for day in days]
    store.replace(SAMPLES, [key(day) for day in days], batches(*frames))
    with postgres_database.connect() as connection:
        connection.execute("UPDATE institution_a.samples SET institution = 'as_it_was_called'")
    store.replace(SAMPLES, [key(day) for day in days], batches(*frames))
    assert postgres_database.rows("SELECT count(*) FROM institution_a.samples") == [(12 * len(days),)]
    assert stored(store, [key(day) for day in days]).equals(pl.concat(frames))


def test_rows_of_other_loads_are_not_counted(request: pytest.FixtureRequest) -> None:
    for kind in WAREHOUSES:
        store = STORES[kind](request)
        for day in (0, 1, 0):
            store.replace(SAMPLES, [key(day)], batches(rows(key(day), start=day * 50, count=40)))
        store.replace(SAMPLES, [key(0)], [])
        assert stored(store, [key(1)]).height == 40


@pytest.mark.parametrize("kind", WAREHOUSES)
def test_no_good_load_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    """Sums beyond what 64 bits, 38 digits or a double hold; values that cancel out; nothing but nulls."""
    store = STORES[kind](request)
    count = 40
    frame = rows(key(0), count=count).with_columns(
        id=pl.Series(
            [(2**63 - 1) if n % 2 else -(2**63) + n for n in range(count - 1)] + [2**63 - 1], dtype=pl.Int64()
        ),
        big=pl.Series([Decimal(f"{10**36 - 1 - n}.99") for n in range(count)], dtype=pl.Decimal(38, 2)),
        at=pl.Series([dt.datetime(1 if n % 2 else 9999, 1, 1, 5, tzinfo=dt.UTC) for n in range(count)]).cast(
            pl.Datetime("us", "UTC")
        ),
        ratio=pl.Series([1e308, -1e-308, 1e300, -1.7e308][n % 4] for n in range(count)),
        day=pl.lit(None, pl.Date()),
    )
    store.replace(SAMPLES, [key(0)], batches(frame))
    assert stored(store, [key(0)]).sort("big").equals(frame.sort("big"))


@settings(max_examples=60, deadline=None)
@given(some.data())
def test_duckdb_adds_up_what_was_counted(data: some.DataObject) -> None:
    table, batch = _anything(data)
    sent = Sent(table)
    cuts = data.draw(some.lists(some.integers(0, batch.num_rows), max_size=3).map(sorted))
    for start, end in zip([0, *cuts], [*cuts, batch.num_rows], strict=True):
        sent.add(batch.slice(start, end - start))
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = ", ".join(column_definition(column, "duckdb") for column in table.columns)
        connection.execute(f"CREATE TABLE anything ({columns})")
        connection.register("_incoming", pa.Table.from_batches([batch]))
        connection.execute("INSERT INTO anything SELECT * FROM _incoming")
        _assert_same(sent, "duckdb", lambda query: connection.execute(query).fetchone() or ())


_KINDS: dict[str, tuple[pl.DataType, some.SearchStrategy[Any]]] = {
    "price": (pl.Decimal(18, 8), some.decimals(-9999999999, 9999999999, places=8)),
    "wide": (pl.Decimal(38, 2), some.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(n).scaleb(-2, _WIDE))),
    "deep": (pl.Decimal(38, 20), some.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(n).scaleb(-20, _WIDE))),
    "number": (pl.Int64(), some.integers(-(2**63), 2**63 - 1)),
    "small": (pl.Int32(), some.integers(-(2**31), 2**31 - 1)),
    "text": (pl.String(), some.text(some.characters(exclude_characters="\0", codec="utf-8"))),
    "day": (pl.Date(), some.dates()),
    "at": (pl.Datetime("us", "UTC"), some.datetimes(timezones=some.just(dt.UTC))),
    "ratio": (pl.Float64(), some.floats()),
    "flag": (pl.Boolean(), some.booleans()),
    "texts": (pl.List(pl.String()), some.lists(some.none() | some.sampled_from(["", "a", "é\"{"]), max_size=3)),
}  # fmt: skip


def _anything(data: some.DataObject) -> tuple[Table, pa.RecordBatch]:
    """A table of every type with drawn rows."""
    count = data.draw(some.integers(0, 20))
    columns = [Column(name, dtype, True, name) for name, (dtype, _) in _KINDS.items()]
    table = Table("test", "anything", "", (*columns, Column(BUSINESS_DATE, pl.Date(), False, "")), shared=True)
    series = [
        pl.Series(name, data.draw(some.lists(some.none() | values, min_size=count, max_size=count)), dtype=dtype)
        for name, (dtype, values) in _KINDS.items()
    ]
    frame = pl.DataFrame([*series, pl.Series(BUSINESS_DATE, [_DAY] * count, dtype=pl.Date())])
    whole = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(table.arrow_schema)
    (batch,) = whole.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema=table.arrow_schema)]
    return table, batch


def _assert_same(sent: Sent, dialect: Dialect, ask: Callable[[str], Any]) -> None:
    compared = figures(sent, dialect)
    require_same("anything", compared, ask(f"SELECT {select_list(compared, dialect)} FROM anything"))


@pytest.fixture(scope="module")
def connection_of_postgres(postgres_server: Any) -> Iterator[Any]:
    with postgres_server.new_database().connect(autocommit=False) as connection:
        yield connection


@settings(max_examples=60, deadline=None)
@given(some.data())
def test_postgres_adds_up_what_was_counted(connection_of_postgres: Any, data: some.DataObject) -> None:
    table, batch = _anything(data)
    sent = Sent(table)
    columns = ", ".join(column_definition(column, "postgres") for column in table.columns)
    connection_of_postgres.execute(f"CREATE TEMPORARY TABLE anything ({columns})")
    try:
        copy_rows(connection_of_postgres, table, "pg_temp", sent.watch([batch]))
        require_arrived(connection_of_postgres, sent, "pg_temp", [key(0, None)], "test")
        found = connection_of_postgres.execute("SELECT price, wide, deep, number FROM anything").fetchall()
        assert found == list(
            zip(*(batch.column(n).to_pylist() for n in ("price", "wide", "deep", "number")), strict=True)
        )
    finally:
        connection_of_postgres.rollback()


def test_a_table_of_more_columns_than_one_answer_holds_is_proven(postgres_database: PostgresDatabase) -> None:
    columns = tuple(Column(f"c{n}", pl.Decimal(18, 8), True, "") for n in range(1_200))
    table = Table("silver", "wide", "", (*columns, *SAMPLES.columns[-2:]))
    values: dict[str, Sequence[Any]] = {column.name: [Decimal(n), None] for n, column in enumerate(columns)}
    values |= {"business_date": [_DAY] * 2, "institution": ["institution_a"] * 2}
    frame = pl.DataFrame(values, schema=table.polars_schema)
    store = new_store(postgres_database.url)
    store.replace(table, [key(0)], to_batches(frame, table, "test"))
    assert postgres_database.rows("SELECT count(*) FROM institution_a.wide") == [(2,)]


def test_duckdb_is_asked_for_the_figures_of_a_wide_table_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And names the column of the last part that arrived otherwise."""
    monkeypatch.setattr(duckdb_store, "DUCKDB_FIGURES_AT_ONCE", 2)
    store = DuckDBStore(tmp_path / "w.duckdb", {"institution_a": "institution_a"})
    store.replace(SAMPLES, [key(0)], iter(batches(rows(key(0)))))
    last = figures(Sent(SAMPLES), "duckdb")[-1].column
    taken = SentColumn.add

    def one_more(self: SentColumn, values: pa.Array) -> None:
        taken(self, pa.concat_arrays([values, values]) if self.name == last else values)

    monkeypatch.setattr(SentColumn, "add", one_more)
    with pytest.raises(StorageError, match=f"{last}"):
        store.replace(SAMPLES, [key(0)], iter(batches(rows(key(0)))))


def test_a_database_that_is_not_utf_8_is_asked_for_the_bytes_that_were_sent(
    postgres_database: PostgresDatabase,
) -> None:
    sent = Sent(SAMPLES)
    sent.add(batches(NEW)[0])
    asked = [figure.sql for figure in figures(sent, "postgres", is_utf8=False) if figure.column == "text"]
    assert asked[-1] == "sum(octet_length(convert_to(\"text\", 'UTF8')))"


def test_small_batches_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    (batch,) = batches(rows(key(0), count=5_000))
    sent = Sent(SAMPLES)
    counted: list[int] = []
    monkeypatch.setattr(SentColumn, "add", lambda self, values: counted.append(len(values)))
    for start in range(batch.num_rows):
        sent.add(batch.slice(start, 1))
    sent.finish()
    assert counted == [5_000] * len(sent.columns) and sent.rows == 5_000


def test_so_many_bytes_wait_to_be_counted_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = batches(*(rows(key(0), start=start) for start in range(0, 60, 6)))
    monkeypatch.setattr("etl_platform.stores.proof.sent.PROOF_JOINED_BYTES", parts[0].nbytes + 1)
    sent = Sent(SAMPLES)
    counted: list[int] = []
    monkeypatch.setattr(SentColumn, "add", lambda self, values: counted.append(len(values)))
    for batch in parts:
        sent.add(batch)
    sent.finish()
    assert counted == [12] * 5 * len(sent.columns)


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator keeps temporary tables in no schema: there the canary's is an ordinary one."""
    temporary = statements.create_temporary

    def ordinary(table: Table, schema: str) -> str:
        statement = temporary(table, schema)
        assert statement.startswith("CREATE OR REPLACE TEMPORARY TABLE ")
        return statement.replace("TEMPORARY ", "")

    monkeypatch.setattr(statements, "create_temporary", ordinary)


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("kind", WAREHOUSES)
def test_the_canary_comes_back_and_leaves_nothing_behind(kind: str, request: pytest.FixtureRequest) -> None:
    store: Any = STORES[kind](request)
    store.replace(SAMPLES, [key(0)], batches(OLD))
    before = _objects(store, kind, request)
    assert "7 rows of 10 types came back" in _warehouse(store).canary()
    assert "came back" in _warehouse(store).canary()
    assert _objects(store, kind, request) == before and stored(store, [key(0)]).equals(OLD)


def _warehouse(store: Any) -> WarehouseStore:
    checked: WarehouseStore = store
    return checked


def _objects(store: TableStore, kind: str, request: pytest.FixtureRequest) -> Any:
    if kind == "postgres":
        database: PostgresDatabase = request.getfixturevalue("postgres_database")
        return database.rows("SELECT relname FROM pg_class ORDER BY 1")
    if kind == "duckdb":
        assert isinstance(store, DuckDBStore)
        with duckdb.connect(store._file.path, read_only=True) as connection:
            return connection.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
    return None


@pytest.mark.usefixtures("emulated")
@pytest.mark.parametrize("kind", WAREHOUSES)
def test_the_canary_finds_a_bent_value(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: Any = STORES[kind](request)
    store.replace(SAMPLES, [key(0)], batches(OLD))

    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        # Same sums, other values: only the comparison of the values themselves can tell.
        turned = batch.take(pa.array([1, 0, *range(2, batch.num_rows)]))
        place = batch.schema.get_field_index("price")
        return batch.set_column(place, batch.schema.field(place), turned.column(place))

    _bend(monkeypatch, kind, change)
    with pytest.raises(StorageError, match=r"canary: .*column price: sent Decimal\('101\.00000001'\)"):
        store.canary()


def test_a_user_without_temporary_tables_is_told_so(postgres_database: PostgresDatabase) -> None:
    with postgres_database.connect() as connection:
        connection.execute(f'REVOKE TEMPORARY ON DATABASE "{postgres_database.name}" FROM PUBLIC')
        connection.execute("DROP ROLE IF EXISTS without_temporary")
        connection.execute("CREATE ROLE without_temporary LOGIN PASSWORD 'x'")
    assert "not sent" in open_store(postgres_database.url_as("without_temporary", "x")).canary()


def test_the_canary_has_a_value_of_every_type_of_the_contracts() -> None:
    kinds = {type(column.dtype) for column in canary_module.TABLE.columns}
    assert {type(column.dtype) for column in SAMPLES.columns} <= kinds


def test_last_digits_are_those_of_sql() -> None:
    generator = np.random.default_rng(7)
    numbers = [int(n) * 10**17 + int(m) for n, m in generator.integers(-(2**60), 2**60, (500, 2))]
    values = pa.array([Decimal(n) for n in [*numbers, 0, 10**9, -(10**9), -1]] + [None], pa.decimal128(38, 0))
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"x": values}))
        expected = connection.execute("SELECT sum(x % 1000000000::DECIMAL(38,0)) FROM given").fetchone()
    assert (_last_digits(values),) == expected
