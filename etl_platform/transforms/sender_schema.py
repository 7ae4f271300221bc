"""What a sender really sends: the columns of a file and the type that each is seen to have.

Parquet columns have the file's own type. Text (CSV, JSON) has none: a column is what at least half of its first values
look like. Belongs here: what follows from what was seen of one file. Not here: seeing it (`observe.py`), comparing two
files (`drift/columns.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.limits import FEWEST_TYPED_VALUES
from etl_platform.transforms.normalise import Mapped
from etl_platform.transforms.observe import KINDS, READS, Observation

LOOKS_LIKE = 0.5
"""Share of the sample that decides. Single wrong values are the business of the row rules, not drift."""
EMPTY, UNCLEAR = "empty", "unclear"
UNKNOWN = frozenset({EMPTY, UNCLEAR})
"""Types of columns whose values say nothing, yet."""


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

    @cached_property
    def columns_json(self) -> list[dict[str, Any]]:
        """The columns for the ledger."""
        return [column.as_json() for column in self.columns]

    @classmethod
    def from_json(cls, file_format: str, columns: list[dict[str, Any]]) -> SenderSchema:
        """What `SenderColumn.as_json` gave."""
        return cls(file_format, tuple(SenderColumn(**column) for column in columns))


def sender_schema(seen: Observation, mapped: Mapped, contract: Contract, file_format: str) -> SenderSchema | None:
    """What a file is seen to hold, with the mapping of all its columns; None where no column was seen."""
    if not seen.samples:
        return None
    targets = {name: target for target, name in mapped.sources.items()}
    columns = (_observed(name, codes, targets.get(name), seen, contract) for name, codes in seen.samples.items())
    return _shared_schema(file_format, tuple(columns))


def _observed(
    name: str, codes: bytes, target: str | None, seen: Observation, contract: Contract
) -> tuple[str, str, str | None, bool]:
    said, dtype = _said(codes), seen.types.get(name)
    looks = said.looks if dtype is None else spell(dtype)
    if target is None or not said.values:
        return name, looks, target, True
    if dtype is not None and dtype.is_float() and contract.silver.polars_schema[target] == pl.String:
        return name, looks, target, False  # its whole numbers read by luck alone
    reads = said.reads >= LOOKS_LIKE * said.values
    if not reads and said.values < FEWEST_TYPED_VALUES:
        return name, UNCLEAR if dtype is None else looks, target, True
    return name, looks, target, reads


@dataclass(frozen=True)
class _Said:
    """Of a column: values that say something, those of them that read, and what they look like."""

    values: int
    reads: int
    looks: str


@lru_cache(maxsize=1_000)
def _said(codes: bytes) -> _Said:
    counts = Counter(codes)

    def having(bit: int) -> int:
        return sum(count for code, count in counts.items() if code & bit)

    values = len(codes)
    kinds = (kind for kind, bit in KINDS.items() if having(bit) >= LOOKS_LIKE * values)
    return _Said(values, having(READS), next(kinds, "text") if values else EMPTY)


@lru_cache(maxsize=256)
def _shared_schema(file_format: str, columns: tuple[tuple[str, str, str | None, bool], ...]) -> SenderSchema:
    """One object for all files that look alike: a partition may have tens of thousands of them."""
    return SenderSchema(file_format, tuple(SenderColumn(*column) for column in columns))


def spell(dtype: pl.DataType) -> str:
    """A Parquet column's type for people: `int64`, `decimal(18, 4)`, `timestamp(us, UTC)`, `text`."""
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return f"timestamp({dtype.time_unit}{f', {dtype.time_zone}' if dtype.time_zone else ''})"
    if dtype == pl.Null:
        return EMPTY
    return "text" if dtype == pl.String else str(dtype).lower()
