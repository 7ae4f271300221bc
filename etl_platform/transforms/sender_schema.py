"""What a sender really sends: the columns of a file and the type that each is seen to have.

Parquet columns have the file's own type. Text (CSV, JSON) has none: a column is what at least half of its first values
look like. Belongs here: observing one file. Not here: comparing two (`schema_drift.py`), reading values (`casts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import polars as pl
import polars.selectors as cs

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

_KINDS = ("integer", "decimal", "date", "timestamp")
"""Narrowest first: every integer is a decimal too."""
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

    @cached_property
    def columns_json(self) -> list[dict[str, Any]]:
        """The columns for the ledger."""
        return [column.as_json() for column in self.columns]

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
        names = [name for name in frame.columns if name not in self._seen or self._seen[name].type in UNKNOWN]
        if not names:
            return
        samples = _samples(frame[names], self._sender.null_texts)
        looks = self._looks(samples)
        for name, sample in samples.items():
            target = self._targets.get(name)
            read = typed.get_column(target) if typed is not None and target else None
            self._seen[name] = self._observed(sample, looks[name], target, read)

    def schema(self) -> SenderSchema | None:
        """What was seen; None before the first batch."""
        if not self._seen:
            return None
        columns = ((name, c.type, self._targets.get(name), c.reads) for name, c in self._seen.items())
        return _shared_schema(self._format, tuple(columns))

    def _looks(self, samples: Mapping[str, _Sample]) -> dict[str, str]:
        if self._format == PARQUET:
            return {name: spell(sample.values.dtype) for name, sample in samples.items()}
        texts = [sample.values for sample in samples.values()]
        return dict(zip(samples, look_like(texts, self._sender.dialect), strict=True))

    def _observed(self, sample: _Sample, looks: str, target: str | None, typed: pl.Series | None) -> SenderColumn:
        values, rows = sample.values, sample.rows
        if target is None or values.is_empty():
            return self._told(values.name, looks, target, 0, 0)
        if values.dtype.is_float() and self._dtypes[target] == pl.String:
            return SenderColumn(values.name, looks, target, reads=False)  # its whole numbers read by luck alone
        if typed is None:
            dialect = column_dialect(self._sender.dialect, self._contract.formats.get(target))
            read = cast_series(values, self._dtypes[target], dialect)
        else:
            read = typed if rows is None else typed[rows]
        return self._told(values.name, looks, target, len(values), len(read) - read.null_count())

    def _told(self, name: str, looks: str, target: str | None, values: int, read: int) -> SenderColumn:
        """Of a column of which so many values say something, and so many of them read."""
        if target is None or not values:
            return SenderColumn(name, looks, target)
        reads = read >= LOOKS_LIKE * values
        if not reads and values < FEWEST_VALUES:
            return SenderColumn(name, looks if self._format == PARQUET else UNCLEAR, target)
        return SenderColumn(name, looks, target, reads)

    def tell(self, mapped: Mapped, counts: Mapping[str, _Counts]) -> None:
        """Take a first batch of text of which the values of each column were counted already."""
        self._targets = {name: target for target, name in mapped.sources.items()}
        for name, (values, read, *alike) in counts.items():
            self._seen[name] = self._told(name, _look(values, alike), self._targets.get(name), values, read)

    def counts(
        self, frame: pl.DataFrame, mapped: Mapped, typed: pl.DataFrame, starts: Sequence[int]
    ) -> dict[str, list[_Counts]]:
        """For each column, the counts of each slice of `frame` that begins at one of `starts` and ends at the next."""
        targets = {name: target for target, name in mapped.sources.items()}
        nothing = [*self._sender.null_texts, ""]
        slices = pl.Series("slice", range(len(starts) - 1), dtype=pl.UInt32)
        heights = pl.Series("height", starts).diff().slice(1)
        number = pl.DataFrame([slices, heights]).select(pl.col("slice").repeat_by("height").explode()).to_series()
        found = {}
        for values in frame.get_columns():
            target = targets.get(values.name)
            read = typed.get_column(target).is_not_null() if target else pl.repeat(False, len(values), eager=True)
            is_telling = values.is_not_null() & ~values.is_in(nothing)
            alike = values.to_frame("v").select(_matches(self._sender.dialect))
            flags = pl.DataFrame([number, is_telling.alias("values"), (is_telling & read).alias("read")])
            flags = flags.with_columns((kind & is_telling).alias(kind.name) for kind in alike)
            sums = flags.group_by("slice", maintain_order=True).sum()
            found[values.name] = list(sums.drop("slice").iter_rows())
        return found

    def is_told(self, frame: pl.DataFrame) -> bool:
        """Whether its counts are all that this observer would see of a first batch like `frame`."""
        is_text = all(dtype == pl.String for dtype in frame.dtypes)
        return self._format != PARQUET and not self._seen and is_text


@lru_cache(maxsize=256)
def _shared_schema(file_format: str, columns: tuple[tuple[str, str, str | None, bool], ...]) -> SenderSchema:
    """One object for all files that look alike: a partition may have tens of thousands of them."""
    return SenderSchema(file_format, tuple(SenderColumn(*column) for column in columns))


_Counts = tuple[int, ...]
"""Of a column: values that say something, those of them that read, and those that look like each kind."""


def see_together(
    observers: Sequence[SchemaObserver], frame: pl.DataFrame, mapped: Mapped, typed: pl.DataFrame, starts: Sequence[int]
) -> None:
    """Let each observer see its rows of `frame`, those from its start to the next one's."""
    places = list(zip(observers, starts, starts[1:], strict=False))
    are_first = 1 < len(set(observers)) == len(observers)
    if not are_first or not all(o.is_told(frame) and end - start <= SAMPLE_ROWS for o, start, end in places):
        for observer, start, end in places:
            observer.see(frame[start:end], mapped, typed[start:end])
        return
    counts = observers[0].counts(frame, mapped, typed, starts)
    for number, observer in enumerate(observers):
        observer.tell(mapped, {name: of_all[number] for name, of_all in counts.items()})


