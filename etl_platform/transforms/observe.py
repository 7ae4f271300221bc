"""What rows show of their sender: of each column as received, what its first values say. Parts of a file add up.

Belongs here: looking at rows, and adding up what was seen. Not here: what follows from it (`sender_schema.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, partial
from itertools import accumulate, pairwise

import polars as pl
import polars.selectors as cs

from etl_platform.contracts.contract import Contract
from etl_platform.limits import OBSERVED_ROWS
from etl_platform.transforms.casts import cast_series
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import Mapped, SenderFormat, column_dialect

PARQUET = "parquet"

TELLS, READS = 1, 2
"""Bits of a value that says something, and of one that reads as the type of the contract's column."""
KINDS = {"integer": 4, "decimal": 8, "date": 16, "timestamp": 32}
"""Bits of what a text looks like, narrowest first: every integer is a decimal too."""
_NOTHING = b"\0"
_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[AaPp][Mm]|Z|[+-]\d{2}:?\d{2})?"


@dataclass(frozen=True)
class Observation:
    """What was seen of some rows of one file; `+` with what was seen of the rows behind them is what is seen of both,
    and `Observation()` is what is seen of none.

    quarantined: how many of them broke a rule, or could not be taken apart. samples: for each column, in the file's
    order, one byte of bits (`TELLS`, `READS`, `KINDS`) for each of its first values that say something. types: of
    Parquet's columns, which have their own.
    """

    quarantined: int = 0
    samples: Mapping[str, bytes] = field(default_factory=dict)
    types: Mapping[str, pl.DataType] = field(default_factory=dict)

    def __add__(self, behind: Observation) -> Observation:
        own = _chosen(self.samples, list(self.samples))
        more = _chosen(behind.samples, [name for name in behind.samples if len(own.get(name, b"")) < OBSERVED_ROWS])
        joined = {name: (own.get(name, b"") + codes)[:OBSERVED_ROWS] for name, codes in more.items()}
        return Observation(self.quarantined + behind.quarantined, {**own, **joined}, {**behind.types, **self.types})


