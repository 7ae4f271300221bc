"""Where batches wait: in memory while they hold little of it, then in a scratch file without a name."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from etl_platform.io_managers import spool as spool_module
from etl_platform.io_managers.spool import Spool
from etl_platform_tests.io_managers.tables import SAMPLES, batches, key, rows


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
    monkeypatch.setattr(spool_module, "IN_MEMORY_BYTES", first.get_total_buffer_size())
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
    monkeypatch.setattr(spool_module, "IN_MEMORY_BYTES", part.nbytes * 100)
    spool = Spool(SAMPLES.arrow_schema)
    spool.append(part)
    assert files and read(spool).equals(rows(key(0), count=1000).slice(10, 1))
    spool.close()
