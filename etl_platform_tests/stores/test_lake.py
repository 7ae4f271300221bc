"""Parquet in the lake: where, in which form, how damage shows, and that scratch stays clean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_platform.contracts.table import Column, PartitionKey
from etl_platform.errors import SchemaMismatchError, StorageError
from etl_platform.limits import LAKE_SAMPLE_ROWS
from etl_platform.object_store.open import open_object_store
from etl_platform.stores.exact_types import labelled
from etl_platform.stores.lake import parquet_file
from etl_platform.stores.lake import store as lake_module
from etl_platform.stores.lake.parquet_file import TableFile, write_table
from etl_platform.stores.lake.store import LakeStore
from etl_platform_tests.stores.tables import SAMPLES, TOTALS, batches, key, rows, stored


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture(params=["small objects in memory", "all in scratch files"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> LakeStore:
    if request.param == "all in scratch files":
        monkeypatch.setattr(lake_module, "OBJECT_HELD_BYTES", 0)
    return LakeStore(open_object_store((tmp_path / "lake").as_uri()), scratch)


def path_of(tmp_path: Path, partition: PartitionKey) -> Path:
    shared = "gold/totals/" if partition.institution is None else f"silver/samples/institution={partition.institution}/"
    return tmp_path / "lake" / shared / f"date={partition.business_date}" / "data.parquet"


def test_one_object_per_partition_where_the_layout_says(lake: LakeStore, tmp_path: Path) -> None:
    written = lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    lake.replace(TOTALS, [key(1, None)], batches(rows(key(1, None), table=TOTALS), table=TOTALS))
    files = sorted(path for path in (tmp_path / "lake").rglob("*") if path.is_file())
    assert files == [path_of(tmp_path, key(1, None)), path_of(tmp_path, key(0))]
    assert Path(unquote(urlsplit(written.location).path)) == path_of(tmp_path, key(0))
    assert written.bytes == path_of(tmp_path, key(0)).stat().st_size


def test_the_partition_columns_stay_in_the_file(lake: LakeStore, tmp_path: Path) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert pq.ParquetFile(path_of(tmp_path, key(0))).schema_arrow.names == SAMPLES.polars_schema.names()


def test_the_file_says_its_table_and_compresses_with_zstd(lake: LakeStore, tmp_path: Path) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    facts = pq.read_metadata(path_of(tmp_path, key(0)))
    assert facts.metadata[b"etl.table"] == b"silver/samples" and facts.metadata[b"etl.version"]
    assert facts.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("count", [10, 3 * LAKE_SAMPLE_ROWS])
def test_the_same_rows_give_the_same_bytes_however_they_are_cut(lake: LakeStore, tmp_path: Path, count: int) -> None:
    frame = rows(key(0), count=count)
    seen = set()
    for step in (count, 97, 1000):
        parts = [frame.slice(start, step) for start in range(0, count, step)]
        lake.replace(SAMPLES, [key(0)], batches(*parts))
        seen.add(path_of(tmp_path, key(0)).read_bytes())
        lake.replace(SAMPLES, [key(1), key(0)], batches(rows(key(1)), *parts))
        seen.add(path_of(tmp_path, key(0)).read_bytes())
    assert len(seen) == 1


def test_row_groups_are_bounded_by_bytes(lake: LakeStore, tmp_path: Path) -> None:
    # 16 kB of text a row, as quarantine holds it: 131,072 of them would be 2 GB.
    wide = rows(key(0), count=LAKE_SAMPLE_ROWS * 3).with_columns(text=pl.lit("x" * 16_384))
    lake.replace(SAMPLES, [key(0)], batches(*(wide.slice(start, 2048) for start in range(0, wide.height, 2048))))
    facts = pq.read_metadata(path_of(tmp_path, key(0)))
    assert facts.row_group(0).num_rows * 16_384 <= 70 * 2**20
    assert facts.num_rows == wide.height


def test_empty_and_never_written_differ_but_both_read_as_empty(lake: LakeStore, tmp_path: Path) -> None:
    lake.replace(SAMPLES, [key(0)], [])
    assert path_of(tmp_path, key(0)).exists() and not path_of(tmp_path, key(1)).exists()
    assert stored(lake, [key(0), key(1)]).equals(SAMPLES.empty())


def test_every_flipped_bit_is_noticed(lake: LakeStore, tmp_path: Path) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0), count=200)))
    path = path_of(tmp_path, key(0))
    good = path.read_bytes()
    for position in range(0, len(good), len(good) // 250):
        path.write_bytes(good[:position] + bytes([good[position] ^ 4]) + good[position + 1 :])
        with pytest.raises(StorageError, match=r"data\.parquet.*damaged.*next step: rerun"):
            stored(lake, [key(0)])


def test_other_engines_read_the_sealed_file(lake: LakeStore, tmp_path: Path) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0), count=200)))
    path = path_of(tmp_path, key(0))
    assert pl.read_parquet(path, hive_partitioning=False).equals(rows(key(0), count=200))
    assert pq.read_table(path, partitioning=None, page_checksum_verification=True).num_rows == 200
    with duckdb.connect() as connection:
        found = connection.execute("SELECT count(*), sum(amount) FROM read_parquet(?)", [str(path)]).fetchone()
    assert found == (200, rows(key(0), count=200)["amount"].sum())


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"not parquet at all, but longer than a footer"])
def test_what_is_no_parquet_is_refused_by_name(lake: LakeStore, tmp_path: Path, damage: bytes) -> None:
    lake.replace(SAMPLES, [key(0)], [])
    path_of(tmp_path, key(0)).write_bytes(damage)
    with pytest.raises(StorageError, match=r"data\.parquet.*damaged"):
        stored(lake, [key(0)])


def test_a_nullable_column_that_the_contract_gained_is_null_in_older_objects(lake: LakeStore) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    gained = replace(SAMPLES, columns=(*SAMPLES.columns, Column("venue", pl.String(), True, "New.")))
    frame = stored(lake, [key(0)], table=gained)
    assert frame["venue"].null_count() == 6 and frame.drop("venue").equals(rows(key(0)))
    assert stored(lake, [key(0)], table=gained, columns=["venue"]).height == 6


@pytest.mark.parametrize("columns", [None, ["text", "business_date", "id"]])
def test_a_wide_object_is_read_some_columns_at_a_time(
    lake: LakeStore, monkeypatch: pytest.MonkeyPatch, columns: list[str] | None
) -> None:
    lake.replace(SAMPLES, [key(0)], iter(batches(rows(key(0), count=200))))
    whole = pa.Table.from_batches(lake.read(SAMPLES, [key(0)], columns))
    monkeypatch.setattr(parquet_file, "LAKE_COLUMNS_AT_ONCE", 2)
    monkeypatch.setattr(parquet_file, "TABLE_BATCH_ROWS", 64)
    parts = list(lake.read(SAMPLES, [key(0)], columns))
    assert [part.num_rows for part in parts] == [64, 64, 64, 8]
    assert pa.Table.from_batches(parts).equals(whole, check_metadata=True)


def test_a_column_that_the_old_object_cannot_give_is_refused_by_name(lake: LakeStore) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    columns = (*SAMPLES.columns[1:], Column("id", pl.String(), False, ""), Column("venue", pl.String(), False, ""))
    with pytest.raises(SchemaMismatchError, match=r"id is int64 instead of string; missing venue .*rerun"):
        stored(lake, [key(0)], table=replace(SAMPLES, columns=columns, key=()))


@pytest.mark.parametrize("partitions", [[key(0)], [key(0), key(1)]], ids=["one partition", "two partitions"])
def test_scratch_is_empty_after_success_failure_and_a_reader_that_stops_early(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, partitions: list[PartitionKey]
) -> None:
    monkeypatch.setattr(lake_module, "OBJECT_HELD_BYTES", 0)
    monkeypatch.setattr(parquet_file, "LAKE_GROUP_ROWS", 1000)
    objects = open_object_store((tmp_path / "lake").as_uri())
    lake = LakeStore(objects, scratch)
    large = batches(rows(key(0), count=LAKE_SAMPLE_ROWS + 2000))

    def failing() -> Iterator[pa.RecordBatch]:
        yield from large
        assert len(partitions) > 1 or any(scratch.iterdir())
        raise RuntimeError("the source broke")

    def unpublished(*_: object) -> None:
        assert len(list(scratch.iterdir())) == len(partitions)
        raise StorageError("the lake", found="full")

    lake.replace(SAMPLES, [key(0)], large)
    assert not any(scratch.iterdir())
    with pytest.raises(RuntimeError):
        lake.replace(SAMPLES, partitions, failing())
    assert not any(scratch.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(type(objects), "put_file", unpublished)
        with pytest.raises(StorageError):
            lake.replace(SAMPLES, partitions, [*large, *batches(*(rows(other) for other in partitions[1:]))])
    assert not any(scratch.iterdir())
    reader = lake.read(SAMPLES, [key(0)])
    next(reader)
    assert any(scratch.iterdir())
    reader.close()  # type: ignore[attr-defined]
    assert not any(scratch.iterdir())


def test_a_small_partition_never_touches_scratch(tmp_path: Path) -> None:
    scratch = tmp_path / "never made"
    lake = LakeStore(open_object_store((tmp_path / "lake").as_uri()), scratch)
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    lake.replace(SAMPLES, [key(2), key(1)], batches(rows(key(1)), rows(key(2))))
    lake.replace(SAMPLES, [key(3)], [])
    assert stored(lake, [key(n) for n in range(4)]).height == 18
    assert not scratch.exists()


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_an_object_of_just_the_limit_is_the_same_in_memory_and_in_scratch(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    parts = [labelled(SAMPLES.arrow_schema, batch) for batch in batches(rows(key(0), count=50))]
    [of_rows] = [batch.nbytes for batch in parts]
    path = scratch / "written"
    written = write_table(SAMPLES, parts, path, in_memory=of_rows + spare)
    assert written.rows == 50 and (written.content is None) == path.exists() == (spare < 0)
    content = path.read_bytes() if written.content is None else written.content
    assert content == write_table(SAMPLES, parts, path, in_memory=2**30).content

    objects = open_object_store((tmp_path / "lake").as_uri())
    lake = LakeStore(objects, scratch)
    objects.put_bytes(lake.key(SAMPLES, key(0)), content)
    path.unlink(missing_ok=True)
    monkeypatch.setattr(lake_module, "OBJECT_HELD_BYTES", len(content) + spare)
    reader = lake.read(SAMPLES, [key(0)])
    batch = next(reader)
    assert any(scratch.iterdir()) == (spare < 0)
    assert pl.DataFrame(batch).equals(rows(key(0), count=50))
    assert list(reader) == [] and not any(scratch.iterdir())


def test_several_row_groups_are_no_small_object(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "LAKE_GROUP_ROWS", 1000)
    parts = batches(rows(key(0), count=LAKE_SAMPLE_ROWS + 1))
    written = write_table(SAMPLES, parts, scratch / "written", in_memory=parts[0].slice(0, 1000).nbytes * 2)
    assert written.content is None and written.rows == LAKE_SAMPLE_ROWS + 1
    assert pq.ParquetFile(scratch / "written").metadata.num_row_groups == 5


def test_many_partitions_together_stay_within_a_limit_of_their_own(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = LakeStore(open_object_store((tmp_path / "lake").as_uri()), scratch)
    parts = [rows(key(day), count=20) for day in range(4)]
    for partitions, expected in ((1, [True]), (4, [False] * 4)):
        in_memory: list[bool] = []

        def watched(*args: Any, seen: list[bool] = in_memory, **kwargs: Any) -> TableFile:
            seen.append((file := write_table(*args, **kwargs)).content is not None)
            return file

        monkeypatch.setattr(lake_module, "write_table", watched)
        monkeypatch.setattr(lake_module, "OBJECTS_HELD_BYTES", 2 * batches(parts[0])[0].nbytes)
        lake.replace(SAMPLES, [key(day) for day in range(partitions)], batches(*parts[:partitions]))
        assert in_memory == expected
    assert stored(lake, [key(day) for day in range(4)]).height == 80


_MEMORY_PROGRAM = """
import resource, sys
from pathlib import Path
import polars as pl, pyarrow as pa
from etl_platform.stores.frames import to_batches
from etl_platform.stores.lake.store import LakeStore
from etl_platform.object_store.open import open_object_store
from etl_platform_tests.stores.tables import SAMPLES, key, rows

store = LakeStore(open_object_store(Path(sys.argv[1]).as_uri()))
part = rows(key(0), count=100_000).drop("text").with_columns(text=pl.lit("x" * 100))
part = part.select(SAMPLES.polars_schema.names())
[data] = part.to_arrow().cast(pa.schema(f.with_nullable(True) for f in SAMPLES.arrow_schema)).to_batches()

def peak(repeats):
    reader = pa.RecordBatchReader.from_batches(data.schema, (data for _ in range(repeats)))
    store.replace(SAMPLES, [key(0)], to_batches(reader, SAMPLES, "test"))
    assert sum(batch.num_rows for batch in store.read(SAMPLES, [key(0)])) == repeats * 100_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

few = peak(5)
print(few, peak(30))
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    # 100,000 rows are 26 MB in Arrow: 25 times more rows would be 650 MB.
    program = [sys.executable, "-c", _MEMORY_PROGRAM, str(tmp_path / "lake")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    few, many = map(int, done.stdout.split())
    assert many < few + 150, f"{few} MB, then {many} MB"
