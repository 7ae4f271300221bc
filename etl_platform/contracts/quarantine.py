"""The quarantine table, the same for every dataset: what was refused, where it stood, and why."""

from __future__ import annotations

from functools import cache

import polars as pl

from etl_platform.contracts.contract import PARTITION_COLUMNS, UTC_MICROSECONDS
from etl_platform.contracts.table import Column, Table

ROW, FILE, SUPERSEDED = "row", "file", "superseded"
"""`row`: broke a rule. `file`: could not be read at all (counts no rows). `superseded`: valid, but a later
delivery of the same partition holds other values under the same key."""

SUPERSEDED_RULE = "row_is_latest_of_its_key"
SUPERSEDED_SENTENCE = "A later delivery of the same partition holds other values under the same key."

COLUMNS: tuple[Column, ...] = (
    Column("kind", pl.String(), False, "row (broke a rule), file (could not be read), superseded (a later one won)."),
    Column("_source_file", pl.String(), False, "Landing key of the file."),
    Column("_source_row", pl.Int64(), True, "Line or record number in the file, from 1; null for a whole file."),
    Column("rules", pl.List(pl.String()), False, "Names of the broken rules."),
    Column("columns", pl.List(pl.String()), False, "Columns that these rules look at."),
    Column("reason", pl.String(), False, "The rules as sentences, with what was found."),
    Column("raw", pl.String(), True, "The row as received; of Parquet, its values as JSON."),
    Column("_processed_at", UTC_MICROSECONDS, False, "When the platform refused it (UTC)."),
)


@cache
def quarantine_table(dataset: str) -> Table:
    """The quarantine table of `dataset`."""
    return Table(
        layer="quarantine",
        name=dataset,
        description=f"Rows and files of {dataset} that were refused, with file, line, rule and the raw text.",
        columns=(*COLUMNS, *PARTITION_COLUMNS),
    )
