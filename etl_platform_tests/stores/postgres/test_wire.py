"""The wire form itself: COPY BINARY taken apart by a decoder of our own, against the values; no server is asked."""

from __future__ import annotations

import datetime as dt
import random
import struct
from collections.abc import Callable, Iterator
from decimal import Context, Decimal
from typing import Any

import pgpq
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from etl_platform.contracts.table import BUSINESS_DATE, Column, PartitionKey, Table
from etl_platform.errors import SchemaMismatchError
from etl_platform.stores.partition_guard import checked
from etl_platform.stores.postgres.encode import Encoder
from etl_platform.stores.snowflake.files import StageTarget, write_files

_EXACT = Context(prec=60)
_DAY, _EPOCH = dt.date(2000, 1, 1), dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_TEXT = some.text(some.characters(exclude_characters="\0", codec="utf-8"))


def _decimals(precision: int, scale: int) -> some.SearchStrategy[Decimal]:
    largest = 10**precision - 1
    few = some.integers(-9, 9).flatmap(lambda digit: some.integers(0, precision - 1).map(lambda n: digit * 10**n))
    numbers = (
        some.integers(-largest, largest) | few | some.tuples(few, few).map(sum).filter(lambda n: abs(n) <= largest)
    )
    return numbers.map(lambda n: Decimal(n).scaleb(-scale, _EXACT))


def _numeric(data: bytes) -> Decimal:
    count, weight, sign, _ = struct.unpack_from(">hhHh", data)
    assert sign in (0, 0x4000) and len(data) == 8 + 2 * count
    total = Decimal(0)
    for place, digits in enumerate(struct.unpack_from(f">{count}h", data, 8)):
        assert 0 <= digits < 10_000
        total = _EXACT.add(total, Decimal(digits).scaleb(4 * (weight - place), _EXACT))
    # Python rounds a negated number to 28 digits, a copied one not.
    return total.copy_negate() if sign else total


def _array(data: bytes) -> list[str | None]:
    dimensions = struct.unpack_from(">i", data)[0]
    if not dimensions:
        return []
    count = struct.unpack_from(">i", data, 12)[0]
    return [value if value is None else value.decode() for value in _fields(data, 20, count)[0]]


def _fields(data: bytes, place: int, count: int) -> tuple[list[bytes | None], int]:
    found: list[bytes | None] = []
    for _ in range(count):
        (size,) = struct.unpack_from(">i", data, place)
        place += 4
        found.append(None if size < 0 else data[place : place + size])
        place += max(size, 0)
    return found, place


def _number(form: str) -> Callable[[bytes], Any]:
    return lambda data: struct.unpack(form, data)[0]


_Kind = tuple[pl.DataType, some.SearchStrategy[Any], Callable[[bytes], Any]]
KINDS: dict[str, _Kind] = {
    f"decimal_{p}_{s}": (pl.Decimal(p, s), _decimals(p, s), _numeric)
    for p, s in ((18, 8), (38, 2), (38, 20), (38, 38), (18, 0), (9, 4), (5, 1), (28, 10))
} | {
    "int64": (pl.Int64(), some.integers(-(2**63), 2**63 - 1), _number(">q")),
    "int32": (pl.Int32(), some.integers(-(2**31), 2**31 - 1), _number(">i")),
    "float64": (pl.Float64(), some.floats(allow_nan=False), _number(">d")),
    "boolean": (pl.Boolean(), some.booleans(), _number(">?")),
    "text": (pl.String(), _TEXT, bytes.decode),
    "date": (pl.Date(), some.dates(), lambda data: _DAY + dt.timedelta(struct.unpack(">i", data)[0])),
    "instant": (
        pl.Datetime("us", "UTC"),
        some.datetimes(timezones=some.just(dt.UTC)),
        lambda data: _EPOCH + dt.timedelta(microseconds=struct.unpack(">q", data)[0]),
    ),
    "texts": (pl.List(pl.String()), some.lists(some.none() | _TEXT, max_size=4), _array),
}


def _table(*names: str) -> Table:
    columns = (*(Column(n, KINDS[n][0], True, n) for n in names), Column(BUSINESS_DATE, pl.Date(), False, ""))
    return Table("test", "wire", "", columns, shared=True)


def _batch(table: Table, values: dict[str, list[Any]]) -> pa.RecordBatch:
    count = len(next(iter(values.values())))
    frame = pl.DataFrame({**values, BUSINESS_DATE: [_DAY] * count}, schema=table.polars_schema)
    whole = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(table.arrow_schema).combine_chunks()
    return pa.RecordBatch.from_arrays(
        [whole.column(n).combine_chunks() for n in whole.column_names], whole.schema.names
    )


