"""What dead runs leave behind, so that nothing waits for ever: open attempts, and partitions whose run never started.

Not here: runs that fail by themselves (`attempt.py`), what is new (`resources/scan.py`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence

import dagster as dg

from etl_platform.defs.attempt import now
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import PendingPartition

GRACE = dt.timedelta(minutes=10)
"""A crashed run is retried by Dagster itself within about a minute; after this the ledger steps in."""


def close_abandoned(instance: dg.DagsterInstance, ledger: Ledger) -> int:
    """Close attempts whose run ended without a word (killed, lost machine). Returns how many."""
    closed = 0
    for attempt in ledger.running_attempts():
        record = instance.get_run_record_by_id(attempt.run_id)
        if record is not None and not record.dagster_run.is_finished:
            continue
        ended = dt.datetime.fromtimestamp(record.end_time, dt.UTC) if record and record.end_time else attempt.started_at
        if now() - ended < GRACE:
            continue
        what = record.dagster_run.status.value if record else "unknown to Dagster"
        closed += ledger.close_crashed(
            attempt.run_id, attempt.partition, error=f"the run ended without a result ({what})", now=now()
        )
    return closed


def fail_unstarted(
    instance: dg.DagsterInstance, ledger: Ledger, waiting: Mapping[str, Sequence[PendingPartition]]
) -> int:
    """Fail what waits for a run that is over: cancelled in the queue, or its process never came up. Returns how many.

    waiting: run key -> partitions. Their run key is used up, so nobody else would load them; a replay does. A retry
    that Dagster starts meanwhile takes them all the same.
    """
    if not waiting:
        return 0
    runs: dict[str, list[dg.DagsterRun]] = defaultdict(list)
    for run in instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": list(waiting)})):
        runs[run.tags["dagster/run_key"]].append(run)
    failed = 0
    for run_key, found in runs.items():
        if not all(run.is_finished for run in found):
            continue
        last = found[0]  # newest first
        error = f"run {last.run_id} ended before it began ({last.status.value}); next step: etl-platform replay, or run"
        failed += sum(ledger.mark_failed(last.run_id, item.partition, error, now=now()) for item in waiting[run_key])
    return failed
