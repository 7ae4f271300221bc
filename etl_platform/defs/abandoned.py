"""What dead runs leave behind, so that nothing waits for ever: open attempts, and partitions whose run never started.

A run that Dagster launched is watched by Dagster's own monitoring. One that is executed inside the process that asked
for it (`etl-platform run`) is watched by nobody: it names its process, and whoever comes next looks whether that lives.
Not here: runs that fail by themselves (`attempt.py`), what is new (`resources/scan.py`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from etl_platform.defs.attempt import now
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import DatasetPartition, PendingPartition
from etl_platform.resources.processes import PROCESS_TAG, Processes

FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
GRACE = dt.timedelta(minutes=10)
"""A crashed run is retried by Dagster itself within about a minute; after this the ledger steps in."""


UNFINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED]


@dataclass(frozen=True)
class DeadRun:
    """A run whose process is gone. waiting: what it had taken and not finished, which waits again."""

    run_id: str
    process: str
    waiting: tuple[DatasetPartition, ...]


def end_dead_runs(instance: dg.DagsterInstance, ledger: Ledger, processes: Processes) -> list[DeadRun]:
    """End the runs of processes that are gone, in the ledger and in Dagster. Safe for several callers at once."""
    dead = processes.dead()
    if not dead:
        return []
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={PROCESS_TAG: dead}))
    ended = []
    for run in sorted(runs, key=lambda run: run.run_id):
        process = run.tags[PROCESS_TAG]
        error = f"the process {process} was killed before run {run.run_id} had ended"
        # The ledger first: whoever is stopped in between finds the run again.
        waiting = ledger.close_dead(run.run_id, error=error, now=now())
        instance.report_run_failed(run, error)
        ended.append(DeadRun(run.run_id, process, tuple(waiting)))
    processes.forget(dead)
    return ended


def close_abandoned(instance: dg.DagsterInstance, ledger: Ledger) -> int:
    """Close attempts whose run ended without a word (killed, lost machine). Returns how many."""
    closed = 0
    for attempt in ledger.running_attempts():
        record = instance.get_run_record_by_id(attempt.run_id)
        if record is not None and not record.dagster_run.is_finished:
            continue
        ended = dt.datetime.fromtimestamp(record.end_time, dt.UTC) if record and record.end_time else attempt.started_at
        # A run inside a process that is gone or was interrupted is retried by nobody.
        is_watched = record is None or PROCESS_TAG not in record.dagster_run.tags
        if is_watched and now() - ended < GRACE:
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
