"""Scratch files of one import: what belongs to a date, in the order of the file, and how many rows.

Dates may come in any order and in any number: a file is open only while something is added to it.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from etl_platform.limits import UNDATED_SHOWN


@dataclass
class Shelf:
    """rows: per date. undated: how many rows have no date, and the numbers of the first."""

    folder: Path
    rows: Counter[dt.date] = field(default_factory=Counter)
    undated: int = 0
    first_undated: list[int] = field(default_factory=list)

    def add(self, date: dt.date, content: bytes, rows: int) -> None:
        """Append to what is there of `date`."""
        with self.path(date).open("ab") as file:
            file.write(content)
        self.rows[date] += rows

    def note_undated(self, numbers: list[int]) -> None:
        """Remember rows without a date."""
        self.undated += len(numbers)
        self.first_undated = (self.first_undated + numbers)[:UNDATED_SHOWN]

    def path(self, date: dt.date) -> Path:
        """Where the content of `date` is."""
        return self.folder / date.isoformat()

    @property
    def rows_in_all(self) -> int:
        return sum(self.rows.values())
