"""CSV and JSON lines by date, in the sender's own text: no number and no date is written anew.

The file is read twice side by side: by the platform's reader, which says of each record on which line it begins and
what its event time is, and as bare records, which are copied. Both cut at the same places by the same code.
"""

from __future__ import annotations

import codecs
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from etl_platform.errors import ConfigurationError
from etl_platform.history.dating import UNDATED, Dated, DatedRows, Dating, day_of, placed
from etl_platform.history.rows_by_date import Shelf
from etl_platform.limits import HISTORY_TEXT_ROWS
from etl_platform.readers import read_file, sniff
from etl_platform.readers.csv.dialect import CsvDialect
from etl_platform.readers.csv.split import split
from etl_platform.readers.encoding import to_utf8
from etl_platform.readers.json.lines import beginning, lines_of, spans_lines
from etl_platform.readers.options import CsvOptions, JsonOptions, ReadLimits
from etl_platform.readers.records import Records
from etl_platform.readers.source import Source


class TextFile:
    """One CSV or JSON lines file. Raises ConfigurationError for what cannot be cut by date."""

    def __init__(self, path: Path, options: CsvOptions | JsonOptions, limits: ReadLimits, subject: str) -> None:
        self._options = options
        self._limits = limits
        self._source = Source(path, subject, limits)
        self.header = b""
        if isinstance(options, CsvOptions) and options.trailer:
            raise _uncuttable(subject, "a control line at the end (`trailer`)", "rows alone: no date has its totals")
        if isinstance(options, JsonOptions) and (options.records or options.layout == "array" or self._is_array()):
            raise _uncuttable(subject, "a JSON array", "JSON lines: `jq -c '.[]' FILE` makes them")
        if isinstance(options, JsonOptions) and self._spans_lines():
            raise _uncuttable(subject, "JSON records over several lines", "JSON lines: `jq -c . FILE` makes them")

    def shelve(self, dating: Dating, shelf: Shelf, undated_to: dt.date | None) -> Iterator[int]:
        """Put every row on the shelf; yields the numbers of rows done. Without `undated_to` undated rows are noted."""
        dates = DatedRows(self._dated(dating))
        for records in self._records():
            found = dates.up_to(int(records.rows[-1]))
            if not self.header:
                self._take_header(records)
            self._put(records, found, shelf, undated_to)
            yield len(found.rows)

    def encoded(self, content: bytes) -> bytes:
        """`content` as the sender writes it: UTF-8 in, the declared encoding out."""
        encoding = codecs.lookup(self._options.encoding).name
        return content if encoding in ("utf-8", "utf-8-sig", "ascii") else content.decode().encode(encoding)

    def _dated(self, dating: Dating) -> Iterator[Dated]:
        event_columns = [name for name, target in dating.sender.columns.items() if target == dating.contract.event_time]
        batches = read_file(
            self._source.path,
            subject=self._source.subject,
            options=self._options,
            limits=self._limits,
            batch_rows=HISTORY_TEXT_ROWS,
            expected_columns=event_columns or [dating.contract.event_time or ""],
        )
        return (dating.dated(batch) for batch in batches)

    def _records(self) -> Iterator[Records]:
        text = to_utf8(self._source, sniff(self._source.path).compression, self._options.encoding)
        if isinstance(self._options, JsonOptions):
            yield from lines_of(self._source, text)
            return
        dialect = CsvDialect.of(self._source, self._options)
        for block in split(self._source, dialect.inward(text), dialect.options):
            yield block.records

    def _take_header(self, records: Records) -> None:
        """The header is the first record that is neither blank nor a comment."""
        if isinstance(self._options, JsonOptions) or not self._options.header:
            return
        comment = (self._options.comment or "").encode()
        for index in range(len(records)):
            line = self._own(records.take(np.array([index])))
            if line.strip() and not (comment and line.startswith(comment)):
                self.header = _ended(line)
                return

    def _put(self, records: Records, found: Dated, shelf: Shelf, undated_to: dt.date | None) -> None:
        place = np.searchsorted(records.rows, found.rows)
        shelf.note_undated(found.rows[found.days == UNDATED].tolist())
        days = placed(found.days, undated_to)
        for day in np.unique(days[days != UNDATED]):
            chosen = place[days == day]
            shelf.add(day_of(int(day)), _ended(self._own(records.take(chosen))), len(chosen))

    def _own(self, records: Records) -> bytes:
        """The records' text with the sender's own delimiter: the detour swaps two characters, so twice is none."""
        if isinstance(self._options, JsonOptions):
            return records.joined()
        return b"".join(CsvDialect.of(self._source, self._options).inward([records.joined()]))

    def _spans_lines(self) -> bool:
        text = to_utf8(self._source, sniff(self._source.path).compression, self._options.encoding)
        return spans_lines(beginning(text)[1])

    def _is_array(self) -> bool:
        for chunk in to_utf8(self._source, sniff(self._source.path).compression, self._options.encoding):
            if text := chunk.lstrip():
                return text.startswith(b"[")
        return False


def _ended(text: bytes) -> bytes:
    return text if text.endswith((b"\n", b"\r")) else text + b"\n"


def _uncuttable(subject: str, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError(subject, found=found, expected=expected)
