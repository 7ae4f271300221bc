"""What every store promises, without Dagster: exactly these partitions, all or nothing, exact values."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import ConfigurationError, PartitionMismatchError, SchemaMismatchError
from etl_platform.stores.store import TableStore
from etl_platform_tests.stores.stores import StoreFactory
from etl_platform_tests.stores.tables import SAMPLES, TOTALS, A, B, batches, key, rows, stored


def test_every_value_comes_back_exactly(store: TableStore) -> None:
    written = store.replace(SAMPLES, [key(0)], batches(rows(key(0), count=600)))
    assert stored(store, [key(0)]).equals(rows(key(0), count=600))
    assert written.rows == 600 and written.location


def test_shared_tables_are_kept_by_date_alone(store: TableStore) -> None:
    one, two = key(0, None), key(1, None)
    frames = [rows(one, table=TOTALS), rows(two, start=6, table=TOTALS)]
    store.replace(TOTALS, [one, two], batches(*frames, table=TOTALS))
    store.replace(TOTALS, [one], [])
    assert stored(store, [one, two], table=TOTALS).equals(frames[1])


def test_partitions_never_written_read_as_empty_with_all_types(store: TableStore) -> None:
    assert stored(store, [key(0)]).equals(SAMPLES.empty())
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert stored(store, [key(1), key(0, B)]).equals(SAMPLES.empty())


def test_no_partitions_read_nothing_and_write_nothing(store: TableStore) -> None:
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert store.replace(SAMPLES, [], []).rows == 0
    with pytest.raises(PartitionMismatchError, match="no partition"):
        store.replace(SAMPLES, [], batches(rows(key(0), start=100)))
    assert list(store.read(SAMPLES, [])) == []
    assert stored(store, [key(0)]).equals(rows(key(0)))


def test_replace_touches_exactly_its_partitions_also_scattered_ones(store: TableStore) -> None:
    everything = [key(day, code) for day, code in itertools.product(range(3), (A, B))]
    store.replace(SAMPLES, everything, batches(*(rows(k) for k in everything)))
    scattered = [key(2, B), key(0, A)]
    # Rows of both partitions mixed in one batch: a rectangle of ranges would touch four partitions, not two.
    mixed = pl.concat([rows(k, start=100) for k in scattered]).sample(fraction=1, shuffle=True, seed=1)
    store.replace(SAMPLES, scattered, batches(mixed))
    for partition in everything:
        expected = rows(partition, start=100) if partition in scattered else rows(partition)
        assert stored(store, [partition]).equals(expected), partition
    assert stored(store, scattered).height == 12


def test_running_twice_gives_the_same_table(store: TableStore) -> None:
    for _ in range(2):
        store.replace(SAMPLES, [key(0), key(1)], batches(rows(key(0)), rows(key(1))))
    assert stored(store, [key(0), key(1)]).equals(pl.concat([rows(key(0)), rows(key(1))]))


def test_fewer_rows_and_no_rows_replace_too(store: TableStore) -> None:
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    store.replace(SAMPLES, [key(0)], batches(rows(key(0), count=1)))
    assert stored(store, [key(0)]).height == 1
    store.replace(SAMPLES, [key(0)], [])
    assert stored(store, [key(0)]).equals(SAMPLES.empty())


@pytest.mark.parametrize("days", [[0], [0, 1]], ids=["one partition", "two partitions"])
def test_a_source_that_fails_half_way_leaves_the_old_rows(store: TableStore, days: list[int]) -> None:
    partitions = [key(day) for day in days]
    store.replace(SAMPLES, partitions, batches(*map(rows, partitions)))

    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches(*(rows(partition, start=100) for partition in partitions))
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        store.replace(SAMPLES, partitions, failing())
    assert stored(store, partitions).equals(pl.concat(map(rows, partitions)))


@pytest.mark.parametrize("foreign", [key(1, A), key(0, B)], ids=["other date", "other institution"])
def test_rows_of_another_partition_are_refused_and_nothing_is_written(store: TableStore, foreign: PartitionKey) -> None:
    store.replace(SAMPLES, [key(0), key(1, B)], batches(rows(key(0)), rows(key(1, B))))
    with pytest.raises(PartitionMismatchError) as caught:
        store.replace(SAMPLES, [key(0), key(1, B)], batches(rows(key(0), start=100), rows(foreign, start=200)))
    assert f"6 of {foreign}" in str(caught.value) and "silver/samples" in str(caught.value)
    assert stored(store, [key(0)]).equals(rows(key(0)))
    assert stored(store, [foreign]).is_empty()


def test_partition_keys_of_the_wrong_dimensions_are_refused(store: TableStore) -> None:
    with pytest.raises(ConfigurationError, match="a date and an institution"):
        store.replace(SAMPLES, [key(0, None)], [])
    with pytest.raises(ConfigurationError, match="a date alone"):
        list(store.read(TOTALS, [key(0)]))


def test_a_batch_of_another_schema_is_refused(store: TableStore) -> None:
    good = batches(rows(key(0)))[0]
    with pytest.raises(SchemaMismatchError, match="silver/samples"):
        store.replace(SAMPLES, [key(0)], [good.drop_columns(["amount"])])


def test_null_in_a_required_column_is_refused(store: TableStore) -> None:
    frame = rows(key(0)).with_columns(id=pl.when(pl.col("id") == 3).then(None).otherwise("id"))
    with pytest.raises(SchemaMismatchError, match="id: 1 null of 6"):
        store.replace(SAMPLES, [key(0)], batches(frame))
    assert stored(store, [key(0)]).is_empty()


def test_only_the_wanted_columns_are_read_in_the_wanted_order(store: TableStore) -> None:
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert stored(store, [key(0)], columns=["text", "id"]).equals(rows(key(0)).select("text", "id"))


def test_what_is_read_may_be_written_to_the_same_table(store: TableStore) -> None:
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    store.replace(SAMPLES, [key(0)], store.read(SAMPLES, [key(0)]))
    assert stored(store, [key(0)]).equals(rows(key(0)))


def test_a_reader_sees_the_old_rows_or_the_new_ones(make_store: StoreFactory, request: pytest.FixtureRequest) -> None:
    writer, reader = make_store(request), make_store(request)
    versions = [rows(key(0), start=1000 * n, count=50 + n) for n in range(6)]
    writer.replace(SAMPLES, [key(0)], batches(versions[0]))
    failures: list[BaseException] = []

    def write() -> None:
        try:
            for version in versions[1:]:
                writer.replace(SAMPLES, [key(0)], batches(version[:20], version[20:]))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    seen = [stored(reader, [key(0)])]
    while thread.is_alive():
        seen.append(stored(reader, [key(0)]))
    thread.join()
    assert not failures
    order = [next((n for n, version in enumerate(versions) if version.equals(frame)), None) for frame in seen]
    assert None not in order, f"a mixture was seen: {order}"
    assert order == sorted(order, key=lambda n: -1 if n is None else n)
    assert stored(reader, [key(0)]).equals(versions[-1])