def _decoded(table: Table, batch: pa.RecordBatch) -> Iterator[list[Any]]:
    encoder = Encoder(table)
    data = encoder.begin() + encoder.encode(batch) + encoder.end()
    assert data[:11] == b"PGCOPY\n\xff\r\n\0"
    place = 19
    decoders = [KINDS[name][2] for name in table.arrow_schema.names if name in KINDS]
    while (count := struct.unpack_from(">h", data, place)[0]) != -1:
        fields, place = _fields(data, place + 2, count)
        yield [None if value is None else decode(value) for value, decode in zip(fields, decoders, strict=False)]
    assert place + 2 == len(data)


@pytest.mark.parametrize("name", KINDS)
def test_any_value_is_on_the_wire_as_it_is(name: str) -> None:
    table = _table(name)

    @settings(max_examples=100, deadline=None)
    @given(some.lists(some.none() | KINDS[name][1], min_size=1, max_size=30))
    def check(values: list[Any]) -> None:
        assert [row[0] for row in _decoded(table, _batch(table, {name: values}))] == values

    check()


def test_20000_random_decimals_are_on_the_wire_as_they_are() -> None:
    """Of those in which pgpq 0.11 bent one in nine."""
    random.seed(11)
    names = [name for name in KINDS if name.startswith("decimal")]
    for name in names:
        dtype = KINDS[name][0]
        assert isinstance(dtype, pl.Decimal)
        values = [
            Decimal(random.choice((-1, 1)) * random.randrange(10 ** random.randint(1, dtype.precision or 38))).scaleb(
                -dtype.scale, _EXACT
            )
            for _ in range(20_000 // len(names))
        ]
        table = _table(name)
        assert [row[0] for row in _decoded(table, _batch(table, {name: values}))] == values


@settings(max_examples=40, deadline=None)
@given(some.data())
def test_any_value_is_in_the_files_for_snowflake_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    table, count = _table(*KINDS), data.draw(some.integers(1, 12))
    values = {
        name: data.draw(some.lists(some.none() | kind[1], min_size=count, max_size=count))
        for name, kind in KINDS.items()
    }
    batch = _batch(table, values)
    target = StageTarget("shared", None, (PartitionKey(_DAY),))
    staged = write_files(table, [target], [batch], tmp_path_factory.mktemp("files"))[target]
    # Polars reads them with a Parquet reader of its own.
    found = pl.concat([pl.read_parquet(file) for file in staged.files])
    assert found.columns == [name.upper() for name in table.polars_schema]
    for name in KINDS:
        assert found[name.upper()].to_list() == values[name], name


class _Panic(BaseException):
    """As pyo3 raises it: no Exception."""


_Panic.__name__ = "PanicException"


_REAL = pgpq.ArrowToPostgresBinaryEncoder


def _fragile(panic: type[BaseException]) -> type:
    class Fragile:
        """The real encoder, which breaks off at 13 in a column of whole numbers."""

        def __init__(self, schema: pa.Schema) -> None:
            self._encoder = _REAL(schema)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._encoder, name)

        def write_batch(self, batch: pa.RecordBatch) -> Any:
            if any(13 in column.to_pylist() for column in batch.columns if pa.types.is_int64(column.type)):
                raise panic("index out of bounds: the len is 4 but the index is 4")
            return self._encoder.write_batch(batch)

    return Fragile


@pytest.mark.parametrize("panic", [_Panic, ValueError])
def test_a_panic_of_the_encoder_is_an_error_with_the_column(
    panic: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = _table("text", "int64", "int32")
    batch = _batch(table, {"text": ["a", "b"], "int64": [1, 13], "int32": [13, 13]})
    (batch,) = checked(table, [PartitionKey(_DAY)], [batch])
    monkeypatch.setattr("etl_platform.stores.postgres.encode.pgpq.ArrowToPostgresBinaryEncoder", _fragile(panic))
    encoder = Encoder(table)
    encoder.begin()
    with pytest.raises(
        SchemaMismatchError, match=r"test/wire column int64 \(int64\): .*broke off .*index out of bounds"
    ):
        encoder.encode(batch)


def test_an_interrupt_stays_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    table = _table("int64")
    monkeypatch.setattr(
        "etl_platform.stores.postgres.encode.pgpq.ArrowToPostgresBinaryEncoder", _fragile(KeyboardInterrupt)
    )
    encoder = Encoder(table)
    encoder.begin()
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(_batch(table, {"int64": [13]}))
