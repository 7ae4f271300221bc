"""What a sender really sends: the columns of a file and the type that each is seen to have.

Parquet columns have the file's own type. Text (CSV, JSON) has none: a column is what at least half of its first values
look like. Belongs here: observing one file. Not here: comparing two (`schema_drift.py`), reading values (`casts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.transforms.casts import cast_series
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import Mapped, SenderFormat, column_dialect

SAMPLE_ROWS = 1_000
"""First values of a column that are looked at: under a millisecond a column, whatever the file's size."""
LOOKS_LIKE = 0.5
"""Share of the sample that decides. Single wrong values are the business of the row rules, not drift."""
FEWEST_VALUES = 2
"""A single value that does not read is a wrong value, not another type."""
EMPTY, UNCLEAR = "empty", "unclear"
UNKNOWN = frozenset({EMPTY, UNCLEAR})
"""Types of columns whose values say nothing, yet."""
PARQUET = "parquet"

_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp][Mm]|Z|[+-]\d{2}:?\d{2})?"


@dataclass(frozen=True)
class SenderColumn:
    """One column as sent. target: the contract's column that it feeds, if any. reads: whether its values are seen to
    read as that column's type."""

    name: str
    type: str
    target: str | None = None
    reads: bool = True

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {"name": self.name, "type": self.type, "target": self.target, "reads": self.reads}


@dataclass(frozen=True)
class SenderSchema:
    """All columns of one file, in its order. format: csv, json or parquet."""

    format: str
    columns: tuple[SenderColumn, ...]

    @classmethod
    def from_json(cls, file_format: str, columns: list[dict[str, Any]]) -> SenderSchema:
        """What `SenderColumn.as_json` gave."""
        return cls(file_format, tuple(SenderColumn(**column) for column in columns))


class SchemaObserver:
    """Sees the batches of one file. After the first batch only new and still empty columns are looked at."""

    def __init__(self, contract: Contract, sender: SenderFormat, file_format: str) -> None:
        self._contract, self._sender, self._format = contract, sender, file_format
        self._dtypes = {column.name: column.dtype for column in contract.columns}
        self._seen: dict[str, SenderColumn] = {}
        self._targets: dict[str, str] = {}

    def see(self, frame: pl.DataFrame, mapped: Mapped, typed: pl.DataFrame | None = None) -> None:
        """Take one batch, as received, and the mapping of all columns so far. typed: the same rows in the contract's
        columns and types, where they have been read already."""
        self._targets = {name: target for target, name in mapped.sources.items()}
        for name in frame.columns:
            known = self._seen.get(name)
            if known is None or known.type in UNKNOWN:
                target = self._targets.get(name)
                read = typed.get_column(target) if typed is not None and target else None
                self._seen[name] = self._observed(frame.get_column(name), target, read)

    def schema(self) -> SenderSchema | None:
        """What was seen; None before the first batch."""
        if not self._seen:
            return None
        columns = (replace(column, target=self._targets.get(name)) for name, column in self._seen.items())
        return SenderSchema(self._format, tuple(columns))

    def _observed(self, values: pl.Series, target: str | None, typed: pl.Series | None) -> SenderColumn:
        says_something = pl.col("v").is_not_null()
        if values.dtype == pl.String:
            says_something &= ~pl.col("v").is_in([*self._sender.null_texts, ""])
        found = values.to_frame("v").select(pl.arg_where(says_something)).to_series().head(SAMPLE_ROWS)
        rows = None if len(found) == len(values) else found
        sample = values if rows is None else values.gather(rows)
        dialect = column_dialect(self._sender.dialect, self._contract.formats.get(target or ""))
        looks = spell(values.dtype) if self._format == PARQUET else looks_like(sample, dialect)
        if target is None or sample.is_empty():
            return SenderColumn(values.name, looks, target)
        if typed is None:
            read = cast_series(sample, self._dtypes[target], dialect)
        else:
            read = typed if rows is None else typed.gather(rows)
        reads = len(read) - read.null_count() >= LOOKS_LIKE * len(sample)
        if not reads and len(sample) < FEWEST_VALUES:
            return SenderColumn(values.name, looks if self._format == PARQUET else UNCLEAR, target)
        return SenderColumn(values.name, looks, target, reads)


def looks_like(sample: pl.Series, dialect: Dialect) -> str:
    """`integer`, `decimal`, `date`, `timestamp` or `text`; `empty` without any value."""
    if sample.is_empty():
        return EMPTY
    text = pl.col("v").cast(pl.String).str.strip_chars()
    shares = sample.to_frame("v").select(
        text.str.contains(pattern).mean().alias(kind) for kind, pattern in _patterns(dialect).items()
    )
    return next((kind for kind, share in shares.row(0, named=True).items() if share >= LOOKS_LIKE), "text")


def _patterns(dialect: Dialect) -> Mapping[str, str]:
    """Narrowest first: every integer is a decimal too."""
    digits = r"\d+"
    if dialect.thousands:
        digits = rf"(?:\d+|\d{{1,3}}(?:{re.escape(dialect.thousands)}\d{{3}})+)"
    decimal = rf"(?:{digits}(?:{re.escape(dialect.decimal)}\d*)?|{re.escape(dialect.decimal)}\d+)(?:[eE][+-]?\d+)?"
    return {
        "integer": rf"^[+-]?{digits}$",
        "decimal": rf"^[+-]?{decimal}$",
        "date": f"^{_DATE}$",
        "timestamp": rf"^{_DATE}[T\s]+{_TIME}$",
    }


def spell(dtype: pl.DataType) -> str:
    """A Parquet column's type for people: `int64`, `decimal(18, 4)`, `timestamp(us, UTC)`, `text`."""
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return f"timestamp({dtype.time_unit}{f', {dtype.time_zone}' if dtype.time_zone else ''})"
    if dtype == pl.Null:
        return EMPTY
    return "text" if dtype == pl.String else str(dtype).lower()
