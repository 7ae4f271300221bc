"""References between datasets: which values of one table are missing in another. The caller reads the tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from etl_platform.limits import REFERENCE_SAMPLE_ROWS


@dataclass(frozen=True)
class References:
    """How the rows of a table refer to a snapshot.

    rows / values: all that refer, and how many different values they name. rows_unknown / values_unknown: those that
    the snapshot lacks. sample: the unknown values with most rows first, each with its number of rows.
    """

    rows: int
    values: int
    rows_unknown: int
    values_unknown: int
    sample: pl.DataFrame


def unknown_references(rows: Iterable[pl.DataFrame], known: pl.Series, column: str) -> References:
    """Values of `column` in `rows` (frames of one partition) that are not in `known`. Null refers to nothing.

    Memory: one frame, and the different values with their counts.
    """
    counts = pl.DataFrame(schema={column: known.dtype, "rows": pl.Int64})
    for frame in rows:
        more = (
            frame.select(pl.col(column).cast(known.dtype))
            .drop_nulls()
            .group_by(column)
            .agg(rows=pl.len().cast(pl.Int64))
        )
        counts = pl.concat([counts, more]).group_by(column).agg(pl.col("rows").sum())
    unknown = counts.join(known.unique().to_frame(column), on=column, how="anti")
    return References(
        rows=int(counts["rows"].sum()),
        values=counts.height,
        rows_unknown=int(unknown["rows"].sum()),
        values_unknown=unknown.height,
        sample=unknown.sort(["rows", column], descending=[True, False]).head(REFERENCE_SAMPLE_ROWS),
    )


def describe_references(found: References, column: str, target: str, snapshot: dt.date) -> str:
    """One sentence for people."""
    if not found.values_unknown:
        return f"all {found.values} {column} of {found.rows} rows are in {target} of {snapshot}"
    return (
        f"{found.values_unknown} of {found.values} {column} ({found.rows_unknown} of {found.rows} rows) "
        f"are not in {target} of {snapshot}"
    )
