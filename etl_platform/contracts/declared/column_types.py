"""The type names of dataset declarations, and their values: `decimal(18,2)`, `2025-01-31`, `0.01`, exactly.

Belongs here: type names and values as a declaration writes them. Not here: what senders write (`transforms/casts.py`).
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import polars as pl

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "date": pl.Date(),
    "timestamp": UTC_MICROSECONDS,
    "boolean": pl.Boolean(),
}
_DECIMAL = re.compile(r"decimal\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)")
EXPECTED_TYPES = f"{', '.join(TYPES)} or decimal(precision,scale) with 1 to 38 digits"


def parse_type(text: str) -> pl.DataType:
    """The Polars type of a declared type. Raises ValueError (found, expected)."""
    if text in TYPES:
        return TYPES[text]
    match = _DECIMAL.fullmatch(text)
    if match:
        precision, scale = int(match[1]), int(match[2])
        if 1 <= precision <= 38 and scale <= precision:
            return pl.Decimal(precision, scale)
    raise ValueError(f"found {text!r}; expected {EXPECTED_TYPES}")


def format_type(dtype: pl.DataType) -> str:
    """The opposite of `parse_type`."""
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    return next(name for name, known in TYPES.items() if known == dtype)


def parse_value(value: Any, dtype: pl.DataType) -> Any:
    """A YAML or TOML value as the Python value of `dtype`, exactly. Raises ValueError (found, expected)."""
    read = _exact(value, dtype)
    if read is None:
        hint = " (in quotes: YAML reads bare yes, no, on, off and numbers as something else)"
        shown = str(value) if isinstance(value, Decimal) else repr(value)
        text = f"found {shown}; expected a value of type {format_type(dtype)}{hint if dtype == pl.String() else ''}"
        raise ValueError(text)
    return read


def literal(value: Any, dtype: pl.DataType) -> pl.Expr:
    """`value` (of `parse_value`) as a constant of exactly that type."""
    return pl.lit(pl.Series([value], dtype=dtype, strict=True)).first()


def _exact(value: Any, dtype: pl.DataType) -> Any:  # noqa: PLR0911 - one line for each type
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    match dtype:
        case pl.String():
            return value if isinstance(value, str) else None
        case pl.Boolean():
            return value if isinstance(value, bool) else None
        case pl.Int64():
            return value if isinstance(value, int) and is_number and -(2**63) <= value < 2**63 else None
        case pl.Float64():
            return float(value) if is_number and abs(float(value)) < float("inf") else None
        case pl.Decimal():
            return _decimal(value, dtype) if is_number or isinstance(value, str) else None
        case pl.Date():
            return _date(value)
        case _:
            return _timestamp(value)


def _decimal(value: Any, dtype: pl.Decimal) -> Decimal | None:
    try:
        # A float's shortest text is what stands in the file: 0.1, not its binary neighbour.
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    _, digits, exponent = number.normalize().as_tuple()
    assert isinstance(exponent, int)
    fits = -exponent <= dtype.scale and len(digits) + exponent <= (dtype.precision or 38) - dtype.scale
    return number if fits or not number else None


def _date(value: Any) -> dt.date | None:
    if isinstance(value, dt.datetime):
        return None
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _timestamp(value: Any) -> dt.datetime | None:
    """UTC where no offset is written, as everywhere in the platform."""
    try:
        read = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if isinstance(read, dt.date) and not isinstance(read, dt.datetime):
        read = dt.datetime(read.year, read.month, read.day)  # noqa: DTZ001 - given its zone below
    if not isinstance(read, dt.datetime):
        return None
    return read.replace(tzinfo=dt.UTC) if read.tzinfo is None else read.astimezone(dt.UTC)
