"""A partition that had rows and has none: what it had when it was published last, and what took it.

Known from the first date on: no other date is needed to see it. Not here: the check that says it (`silver_judges.py`).
"""

import datetime as dt
from dataclasses import dataclass

import polars as pl

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform.limits import EMPTIED_KEYS_NAMED


@dataclass(frozen=True)
class Before:
    """rows: of the last published attempt before the present one. withdrawn: keys taken out since it began."""

    rows: int
    published_at: dt.datetime
    withdrawn: tuple[str, ...] = ()


def before_of(ledger: Ledger, partition: Delivery) -> Before | None:
    """What a partition without rows had; None where nothing of it was published, or that was empty, too."""
    published = ledger.published_before(partition)
    if published is None or published.totals is None or published.ended_at is None or not published.totals.rows_silver:
        return None
    taken_out = ledger.objects(partition=partition, states=[State.WITHDRAWN])
    withdrawn = tuple(found.key for found in taken_out if found.updated_at > published.started_at)
    return Before(published.totals.rows_silver, published.ended_at, withdrawn)


def is_left_to_others(files: pl.DataFrame) -> bool:
    """Whether a partition without rows has lost none: other dates hold all that its files deliver. files: its
    reconciliation."""
    # A duplicate is one of a row that is in silver, or that another date holds.
    return bool(files["rows_duplicate"].sum()) and not files["rows_quarantined"].sum() and not files["is_refused"].any()


def emptied_text(before: Before, files: pl.DataFrame) -> str:
    """How many rows there were, and what took them. files: the partition's reconciliation."""
    causes = []
    if before.withdrawn:
        more = " ..." if len(before.withdrawn) > EMPTIED_KEYS_NAMED else ""
        causes.append(f"withdrawn since: {', '.join(before.withdrawn[:EMPTIED_KEYS_NAMED])}{more}")
    if files.height:
        latest = files.sort("delivery").row(-1, named=True)
        counts = f"{latest['rows_read']} rows read, {latest['rows_quarantined']} quarantined"
        counts += f", {latest['rows_duplicate']} held by other dates" if latest["rows_duplicate"] else ""
        causes.append(f"the latest of {files.height} files is {latest['_source_file']} ({counts})")
    else:
        causes.append("no file is left")
    published = f"published {before.published_at:%Y-%m-%d %H:%M} UTC"
    return f"no rows, {before.rows} before ({published}): {'; '.join(causes)}; ask the sender whether it is meant"
