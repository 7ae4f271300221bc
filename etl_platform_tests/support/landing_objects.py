"""Landing objects for tests, as a listing gives them, and what a run found in them.

Imports no test tool: programs that tests start use it too, and start faster without.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from etl_platform.delivery import Delivery
from etl_platform.ledger.records import LandingObject, ObjectResult

NOW = dt.datetime(2025, 1, 15, 6, 0, tzinfo=dt.UTC)
DATE = dt.date(2025, 1, 15)
PARTITION = Delivery("prices", DATE, "institution_a")


def after(seconds: float) -> dt.datetime:
    return NOW + dt.timedelta(seconds=seconds)


def landing_object(
    name: str = "bars.csv",
    *,
    etag: str | None = "one",
    modified: dt.datetime = NOW,
    partition: Delivery | None = PARTITION,
    version: str | None = None,
    root: str = "landing",
    **facts: Any,
) -> LandingObject:
    """An object of `partition`, or one that nobody claims."""
    key = f"landing/{name}"
    return LandingObject(
        institution=partition.institution if partition else None,
        dataset=partition.dataset if partition else None,
        business_date=partition.business_date if partition else None,
        root=root,
        uri=f"s3://bucket/{key}",
        key=key,
        etag=etag,
        version=version,
        last_modified=modified,
        **{"size": 1_000, **facts},
    )


def result_of(found: LandingObject, **facts: int | str) -> ObjectResult:
    return ObjectResult(found.root, found.key, found.identity, **facts)  # type: ignore[arg-type]
