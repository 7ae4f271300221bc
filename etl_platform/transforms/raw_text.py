"""Rows that turn out as losers when all files are read: their raw text, as the sender sent them.

Their batches are gone by then, and to keep the text of every row for the few would cost every partition. So the files
that hold such rows are read once more, up to the last of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from etl_platform.readers.batch import SOURCE_ROW, Batch
from etl_platform.readers.no_rows import no_rows

_SCHEMA = pl.Schema({SOURCE_ROW: pl.Int64(), "raw": pl.String()})


def raw_texts(wanted: pl.Series, batches: Iterable[Batch]) -> pl.DataFrame:
    """`SOURCE_ROW` and `raw` of the `wanted` source rows of one file, whose `batches` begin at its start."""
    found = [no_rows(_SCHEMA)]
    left = len(wanted)
    for batch in batches:
        at = batch.source_rows.is_in(wanted.implode()).arg_true()
        found.append(pl.DataFrame([batch.source_rows.gather(at).alias(SOURCE_ROW), batch.raw(at).alias("raw")]))
        left -= len(at)
        if not left:
            break
    return pl.concat(found)
