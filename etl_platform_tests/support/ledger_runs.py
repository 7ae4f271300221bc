"""Runs as the ledger sees them, for tests: what the steps of one tell it, in as few lines as a story needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, LandingObject, LedgerObject, Outcome
from etl_platform_tests.support.landing_objects import NOW, PARTITION, after, landing_object, result_of

TOTALS = AttemptTotals(
    rows_read=10, rows_silver=7, rows_quarantined=2, rows_duplicate=1, checks_passed=12, checks_failed=1
)
WAREHOUSE, GOLD, GOLD_IN_WAREHOUSE = "warehouse/prices", "gold/daily_bars", "warehouse/daily_bars"
WANTED: dict[str, str | None] = {WAREHOUSE: None, GOLD: None, GOLD_IN_WAREHOUSE: GOLD}


def row(ledger: Ledger, name: str = "a.csv") -> LedgerObject:
    """The last row of that object."""
    return ledger.objects(uri=landing_object(name).uri)[-1]


def begin(
    ledger: Ledger,
    *objects: LandingObject,
    run_id: str = "run",
    partition: Delivery = PARTITION,
    dead: Collection[str] = (),
    at: float = 0,
) -> None:
    """The objects are recorded and the run begins."""
    ledger.record_seen(list(objects), now=after(at))
    assert ledger.start_attempts(run_id, [partition], dead=dead, now=after(at)) == []


def check(
    ledger: Ledger,
    *objects: LandingObject,
    run_id: str = "run",
    partition: Delivery = PARTITION,
    totals: AttemptTotals = TOTALS,
    at: float = 1,
) -> None:
    """The run has loaded the objects and its checks passed."""
    ledger.mark_loaded(run_id, [result_of(found) for found in objects], now=after(at))
    assert ledger.end_checks(run_id, partition, totals=totals, now=after(at))


def publish(ledger: Ledger, *tables: str, run_id: str = "run", partition: Delivery = PARTITION, at: float = 2) -> bool:
    """The tables (none: all) hold what the run stored."""
    return ledger.publish(run_id, partition, tables or tuple(WANTED), wanted=WANTED, now=after(at))


def succeed(ledger: Ledger, *objects: LandingObject, run_id: str = "run", at: float = 0) -> None:
    """A whole run over the objects."""
    begin(ledger, *objects, run_id=run_id, at=at)
    check(ledger, *objects, run_id=run_id, at=at)
    assert publish(ledger, run_id=run_id, at=at)


def outcomes(ledger: Ledger, partition: Delivery = PARTITION, *run_ids: str) -> dict[str, Outcome]:
    """How far each run's attempt at the partition came."""
    found = [attempt for run_id in run_ids or ("run",) for attempt in ledger.attempts_of(run_id)]
    return {attempt.run_id: attempt.outcome for attempt in found if attempt.partition == partition}


def outcome(ledger: Ledger, run_id: str = "run", partition: Delivery = PARTITION) -> Outcome:
    return outcomes(ledger, partition, run_id)[run_id]


def is_pending(ledger: Ledger, partition: Delivery = PARTITION) -> bool:
    return partition in [item.partition for item in ledger.pending_partitions(100)]


def fingerprint(ledger: Ledger) -> str:
    """Of the only partition that is pending."""
    (only,) = ledger.pending_partitions(10)
    return only.fingerprint


def unpublished(ledger: Ledger) -> list[str]:
    """The runs whose checked attempts wait for gold and warehouse."""
    return [item.attempt.run_id for item in ledger.unpublished()]


def days(count: float) -> dt.datetime:
    return NOW + dt.timedelta(days=count)
