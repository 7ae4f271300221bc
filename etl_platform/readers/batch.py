"""What every reader yields: a batch of records as received, and the records it could not take apart.

Readers never judge values: `columns` holds text (CSV, JSON) or the file's own types (Parquet); the contract's
casts come later. Rows are counted here: `height + rejects.height` over all batches is the "rows read" of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from etl_platform.readers.no_rows import no_rows

SOURCE_ROW = "_source_row"

REJECT_SCHEMA = pl.Schema({SOURCE_ROW: pl.Int64(), "rule": pl.String(), "found": pl.String(), "raw": pl.String()})
"""`rule`: name of what was broken (`row_has_all_fields`, `line_is_json`); `found`: e.g. "5 fields, expected 7"."""

QUOTES_ARE_CLOSED = "quotes_are_closed"
"""The rule under which CSV records are rejected whose quotes do not tell where fields end."""


def no_rejects() -> pl.DataFrame:
    """An empty frame of REJECT_SCHEMA."""
    return no_rows(REJECT_SCHEMA)


@dataclass(frozen=True)
class Batch:
    """Some consecutive records of one file.

    columns: one column per column of the sender, named as the sender names it.
    source_rows: Int64, the 1-based line (CSV, JSON lines) or record number (JSON array, Parquet) of each row.
    raw: `raw(indices)` gives the raw text of the rows at those positions (UInt32 series), called only for
    quarantined rows, so that the happy path never builds it.
    rejects: records that could not be taken apart, as REJECT_SCHEMA.
    held: bytes of text that `raw` keeps in memory.
    bare: of columns of JSON, which values are written without quotes (Boolean, one for each row): as text `1001.0` does
    not tell whether it is a number, which has several spellings, or an identifier, which has one.
    """

    columns: pl.DataFrame
    source_rows: pl.Series
    raw: Callable[[pl.Series], pl.Series]
    rejects: pl.DataFrame = field(default_factory=no_rejects)
    held: int = 0
    bare: Mapping[str, pl.Series] = field(default_factory=dict)
