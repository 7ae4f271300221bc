"""Where batches wait: in memory while they hold little of it, then in a scratch file without a name."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from etl_platform.pipeline.facts import Preview
from etl_platform.stores import spool as spool_module
from etl_platform.stores.partition_guard import spooled
from etl_platform.stores.spool import Spool
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The scratch files that were opened."""
    opened: list[Any] = []
    open_file = tempfile.TemporaryFile

    def watched(**kwargs: Any) -> Any:
        opened.append(open_file(**kwargs))
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", watched)
    return opened


def read(spool: Spool) -> pl.DataFrame:
    return pl.DataFrame(pa.Table.from_batches(spool.batches(), schema=SAMPLES.arrow_schema))


def test_few_rows_touch_no_disk(tmp_path: Path, files: list[Any]) -> None:
    spool = Spool(SAMPLES.arrow_schema, tmp_path / "scratch")
    for start in (0, 6):
        [batch] = batches(rows(key(0), start=start))
        spool.append(batch)
    assert spool.rows == 12 and read(spool).equals(rows(key(0), count=12))
    spool.close()
    spool.close()
    assert not files and not (tmp_path / "scratch").exists()


def test_many_rows_wait_on_disk_in_their_order(
    tmp_path: Path, files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    [first] = batches(rows(key(0)))
    monkeypatch.setattr(spool_module, "SPOOL_HELD_BYTES", first.get_total_buffer_size())
    spool = Spool(SAMPLES.arrow_schema, tmp_path / "scratch")
    spool.append(first)
    assert not files
    for start in range(6, 60, 6):
        spool.append(batches(rows(key(0), start=start))[0])
    assert len(files) == 1 and read(spool).equals(rows(key(0), count=60))
    assert list((tmp_path / "scratch").iterdir()) == []
    spool.close()
    assert files[0].closed


def test_a_part_of_a_large_batch_counts_as_what_it_keeps_alive(
    files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    [batch] = batches(rows(key(0), count=1000))
    part = batch.slice(10, 1)
    monkeypatch.setattr(spool_module, "SPOOL_HELD_BYTES", part.nbytes * 100)
    spool = Spool(SAMPLES.arrow_schema)
    spool.append(part)
    assert files and read(spool).equals(rows(key(0), count=1000).slice(10, 1))
    spool.close()


def test_a_large_batch_comes_back_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is in memory as a whole, beside what its reader makes of it."""
    [batch] = batches(rows(key(0), count=60))
    monkeypatch.setattr(spool_module, "SPOOL_HELD_BYTES", 0)
    monkeypatch.setattr(spool_module, "SPOOL_PIECE_BYTES", batch.get_total_buffer_size() // 6)
    spool = Spool(SAMPLES.arrow_schema)
    spool.append(batch)
    spool.append(batch.slice(0, 0))
    pieces = list(spool.batches())
    spool.close()
    assert len(pieces) >= 6 and max(piece.num_rows for piece in pieces) <= 10
    assert pl.DataFrame(pa.Table.from_batches(pieces)).equals(rows(key(0), count=60))


def test_slices_of_a_large_batch_are_cut_by_their_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow counts all of a slice's parent as its buffers: by that each slice would be cut into crumbs."""
    [batch] = batches(rows(key(0), count=600))
    monkeypatch.setattr(spool_module, "SPOOL_HELD_BYTES", 0)
    monkeypatch.setattr(spool_module, "SPOOL_PIECE_BYTES", batch.nbytes // 6)
    spool = Spool(SAMPLES.arrow_schema)
    for start in range(0, 600, 50):
        spool.append(batch.slice(start, 50))
    pieces = list(spool.batches())
    spool.close()
    assert [piece.num_rows for piece in pieces] == [50] * 12


def test_no_batch_is_held_once_it_waits_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SPOOL_HELD_BYTES", 0)
    gc.collect()
    before = pa.total_allocated_bytes()

    def made() -> Iterator[pa.RecordBatch]:
        for start in (0, 1_000):
            [batch] = batches(rows(key(0), start=start, count=1_000))
            # Copied into Arrow's own memory, which can be measured.
            yield pa.ipc.read_record_batch(batch.serialize(), batch.schema).take(pa.array(range(1_000)))

    with spooled(SAMPLES, [key(0)], made()) as spools:
        assert spools[key(0)].rows == 2_000
        assert pa.total_allocated_bytes() <= before


def test_a_preview_holds_values_and_not_the_batch() -> None:
    [batch] = batches(rows(key(0), count=1_000))
    gc.collect()
    before = pa.total_allocated_bytes()
    copy = batch.take(pa.array(range(1_000)))
    preview = Preview()
    for _ in preview.watch(iter([copy])):
        pass
    del copy, _
    assert pa.total_allocated_bytes() <= before and preview.rows