class _Later(Mapping[str, bytes]):
    """Samples that are made when they are asked for: of a large file most batches are never asked, since what lies
    before them was enough. Pickled as what they are."""

    def __init__(self, names: Sequence[str], make: Callable[[Sequence[str]], dict[str, bytes]]) -> None:
        self._names, self.of = dict.fromkeys(names), make

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return self.of([name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __reduce__(self) -> tuple[type[dict[str, bytes]], tuple[dict[str, bytes]]]:
        return dict, (self.of(list(self._names)),)


def _chosen(samples: Mapping[str, bytes], names: Sequence[str]) -> dict[str, bytes]:
    return samples.of(names) if isinstance(samples, _Later) else {name: samples[name] for name in names}


@dataclass(frozen=True)
class Sight:
    """How rows of one mapping are looked at, for an `Observation`. file_format: csv, json or parquet."""

    contract: Contract
    sender: SenderFormat
    mapped: Mapped
    file_format: str

    def samples(self, frame: pl.DataFrame, typed: pl.DataFrame | None = None) -> Mapping[str, bytes]:
        """Of rows as received. typed: the same rows in the contract's columns and types, where they have been read
        already."""
        return _Later(frame.columns, partial(self._samples, frame, typed))

    def samples_of_each(
        self, frame: pl.DataFrame, typed: pl.DataFrame, starts: Sequence[int]
    ) -> list[Mapping[str, bytes]]:
        """The same of each slice of `frame` that begins at one of `starts` and ends at the next: of all small ones in
        one query."""
        places = list(pairwise(starts))
        small = max((stop for start, stop in places if stop - start <= OBSERVED_ROWS), default=0)
        codes = self._codes(frame[:small], typed[:small], frame.columns)
        return [
            {name: _telling(of_all[start:stop]) for name, of_all in codes.items()}
            if stop - start <= OBSERVED_ROWS
            else self.samples(frame[start:stop], typed[start:stop])
            for start, stop in places
        ]

    def types(self, frame: pl.DataFrame) -> Mapping[str, pl.DataType]:
        """The file's own, where it has some."""
        return frame.schema if self.file_format == PARQUET else {}

    def _samples(self, frame: pl.DataFrame, typed: pl.DataFrame | None, names: Sequence[str]) -> dict[str, bytes]:
        if frame.height <= OBSERVED_ROWS or not names:
            return {name: _telling(codes) for name, codes in self._codes(frame, typed, names).items()}
        found = frame[names].select(pl.arg_where(tells).head(OBSERVED_ROWS).implode() for tells in self._tells())
        rows: dict[str, pl.Series] = {name: found.get_column(name)[0] for name in names}
        values = [frame.get_column(name)[rows[name]] for name in names]
        reads = [self._reads(sample, typed, rows[sample.name]) for sample in values]
        return self._encoded(values, reads, [_all(True, len(sample)) for sample in values])

    def _codes(self, frame: pl.DataFrame, typed: pl.DataFrame | None, names: Sequence[str]) -> dict[str, bytes]:
        """One byte for each row of each column, 0 where it says nothing."""
        if frame.is_empty() or not names:
            return dict.fromkeys(names, b"")
        values = [frame.get_column(name) for name in names]
        reads = [self._reads(column, typed, None) for column in values]
        if self.file_format != PARQUET:
            return self._encoded(values, reads)
        tells = frame[names].select(self._tells())
        return self._encoded(values, reads, [tells.get_column(name) for name in names])

    def _tells(self) -> tuple[pl.Expr, ...]:
        """Which values say something, of all columns."""
        is_text = cs.string()
        return _tells(is_text, self.sender.null_texts), (~is_text).is_not_null()

    def _reads(self, values: pl.Series, typed: pl.DataFrame | None, rows: pl.Series | None) -> pl.Series:
        target = self._targets.get(values.name)
        if target is None:
            return _all(False, len(values))
        if typed is None:
            dialect = column_dialect(self.sender.dialect, self.contract.formats.get(target))
            read = cast_series(values, self.contract.silver.polars_schema[target], dialect)
        else:
            read = typed.get_column(target)
            read = read if rows is None else read[rows]
        return read.is_not_null() if read.null_count() else _all(True, len(values))

    @cached_property
    def _targets(self) -> dict[str, str]:
        return {name: target for target, name in self.mapped.sources.items()}

    def _encoded(
        self, values: Sequence[pl.Series], reads: Sequence[pl.Series], tells: Sequence[pl.Series] | None = None
    ) -> dict[str, bytes]:
        """For all columns in one query: one for each costs a small file more than its rows. tells: which of the values
        say something, where that is not to be asked of them as text."""
        parts = {"reads": reads}
        if tells is not None:
            parts["tells"] = tells
        if is_text := self.file_format != PARQUET:
            parts["v"] = [column if column.dtype == pl.String else column.cast(pl.String) for column in values]
        flags = pl.DataFrame([pl.concat(part).alias(name) for name, part in parts.items()])
        code = _code(self.sender.dialect if is_text else None, None if tells else tuple(self.sender.null_texts))
        codes = flags.select(code).to_series().to_numpy().tobytes()
        stops = list(accumulate(len(column) for column in values))
        return {column.name: codes[stop - len(column) : stop] for column, stop in zip(values, stops, strict=True)}


def _telling(codes: bytes) -> bytes:
    return codes.translate(None, _NOTHING)


def _all(flag: bool, rows: int) -> pl.Series:
    return _one(flag).new_from_index(0, rows)


@cache
def _one(flag: bool) -> pl.Series:
    return pl.Series([flag])


def _tells(text: pl.Expr, null_texts: Sequence[str]) -> pl.Expr:
    return text.is_not_null() & ~text.is_in([*null_texts, ""])


@lru_cache(maxsize=256)
def _code(dialect: Dialect | None, null_texts: tuple[str, ...] | None) -> pl.Expr:
    """The byte of each value. dialect: of text. null_texts: None where `tells` says which values say something."""
    tells = pl.col("tells") if null_texts is None else _tells(pl.col("v"), null_texts)
    code = pl.lit(TELLS, pl.UInt8) + pl.col("reads").cast(pl.UInt8) * READS
    if dialect is not None:
        for kind, pattern in _patterns(dialect).items():
            # Blanks around it by the pattern: to take them off first costs as much as all patterns.
            code += pl.col("v").str.contains(rf"^\s*{pattern}\s*$").cast(pl.UInt8) * KINDS[kind]
    return pl.when(tells).then(code).otherwise(pl.lit(0, pl.UInt8)).alias("code")


def _patterns(dialect: Dialect) -> Mapping[str, str]:
    """For each of `KINDS`, in their order."""
    digits = r"\d+"
    if dialect.thousands:
        digits = rf"(?:\d+|\d{{1,3}}(?:{re.escape(dialect.thousands)}\d{{3}})+)"
    decimal = rf"(?:{digits}(?:{re.escape(dialect.decimal)}\d*)?|{re.escape(dialect.decimal)}\d+)(?:[eE][+-]?\d+)?"
    return {
        "integer": rf"[+-]?{digits}",
        "decimal": rf"[+-]?{decimal}",
        "date": _DATE,
        "timestamp": rf"{_DATE}[T\s]+{_TIME}",
    }
