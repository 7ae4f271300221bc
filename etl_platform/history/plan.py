"""One import: the keys of its objects, what stops it before anything is written, and writing them.

Belongs here: keys in the institution's own pattern, the comparison with what is there already. Not here: cutting the
file (`text.py`, `typed.py`), progress bars.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from etl_platform.contracts.contract import Contract
from etl_platform.errors import ConfigurationError
from etl_platform.history.dating import Dating
from etl_platform.history.rows_by_date import Shelf
from etl_platform.history.text import TextFile
from etl_platform.history.typed import ParquetHistory
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.model import Institution
from etl_platform.object_store.open import ObjectStore
from etl_platform.readers.options import CsvOptions, JsonOptions

_SUFFIXES = {"csv": ".csv", "json": ".jsonl", "parquet": ".parquet"}
_ENDINGS = re.compile(r"(?<=.)(?:\.(?:csv|json|jsonl|ndjson|parquet))?(?:\.(?:gz|zst|zip))?$", re.IGNORECASE)
"""What is cut from a file's name. Any other dot is its own: BRK.A and BRK.B are two symbols."""


class Writing(StrEnum):
    """What became of one date's object."""

    NEW = "new"
    SAME = "already there"
    REPLACED = "replaced"


@dataclass(frozen=True)
class HistoryImport:
    """What is imported for whom. names: what the key pattern captures, besides institution, dataset and date."""

    path: Path
    institution: Institution
    contract: Contract
    names: Mapping[str, str]

    @property
    def subject(self) -> str:
        return f"import of {self.path.name} as {self.institution.code} {self.contract.dataset}"

    def open(self) -> TextFile | ParquetHistory:
        """The file, ready to be cut. Raises ConfigurationError, FileRefusedError."""
        config = self.institution.datasets[self.contract.dataset]
        if isinstance(config.format, CsvOptions | JsonOptions):
            return TextFile(self.path, config.format, config.limits, self.subject)
        return ParquetHistory(self.path, config.limits, self.subject)

    def dating(self) -> Dating:
        """How a row's date is found. Raises ConfigurationError where the dataset's rows carry no time."""
        if self.contract.event_time is None:
            raise ConfigurationError(
                self.subject, found="a dataset without event time", expected="one whose rows carry their own time"
            )
        captured = {name: self.names.get(name, self.stem) for name in self.names_wanted}
        sender = sender_format(self.institution, self.contract.dataset, captured)
        return Dating(self.contract, sender, self.institution.time_zone, self.subject)

    @property
    def stem(self) -> str:
        """The file's name without its endings: `GOOG` of `GOOG.csv.gz`, `BRK.B` of `BRK.B.csv`."""
        return _ENDINGS.sub("", self.path.name, count=1)

    @property
    def names_wanted(self) -> frozenset[str]:
        return self.institution.pattern(self.contract.dataset).names

    def key(self, date: dt.date) -> str:
        """The landing key of a date's object. Raises ConfigurationError where the pattern cannot say it."""
        dataset = self.contract.dataset
        pattern = self.institution.pattern(dataset)
        missing = sorted(self.names_wanted - self.names.keys() - {"symbol"})
        if missing:
            raise ConfigurationError(
                self.subject,
                found=f"no {', '.join(missing)} for the key pattern {pattern.text!r}",
                expected="a value for each of its names",
                next_step=f"add --name {missing[0]}=VALUE",
            )
        values = {name: self.names.get(name, self.stem) for name in self.names_wanted}
        file = self.stem + _SUFFIXES[self.institution.datasets[dataset].format.type]
        key = pattern.render(self.institution.code, dataset, date, file, **values)
        match = pattern.match(key, self.institution.code, dataset)
        if match is None or match.business_date != date or match.captured != values:
            raise ConfigurationError(
                self.subject,
                found=f"the key {key!r}, which says {match.captured if match else 'nothing'}",
                expected=f"{values}",
                next_step="give values without slashes, that the key pattern can tell apart",
            )
        return key


def require_places(
    shelf: Shelf, plan: HistoryImport, undated_to: dt.date | None, first: dt.date, last: dt.date
) -> None:
    """Raise ConfigurationError, before anything is written, where a row would be lost."""
    if shelf.undated and undated_to is None:
        shown = ", ".join(map(str, shelf.first_undated))
        raise ConfigurationError(
            plan.subject,
            found=f"{shelf.undated} rows without a readable event time: lines {shown}",
            expected=f"a time in {plan.contract.event_time} of every row",
            next_step="correct `times:` in the institution file, or choose the date whose object shall hold them, so "
            "that they are quarantined there: --undated-to DATE",
        )
    outside = sorted(date for date in shelf.rows if not first <= date <= last)
    if outside:
        raise ConfigurationError(
            plan.subject,
            found=f"{sum(shelf.rows[d] for d in outside)} rows on {len(outside)} dates such as {outside[0]}",
            expected=f"{first} (ETL_FIRST_DATE) .. {last} (today of the institution)",
            next_step=f"set ETL_FIRST_DATE={outside[0]}" if outside[0] < first else "ask the sender about the future",
        )
    if not shelf.rows:
        raise ConfigurationError(plan.subject, found="no row", expected="at least one")


def compare(
    shelf: Shelf, plan: HistoryImport, file: TextFile | ParquetHistory, landing: ObjectStore, *, may_replace: bool
) -> dict[dt.date, Writing]:
    """What each date's object would become, oldest first.

    Raises ConfigurationError, before anything is written, where objects hold something else by now: of two files that
    overlap the second would take the place of the first, and rows that only the first has would be gone from the
    tables.
    """
    found: dict[dt.date, Writing] = {}
    for date in sorted(shelf.rows):
        key = plan.key(date)
        there = landing.head(key)
        if there is None:
            found[date] = Writing.NEW
            continue
        content = _content(shelf, file, date)
        is_same = there.size == len(content) and landing.read_bytes(key) == content
        found[date] = Writing.SAME if is_same else Writing.REPLACED
    replaced = [date for date, what in found.items() if what is Writing.REPLACED]
    if replaced and not may_replace:
        raise ConfigurationError(
            plan.subject,
            found=f"{len(replaced)} dates whose object is there with other rows, such as {plan.key(replaced[0])}",
            expected="new dates, or the same rows again; nothing was written",
            next_step="--replace if this file holds all rows of these dates; else import it under another file name, "
            "--symbol or --name, so that both are kept",
        )
    return found


def write(
    shelf: Shelf,
    plan: HistoryImport,
    file: TextFile | ParquetHistory,
    landing: ObjectStore,
    wanted: Mapping[dt.date, Writing],
) -> Iterator[tuple[dt.date, Writing]]:
    """Write one object per date, as `compare` found; what is there already with the same content is left alone."""
    for date, what in wanted.items():
        if what is not Writing.SAME:
            landing.put_bytes(plan.key(date), _content(shelf, file, date))
        yield date, what


def _content(shelf: Shelf, file: TextFile | ParquetHistory, date: dt.date) -> bytes:
    return file.encoded(file.header + shelf.path(date).read_bytes())
