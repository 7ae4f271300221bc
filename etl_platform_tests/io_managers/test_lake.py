"""Parquet in the lake: where, in which form, how damage shows, and that scratch stays clean."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_platform.contracts.table import Column, PartitionKey
from etl_platform.errors import SchemaMismatchError, StorageError
from etl_platform.io_managers.lake import LakeStore
from etl_platform.io_managers.parquet_file import SAMPLE_ROWS
from etl_platform.resources.object_store import open_object_store
from etl_platform_tests.io_managers.tables import SAMPLES, TOTALS, batches, key, rows, stored


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def lake(tmp_path: Path, scratch: Path) -> LakeStore:
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


@pytest.mark.parametrize("count", [10, 3 * SAMPLE_ROWS])
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
    wide = rows(key(0), count=SAMPLE_ROWS * 3).with_columns(text=pl.lit("x" * 16_384))
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


def test_a_column_that_the_old_object_cannot_give_is_refused_by_name(lake: LakeStore) -> None:
    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    columns = (*SAMPLES.columns[1:], Column("id", pl.String(), False, ""), Column("venue", pl.String(), False, ""))
    with pytest.raises(SchemaMismatchError, match=r"id is int64 instead of string; missing venue .*rerun"):
        stored(lake, [key(0)], table=replace(SAMPLES, columns=columns, key=()))


def test_scratch_is_empty_after_success_failure_and_a_reader_that_stops_early(lake: LakeStore, scratch: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches(rows(key(0)))
        assert any(scratch.iterdir())
        raise RuntimeError("the source broke")

    lake.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    with pytest.raises(RuntimeError):
        lake.replace(SAMPLES, [key(0)], failing())
    reader = lake.read(SAMPLES, [key(0)])
    next(reader)
    assert any(scratch.iterdir())
    reader.close()  # type: ignore[attr-defined]
    assert not any(scratch.iterdir())


_MEMORY_PROGRAM = """
import resource, sys
from pathlib import Path
import polars as pl, pyarrow as pa
from etl_platform.io_managers.frames import to_batches
from etl_platform.io_managers.lake import LakeStore
from etl_platform.resources.object_store import open_object_store
from etl_platform_tests.io_managers.tables import SAMPLES, key, rows

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
