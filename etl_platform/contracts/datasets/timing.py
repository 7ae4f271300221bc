"""Rules about time that several contracts share, as Polars expressions over the silver columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from etl_platform.contracts.table import BUSINESS_DATE


def within_business_date(column: str, parameters: Mapping[str, Any]) -> pl.Expr:
    """True where `column` (UTC) falls on the row's business date in the institution's `time_zone`,
    extended on both sides by `business_date_tolerance_hours`.
    """
    tolerance = pl.duration(hours=parameters["business_date_tolerance_hours"])
    # A zone whose clocks change at midnight has no 00:00 on that date: take the first instant that exists.
    midnight = (
        pl.col(BUSINESS_DATE)
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone(parameters["time_zone"], ambiguous="earliest", non_existent="null")
    )
    start = midnight.fill_null(
        pl.col(BUSINESS_DATE)
        .cast(pl.Datetime("us"))
        .dt.offset_by("1h")
        .dt.replace_time_zone(parameters["time_zone"], ambiguous="earliest", non_existent="null")
    ).dt.convert_time_zone("UTC")
    # 25 hours cover the longest civil day (clocks set back); the tolerance makes the exact length irrelevant.
    return pl.col(column).is_between(start - tolerance, start + pl.duration(hours=25) + tolerance)


def not_in_future(column: str, parameters: Mapping[str, Any]) -> pl.Expr:
    """True where `column` is not after `_processed_at`, allowing `clock_skew_minutes` between two clocks."""
    return pl.col(column) <= pl.col("_processed_at") + pl.duration(minutes=parameters["clock_skew_minutes"])
