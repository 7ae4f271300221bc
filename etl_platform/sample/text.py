"""Typed values as one sender writes them: the opposite of `transforms/casts.py`."""

from __future__ import annotations

import polars as pl

from etl_platform.transforms.casts import Dialect

ISO = "%Y-%m-%dT%H:%M:%S%.f%:z"
_LARGEST_GROUPS = 6
"""Groups of three digits: Int64 and Decimal(18) have no more."""


def to_text(values: pl.Series, dialect: Dialect) -> pl.Series:
    """`values` as text in the sender's notation; null stays null."""
    dtype = values.dtype
    if dtype == pl.String:
        return values
    if isinstance(dtype, pl.Datetime):
        fmt = dialect.datetime_formats[0].replace("%#z", "%z") if dialect.datetime_formats else ISO
        zone = dialect.time_zone if dialect.datetime_formats else "UTC"
        return values.dt.convert_time_zone(zone).dt.strftime(fmt)
    if dtype == pl.Date:
        return values.dt.strftime(dialect.date_formats[0] if dialect.date_formats else "%Y-%m-%d")
    text = values.cast(pl.String)
    if isinstance(dtype, pl.Decimal):
        # Two decimals as people write prices, unless the value has more.
        text = text.str.strip_suffix("0" * max(0, dtype.scale - 2))
    return _marked(text, dialect) if dtype.is_numeric() else text


def _marked(text: pl.Series, dialect: Dialect) -> pl.Series:
    if dialect.decimal != ".":
        text = text.str.replace(".", dialect.decimal, literal=True)
    if dialect.thousands:
        mark = dialect.thousands.replace("$", "$$")
        for _ in range(_LARGEST_GROUPS):
            text = text.str.replace(r"^([+-]?\d+)(\d{3})(\D.*)?$", f"${{1}}{mark}${{2}}${{3}}")
    return text
