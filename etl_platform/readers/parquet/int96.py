"""INT96 timestamps of old Parquet writers, as what the file says also beyond the years 1677 to 2262.

Such a value is a day and the nanoseconds of that day; 9999-12-31, which many senders mean by "never", is one. Arrow
makes nanoseconds of it, in 64 bits, and wraps around without a word. Milliseconds hold every one of them: read a second
time as such, those columns tell which values wrapped, and what their nanoseconds were.

Belongs here: INT96. Not here: other timestamps (`types.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform.limits import INT96_BATCH_ROWS

_PER_MILLISECOND = 10**6
_HELD_IN_NANOSECONDS = (2**63 - 1) // _PER_MILLISECOND - 1
"""Milliseconds before and after 1970 whose nanoseconds 64 bits hold."""
_CALENDAR = (-62_135_596_800_000, 253_402_300_799_999)
"""Milliseconds of the years 1 to 9999."""
Kind = Literal["ns", "us", "text"]
KINDS: tuple[Kind, ...] = ("ns", "us", "text")
"""From the first to the last resort."""


def int96_columns(metadata: pq.FileMetaData) -> list[str]:
    """The columns (none inside others) whose timestamps are INT96."""
    columns = (metadata.schema.column(index) for index in range(metadata.num_columns))
    return [c.path for c in columns if c.physical_type == "INT96" and c.path == c.name and not c.max_repetition_level]


@dataclass(frozen=True)
class Instants:
    """One column: whole milliseconds since 1970, and the nanoseconds beyond them (0 to 999,999)."""

    milliseconds: npt.NDArray[np.int64]
    nanoseconds: npt.NDArray[np.int64]
    is_null: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, wrapped: pa.Array, milliseconds: pa.Array) -> Instants:
        """From what Arrow makes of them in nanoseconds and in milliseconds."""
        whole = _numbers(milliseconds)
        rest = _numbers(wrapped).view(np.uint64) - whole.view(np.uint64) * np.uint64(_PER_MILLISECOND)
        return cls(whole, rest.view(np.int64), np.asarray(milliseconds.is_null()))

    @property
    def kind(self) -> Kind:
        """The first that holds every value."""
        if (np.abs(self.milliseconds) <= _HELD_IN_NANOSECONDS).all():
            return "ns"
        within = (self.milliseconds >= _CALENDAR[0]) & (self.milliseconds <= _CALENDAR[1])
        return "us" if within.all() and (self.nanoseconds % 1_000 == 0).all() else "text"

    def array(self, kind: Kind) -> pa.Array:
        """As microseconds or text."""
        if kind == "us":
            microseconds = self.milliseconds * 1_000 + self.nanoseconds // 1_000
            return pa.array(microseconds, mask=self.is_null).cast(pa.timestamp("us"))
        texts = map(_text, self.milliseconds.tolist(), self.nanoseconds.tolist(), self.is_null.tolist())
        return pa.array(texts, pa.string())


class Int96:
    """What a file's INT96 columns have to be read as, each the same in all batches. kinds: of those that nanoseconds do
    not hold."""

    def __init__(self, path: Path, metadata: pq.FileMetaData, options: Mapping[str, Any]) -> None:
        self._path, self._options = path, {**options, "read_dictionary": None}
        self._waiting: pa.Table | None = None
        self.kinds: dict[str, Kind] = {}
        self._further = self._read([])
        if names := int96_columns(metadata):
            self._look(names)

    def _look(self, names: Sequence[str]) -> None:
        for wrapped, milliseconds in zip(self._read(names, "ns"), self._read(names), strict=True):
            for name in names:
                kind = Instants.of(wrapped.column(name), milliseconds.column(name)).kind
                self.kinds[name] = max(self.kinds.get(name, kind), kind, key=KINDS.index)
        self.kinds = {name: kind for name, kind in self.kinds.items() if kind != "ns"}
        self._further = self._read(list(self.kinds))

    def corrected(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """`batch`, the next rows of the file, with what these columns say."""
        if not self.kinds or not batch.num_rows:
            return batch
        waiting = self._waiting
        while waiting is None or waiting.num_rows < batch.num_rows:
            further = pa.Table.from_batches([next(self._further)])
            waiting = further if waiting is None else pa.concat_tables([waiting, further])
        mine, self._waiting = waiting.slice(0, batch.num_rows), waiting.slice(batch.num_rows)
        for name, kind in self.kinds.items():
            exact = Instants.of(batch.column(name), mine.column(name).combine_chunks()).array(kind)
            batch = batch.set_column(batch.schema.get_field_index(name), pa.field(name, exact.type), exact)
        return batch

    def _read(self, names: Sequence[str], unit: str = "ms") -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self._path, **self._options, coerce_int96_timestamp_unit=unit) as file:
            yield from file.iter_batches(INT96_BATCH_ROWS, columns=list(names), use_threads=False)


def _numbers(times: pa.Array) -> npt.NDArray[np.int64]:
    numbers = times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.int64)


def _text(milliseconds: int, nanoseconds: int, is_null: bool) -> str | None:
    if is_null:
        return None
    if not _CALENDAR[0] <= milliseconds <= _CALENDAR[1]:
        return f"{milliseconds}.{nanoseconds:06} ms from 1970-01-01"
    seconds, rest = divmod(milliseconds, 1_000)
    second = np.datetime_as_string(np.datetime64(seconds, "s")).replace("T", " ")
    fraction = f"{rest:03}{nanoseconds:06}".rstrip("0")
    return f"{second}.{fraction}" if fraction else str(second)
