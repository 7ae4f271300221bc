"""The partitions: `date` (business date of the delivery), `institution`, and date x institution.

Keys are written in the alphabetical order of the dimension names: `2025-01-15|institution_a`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import UnknownNameError
from etl_platform.institutions.model import Institution

DATE, INSTITUTION = "date", "institution"
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Partitions:
    """The three partition definitions that all assets share."""

    date: dg.DailyPartitionsDefinition
    institution: dg.StaticPartitionsDefinition
    both: dg.MultiPartitionsDefinition


def build_partitions(
    first_date: dt.date, institutions: Mapping[str, Institution], also: Iterable[str] = ()
) -> Partitions:
    """Dates from `first_date` to today inclusive (a delivery of today is normal) x the institutions.

    "Today" is that of the institution whose clock is furthest ahead: Singapore delivers while New York still has
    yesterday. Whether a date is already valid for *its* institution is decided when a key is routed.

    also: codes of institutions that cannot be loaded now, but whose partitions are there.
    """
    ahead = _furthest_ahead({i.time_zone for i in institutions.values()} or {"UTC"})
    date = dg.DailyPartitionsDefinition(start_date=first_date.isoformat(), end_offset=1, timezone=ahead)
    institution = dg.StaticPartitionsDefinition(sorted({*institutions, *also}))
    return Partitions(date, institution, dg.MultiPartitionsDefinition({DATE: date, INSTITUTION: institution}))


def _furthest_ahead(zones: set[str]) -> str:
    now = dt.datetime.now(dt.UTC)

    def offset(zone: str) -> dt.timedelta:
        return now.astimezone(zoneinfo.ZoneInfo(zone)).utcoffset() or dt.timedelta()

    return max(sorted(zones), key=offset)


def format_key(partition: PartitionKey) -> str:
    """The Dagster key of `partition`."""
    return str(partition)


def parse_key(key: str) -> PartitionKey:
    """The partition of a Dagster key of date x institution. Raises UnknownNameError."""
    day, _, institution = key.partition("|")
    # ISO 8601 writes a day in other ways too (20250115, 2025-W03-3); a key has one.
    if _DAY.fullmatch(day):
        with contextlib.suppress(ValueError):
            return PartitionKey(dt.date.fromisoformat(day), institution or None)
    raise UnknownNameError(f"partition {key!r}", found="no date", expected="e.g. 2025-01-15|institution_a")
