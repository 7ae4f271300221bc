"""Questions about quarantined rows: in which groups, which lines, which of them are in silver by now.

Pure functions over rows of the quarantine table. Not here: how rows get there (`quarantine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.quarantine import FILE

GROUPED = ("rule", "_source_file", "institution", "business_date", "dataset")
LINE = ("_source_file", "_source_row")


@dataclass(frozen=True)
class Chosen:
    """Which rows: all that break `rule`, of files whose key contains `file`. None: whatever."""

    rule: str | None = None
    file: str | None = None

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of `rows`."""
        conditions = [pl.lit(True)]
        if self.rule is not None:
            conditions.append(pl.col("rules").list.contains(self.rule))
        if self.file is not None:
            conditions.append(pl.col("_source_file").str.contains(self.file, literal=True))
        return rows.filter(pl.all_horizontal(conditions))


def grouped(rows: pl.DataFrame, first_seen: pl.DataFrame) -> pl.DataFrame:
    """GROUPED, `rows` (a row that breaks two rules counts in both groups) and `first_seen_at` of the file.

    first_seen: `_source_file`, `first_seen_at`. Largest group first.
    """
    exploded = rows.with_columns(pl.col("rules").alias("rule")).explode("rule", empty_as_null=True)
    counted = exploded.group_by(GROUPED).agg(pl.len().cast(pl.Int64).alias("rows"))
    known = first_seen.unique("_source_file", keep="first")
    return counted.join(known, on="_source_file", how="left").sort(["rows", *GROUPED], descending=[True] + [False] * 5)


def count_moved(before: pl.DataFrame, silver: pl.DataFrame) -> int:
    """How many rows of `silver` were in quarantine `before`: by file and line, or because their file was refused."""
    files = before.filter(pl.col("kind") == FILE).select("_source_file").unique()
    lines = before.filter(pl.col("kind") != FILE).select(LINE).unique()
    by_file = silver.select(LINE).join(files, on="_source_file", how="semi")
    by_line = silver.select(LINE).join(lines, on=list(LINE), how="semi")
    return pl.concat([by_file, by_line]).unique().height
