"""What a declaration says about semantic drift, held against its columns. Not here: finding drift (`transforms/`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from etl_platform.contracts.declared.declaration import Declaration
from etl_platform.contracts.document import near
from etl_platform.errors import ConfigurationError, UnknownNameError

_HAVE_MAGNITUDE = "integer, float or decimal"
_ARE_LABELS = "string, integer or boolean"


def require_watches(declaration: Declaration, columns: Mapping[str, pl.DataType], origin: str) -> None:
    """Raise ConfigurationError where a watched column has no magnitude, or a group or category is no label."""
    for number, watched in enumerate(declaration.watched):
        field = f"{origin} field watched.{number}"
        if not _column(f"{field}.column", watched.column, columns).is_numeric():
            _wrong_type(f"{field}.column", watched.column, columns, _HAVE_MAGNITUDE)
        _require_labels(f"{field}.by", watched.by, columns)
    # The profile of a partition holds one histogram for each watched column.
    _require_once(f"{origin} field watched", [watched.column for watched in declaration.watched])
    _require_labels(f"{origin} field categories", declaration.categories, columns)


def _require_labels(field: str, names: tuple[str, ...], columns: Mapping[str, pl.DataType]) -> None:
    for name in names:
        if not isinstance(_column(field, name, columns), pl.String | pl.Int64 | pl.Boolean):
            _wrong_type(field, name, columns, _ARE_LABELS)
    _require_once(field, names)


def _column(field: str, name: str, columns: Mapping[str, pl.DataType]) -> pl.DataType:
    if name not in columns:
        raise UnknownNameError(field, found=f"column {name!r}", expected=near(name, columns))
    return columns[name]


def _wrong_type(field: str, name: str, columns: Mapping[str, pl.DataType], expected: str) -> None:
    raise ConfigurationError(
        field, found=f"column {name!r} of type {columns[name]}", expected=f"a column of type {expected}"
    )


def _require_once(field: str, names: tuple[str, ...] | list[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise ConfigurationError(field, found=f"column {name!r} twice", expected="each column once")