@dataclass(frozen=True)
class _Sample:
    """The first values of a column that say something. rows: where they stand, None where they are all there is."""

    values: pl.Series
    rows: pl.Series | None


def _samples(frame: pl.DataFrame, null_texts: Sequence[str]) -> dict[str, _Sample]:
    """A sample of each column, found in one query: one for each costs a small file more than its rows."""
    is_text = cs.string()
    telling = (is_text.is_not_null() & ~is_text.is_in([*null_texts, ""]), (~is_text).is_not_null())
    found = frame.select(pl.arg_where(is_telling).head(SAMPLE_ROWS).implode() for is_telling in telling)
    samples = {}
    for values in frame.get_columns():
        rows: pl.Series = found.get_column(values.name)[0]
        is_all = len(rows) == len(values)
        samples[values.name] = _Sample(values, None) if is_all else _Sample(values[rows], rows)
    return samples


def look_like(samples: Sequence[pl.Series], dialect: Dialect) -> list[str]:
    """What each sample looks like, in one query: `integer`, `decimal`, `date`, `timestamp`, `text`, `empty` without any
    value."""
    texts = pl.concat([sample.cast(pl.String) for sample in samples])
    matches = texts.to_frame("v").select(_matches(dialect))
    looks, start = [], 0
    for sample in samples:
        own, start = matches.slice(start, len(sample)), start + len(sample)
        looks.append(_look(len(sample), [int(kind.sum()) for kind in own]))
    return looks


def _look(values: int, alike: Sequence[int]) -> str:
    """alike: how many of the values look like each kind."""
    kinds = (kind for kind, count in zip(_KINDS, alike, strict=True) if count >= LOOKS_LIKE * values)
    return next(kinds, "text") if values else EMPTY


@lru_cache(maxsize=256)
def _matches(dialect: Dialect) -> tuple[pl.Expr, ...]:
    text = pl.col("v").str.strip_chars()
    return tuple(text.str.contains(pattern).alias(kind) for kind, pattern in _patterns(dialect).items())


def _patterns(dialect: Dialect) -> Mapping[str, str]:
    """For each of `_KINDS`, in their order."""
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
