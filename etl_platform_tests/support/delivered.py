"""Bytes through the whole way of a row: files of one partition, delivered one after the other.

Belongs here: what tests with their own bytes share. Not here: landing keys and institutions (`silver.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.table import PartitionKey
from etl_platform.readers import FormatOptions, ReadLimits
from etl_platform.transforms.normalise import SenderFormat
from etl_platform.transforms.silver import Silver, SilverPlan, SourceFile, build_silver
from etl_platform.transforms.validate import find_failures

DATE = dt.date(2025, 1, 15)
PROCESSED = dt.datetime(2025, 1, 16, 2, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Delivered:
    """What became of the files: the result with its counts, and both tables in memory."""

    result: Silver
    silver: pl.DataFrame
    quarantine: pl.DataFrame

    def values(self, dataset: str) -> list[tuple[Any, ...]]:
        """The contract's columns of silver, row by row in the order of the file."""
        names = [column.name for column in BUILT_IN[dataset].columns]
        return self.silver.sort("_source_file", "_source_row").select(names).rows()

    @property
    def broken(self) -> list[tuple[int | None, list[str]]]:
        """Quarantined rows and files: `_source_row` (None: the whole file) and the rules."""
        return self.quarantine.sort("_source_file", "_source_row").select("_source_row", "rules").rows()


def deliver(
    contents: Sequence[bytes],
    folder: Path,
    options: FormatOptions,
    *,
    dataset: str = "prices",
    sender: SenderFormat | None = None,
    limits: ReadLimits | None = None,
    batch_rows: int = 100_000,
) -> Delivered:
    """Silver and quarantine of one partition whose files have these contents and names that say nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for delivery, content in enumerate(contents, 1):
        path = folder / f"object{delivery}"
        path.write_bytes(content)
        files.append(SourceFile(f"key{delivery:06}", path, delivery, sender or SenderFormat()))
    plan = SilverPlan(
        contract=BUILT_IN[dataset],
        partition=PartitionKey(DATE, "first"),
        options=options,
        processed_at=PROCESSED,
        scratch=folder / "scratch",
        limits=limits or ReadLimits(),
        batch_rows=batch_rows,
    )
    result = build_silver(files, plan)
    return Delivered(result, result.silver.collect(), result.quarantine.collect())


def require_conservation(delivered: Delivered) -> None:
    """Every row read is in silver, in quarantine or a counted duplicate: by file, and in the tables themselves."""
    result = delivered.result
    for file in result.files:
        assert file.unexplained == 0, file
        assert min(file.rows_read, file.silver, file.quarantined, file.duplicates) >= 0, file
    whole_files = sum(file.refusal is not None for file in result.files)
    assert delivered.silver.height == result.rows_silver
    assert delivered.quarantine.height == result.rows_quarantined + whole_files
    assert delivered.quarantine.get_column("_source_row").null_count() == whole_files
    assert result.rows_read == result.rows_silver + result.rows_quarantined + result.rows_duplicate


def require_valid(delivered: Delivered, dataset: str) -> None:
    """Silver holds only rows that keep every rule, in the table's own schema."""
    contract = BUILT_IN[dataset]
    assert delivered.silver.schema == contract.silver.polars_schema
    assert find_failures(delivered.silver, contract).is_empty()
