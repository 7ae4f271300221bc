"""The business date of every row of a file, by its event time, as silver would read it.

Belongs here: which column, which format, which day. Not here: the rows' own text (`text.py`, `typed.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.errors import ConfigurationError
from etl_platform.readers.batch import SOURCE_ROW, Batch
from etl_platform.transforms.casts import cast_series
from etl_platform.transforms.normalise import SenderFormat, map_columns

Numbers = npt.NDArray[np.int64]

UNDATED = -(2**31)
"""In place of a day: the row could not be taken apart, or its event time does not read."""
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Dated:
    """rows: `_source_row` of each, ascending. days: since 1970-01-01, or UNDATED."""

    rows: Numbers
    days: Numbers


@dataclass(frozen=True)
class Dating:
    """How to find a row's business date. time_zone: whose day it is."""

    contract: Contract
    sender: SenderFormat
    time_zone: str
    subject: str

    def dated(self, batch: Batch) -> Dated:
        """The dates of a batch's rows, those that could not be taken apart among them."""
        days = self._days(batch.columns)
        rejected = batch.rejects[SOURCE_ROW].to_numpy().astype(np.int64)
        rows = np.concatenate((batch.source_rows.to_numpy().astype(np.int64), rejected))
        days = np.concatenate((days, np.full(len(rejected), UNDATED, dtype=np.int64)))
        order = np.argsort(rows, kind="stable")
        return Dated(rows[order], days[order])

    def _days(self, columns: pl.DataFrame) -> Numbers:
        if columns.is_empty():
            return np.empty(0, dtype=np.int64)
        name = self._column(columns.columns)
        dtype = self.contract.silver.polars_schema[self.contract.event_time or ""]
        values = columns[name]
        if values.dtype == pl.String and self.sender.null_texts:
            values = (
                values.to_frame("v").select(pl.when(~pl.col("v").is_in(self.sender.null_texts)).then("v")).to_series()
            )
        moments = cast_series(values, dtype, self.sender.dialect)
        if isinstance(dtype, pl.Datetime):
            moments = moments.dt.convert_time_zone(self.time_zone).dt.date()
        return moments.to_physical().cast(pl.Int64).fill_null(UNDATED).to_numpy().astype(np.int64)

    def _column(self, names: list[str]) -> str:
        wanted = self.contract.event_time
        found = map_columns(names, self.contract, self.sender).sources.get(wanted) if wanted else None
        if found is None:
            raise ConfigurationError(
                self.subject,
                found=f"columns {', '.join(map(repr, names[:50]))}",
                expected=f"one that holds {wanted or 'the event time'}: it gives each row's business date",
                next_step="map the sender's name under `columns:` in the institution file",
            )
        return found


class DatedRows:
    """Dates of rows, handed out up to a row number at a time."""

    def __init__(self, batches: Iterator[Dated]) -> None:
        self._batches = batches
        self._rows = np.empty(0, dtype=np.int64)
        self._days = np.empty(0, dtype=np.int64)

    def up_to(self, last: int) -> Dated:
        """All rows not handed out yet up to number `last`."""
        while not len(self._rows) or self._rows[-1] <= last:
            more = next(self._batches, None)
            if more is None:
                break
            self._rows, self._days = np.concatenate((self._rows, more.rows)), np.concatenate((self._days, more.days))
        cut = int(np.searchsorted(self._rows, last, side="right"))
        found = Dated(self._rows[:cut], self._days[:cut])
        self._rows, self._days = self._rows[cut:], self._days[cut:]
        return found


def placed(days: Numbers, undated_to: dt.date | None) -> Numbers:
    """`days` with the rows without a date on that of `undated_to`."""
    return days if undated_to is None else np.where(days == UNDATED, (undated_to - _EPOCH).days, days)


def day_of(number: int) -> dt.date:
    """The date of a day number."""
    return _EPOCH + dt.timedelta(days=number)
