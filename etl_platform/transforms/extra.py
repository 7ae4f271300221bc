"""Columns that the contract lacks, kept beside each row as one JSON text: what `drift_policy: add` adds to silver."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from etl_platform.readers.parquet.types import plain_json
from etl_platform.transforms.casts import shown_text

EXTRA = "_extra"


def no_extra() -> pl.Expr:
    """`_extra` of rows that keep none."""
    return pl.lit(None, pl.String).alias(EXTRA)


def extra_columns(frame: pl.DataFrame, names: Sequence[str]) -> pl.Series:
    """The columns `names` of `frame`, row by row, as JSON objects of texts; null where none of them holds a value.

    Values are text whatever their type, so that a number keeps its digits; lists and structs stay JSON.
    """
    if not names:
        return pl.repeat(None, frame.height, dtype=pl.String, eager=True).alias(EXTRA)
    shown = pl.DataFrame([_shown(frame.get_column(name)) for name in names])
    holds = pl.any_horizontal(pl.all().is_not_null())
    packed = pl.when(holds).then(pl.struct(pl.all()).struct.json_encode())
    return shown.select(packed.alias(EXTRA)).to_series()


def _shown(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Null:
        return values.cast(pl.String)
    if values.dtype.is_nested():
        return values.to_frame().select(plain_json(pl.col(values.name), values.dtype).alias(values.name)).to_series()
    return shown_text(values).alias(values.name)
