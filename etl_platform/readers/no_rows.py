"""Frames without rows, made once per schema: making one takes longer than a row takes through several steps."""

from __future__ import annotations

from functools import lru_cache

import polars as pl


def no_rows(schema: pl.Schema) -> pl.DataFrame:
    """All columns, no row."""
    return _made(tuple(schema.items())).clone()


@lru_cache(maxsize=256)
def _made(columns: tuple[tuple[str, pl.DataType], ...]) -> pl.DataFrame:
    return pl.DataFrame(schema=dict(columns))
