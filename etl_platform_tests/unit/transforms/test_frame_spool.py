"""Frames that wait: same rows, same order, whether they stayed in memory or not."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from etl_platform.limits import FEW_ROWS
from etl_platform.transforms.frame_spool import FrameSpool

SCHEMA = pl.Schema({"n": pl.Int64(), "text": pl.String()})


def filled(folder: Path, budget: int, frames: int) -> FrameSpool:
    spool = FrameSpool(SCHEMA, folder, budget)
    for number in range(frames):
        # Another order of columns, a narrower type and one column too many: what a batch may look like.
        spool.append(
            pl.DataFrame({"text": [f"row {number}"] * 10, "more": 1, "n": pl.Series([number] * 10, dtype=pl.Int32)})
        )
    return spool


@pytest.mark.parametrize(("budget", "files"), [(10**9, 0), (1, 7), (300, 2)])
def test_rows_come_back_in_the_order_of_appending(tmp_path: Path, budget: int, files: int) -> None:
    spool = filled(tmp_path / "spool", budget, 7)
    found = spool.scan().collect()
    assert found.schema == SCHEMA
    assert found.get_column("n").to_list() == [number for number in range(7) for _ in range(10)]
    assert spool.rows == 70 and spool.is_spilled == bool(files)
    assert len(list(tmp_path.rglob("*.arrow"))) == files


def test_few_rows_in_memory_need_no_streaming(tmp_path: Path) -> None:
    assert filled(tmp_path / "few", 10**9, 3).engine == "in-memory"
    assert filled(tmp_path / "many", 10**9, FEW_ROWS // 10 + 1).engine == "streaming"
    assert filled(tmp_path / "spilled", 1, 3).engine == "streaming"


def test_nothing_appended_is_an_empty_frame_of_the_schema_and_no_file(tmp_path: Path) -> None:
    spool = FrameSpool(SCHEMA, tmp_path / "spool", 0)
    spool.append(pl.DataFrame(schema=SCHEMA))
    assert spool.scan().collect().schema == SCHEMA and spool.scan().collect().is_empty()
    assert not spool.is_spilled and not (tmp_path / "spool").exists()


def test_a_frame_that_does_not_fit_its_schema_is_an_error_and_not_bent(tmp_path: Path) -> None:
    spool = FrameSpool(SCHEMA, tmp_path, 1)
    with pytest.raises(pl.exceptions.PolarsError):
        spool.append(pl.DataFrame({"n": ["x"], "text": ["y"]}))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        spool.append(pl.DataFrame({"n": [1]}))
    assert spool.rows == 0
