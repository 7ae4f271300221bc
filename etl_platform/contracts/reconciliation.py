"""The reconciliation table, the same for every dataset: what became of every row of every file."""

from __future__ import annotations

from functools import cache

import polars as pl

from etl_platform.contracts.contract import PARTITION_COLUMNS, UTC_MICROSECONDS
from etl_platform.contracts.table import Column, Table

COLUMNS: tuple[Column, ...] = (
    Column("_source_file", pl.String(), False, "Landing key of the file."),
    Column("uri", pl.String(), False, "Where the file was seen last."),
    Column("sha256", pl.String(), False, "SHA-256 of its bytes."),
    Column("delivery", pl.Int64(), False, "Order of delivery inside the partition, from 1."),
    Column("is_refused", pl.Boolean(), False, "True when the file could not be read at all."),
    Column("rows_read", pl.Int64(), False, "Rows read; zero for a refused file."),
    Column("rows_silver", pl.Int64(), False, "Rows in silver."),
    Column("rows_quarantined", pl.Int64(), False, "Rows in quarantine, superseded ones included."),
    Column("rows_duplicate", pl.Int64(), False, "Exact repeats, counted and not stored."),
    Column("missing_columns", pl.List(pl.String()), False, "Columns of the contract that the file lacks."),
    Column("extra_columns", pl.List(pl.String()), False, "Columns of the file that the contract lacks."),
    Column("reason", pl.String(), True, "Why a refused file was refused."),
    Column("_processed_at", UTC_MICROSECONDS, False, "When the platform read the file (UTC)."),
)


@cache
def reconciliation_table(dataset: str) -> Table:
    """The reconciliation table of `dataset`: `rows_read = rows_silver + rows_quarantined + rows_duplicate`."""
    return Table(
        layer="reconciliation",
        name=dataset,
        description=f"What became of every row of every {dataset} file: read = silver + quarantined + duplicates.",
        columns=(*COLUMNS, *PARTITION_COLUMNS),
        key=("_source_file", "sha256"),
    )
