"""What runs leave behind that did not end as they should: killed, cancelled, cut off. It is loaded or published again.

The same for every launcher, with one owner: a tick of the sensor and `etl-platform run` both call `pick_up`, and
Dagster's own run retries are off. Not here: how the living are told from the dead (`census.py`), runs that fail by
themselves (`attempt.py`), what is new (`landing/scan.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import dagster as dg

from etl_platform.clock import now
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.batches import DateBatch
from etl_platform.defs.census import FINISHED, Census
from etl_platform.defs.endings import DAGSTER, was_ledger, was_storage
from etl_platform.defs.jobs import JOBS
from etl_platform.defs.step import PARTITION_TAG
from etl_platform.delivery import Delivery
from etl_platform.errors import UnknownNameError
from etl_platform.gold.graph import GoldGraph
from etl_platform.ledger.failures import SERVICE as LEDGER
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Attempt, Outcome
from etl_platform.partitions import parse_key
from etl_platform.resources.processes import PROCESS_TAG, Processes

RUN_KEY_TAG = "dagster/run_key"
PROCESS_HOLDER = "process "
LAYERS = frozenset({"bronze", "silver", "quarantine", "reconciliation", "gold", "warehouse"})


@dataclass(frozen=True)
class DeadRun:
    """A run whose process is gone. waiting: what it had taken and not finished, which waits again."""

    run_id: str
    process: str
    waiting: tuple[Delivery, ...]


@dataclass(frozen=True)
class PickedUp:
    """dead: runs that were ended. cut_off: partitions of runs that had ended without a result. held: partitions that
    living runs are at, each with the run's id."""

    dead: list[DeadRun] = field(default_factory=list)
    cut_off: list[Delivery] = field(default_factory=list)
    held: dict[Delivery, str] = field(default_factory=dict)


def pick_up(instance: dg.DagsterInstance, ledger: Ledger, processes: Processes, gold: GoldGraph) -> PickedUp:
    """End what died, in the ledger and in Dagster, so that it waits again. Safe for several callers at once."""
    census = Census(instance, ledger, processes)
    # Before the runs are asked for: of whoever dies in between, the next look must still find the file.
    ended = processes.dead()
    executing = [record for record in census.executing() if is_ours(record.dagster_run)]
    gone = census.gone(executing)
    dead = [
        _end(instance, ledger, record.dagster_run, gold) for record in executing if record.dagster_run.run_id in gone
    ]
    killed = {*(run.process for run in dead), *ended}
    cut_off, held = [], {}
    for attempt in ledger.open_attempts():
        if not census.run_is_gone(attempt.run_id):
            held[attempt.partition] = attempt.run_id
        elif attempt.outcome is Outcome.RUNNING and _close(instance, ledger, attempt, killed):
            cut_off.append(attempt.partition)
    for write in ledger.writes():
        if census.run_is_gone(write.writer):
            ledger.drop_write(write, wanted=gold.publication_of(write.partition.dataset))
    if killed:
        ledger.give_back_leases([process(name) for name in killed])
    # Last: whoever is stopped before finds them again.
    processes.forget(killed)
    return PickedUp(dead, cut_off, held)


def process(name: str) -> str:
    """The lease holder of a process that executes its runs itself."""
    return PROCESS_HOLDER + name


def is_ours(run: dg.DagsterRun) -> bool:
    """Not a run of somebody else's code in the same Dagster instance."""
    if PROCESS_TAG in run.tags or run.job_name in JOBS:
        return True
    selected = run.asset_selection or set()
    return bool(selected) and all(len(key.path) == 2 and key.path[0] in LAYERS for key in selected)


def _end(instance: dg.DagsterInstance, ledger: Ledger, run: dg.DagsterRun, gold: GoldGraph) -> DeadRun:
    name = run.tags.get(PROCESS_TAG, "")
    who = f"the process {name} was killed" if name else "its process was killed while it started"
    error = f"{who} before run {run.run_id} had ended"
    # The ledger first: whoever is stopped in between finds the run again.
    waiting = ledger.close_dead(run.run_id, error=error, now=now())
    begun = {attempt.partition for attempt in ledger.attempts_of(run.run_id)}
    unstarted = [partition for partition in deliveries_of(run, gold) if partition not in begun]
    waiting += ledger.close_unstarted(run.run_id, unstarted, error=error, now=now())
    if (found := instance.get_run_by_id(run.run_id)) and found.status not in FINISHED:
        instance.report_run_failed(run, error)
    return DeadRun(run.run_id, name, tuple(waiting))


def deliveries_of(run: dg.DagsterRun, gold: GoldGraph) -> list[Delivery]:
    """What a run was launched for: by its configuration where it is one over many dates, else by its partition and the
    assets that it names."""
    if batch := DateBatch.of(run):
        return batch.deliveries
    partition = partition_of(run)
    if partition is None:
        return []
    selected = [(key.path[0], key.path[1]) for key in run.asset_selection or () if len(key.path) == 2]
    return [Delivery.of(dataset, partition) for dataset in sorted(gold.datasets_of(selected))]


def partition_of(run: dg.DagsterRun) -> PartitionKey | None:
    """The date and institution of a run; None for a run of something else."""
    try:
        partition = parse_key(run.tags.get(PARTITION_TAG, ""))
    except UnknownNameError:
        return None
    return None if partition.institution is None else partition


def _close(instance: dg.DagsterInstance, ledger: Ledger, attempt: Attempt, killed: Set[str]) -> bool:
    """End an attempt whose run is over without a word on it. killed: processes that were."""
    run = instance.get_run_by_id(attempt.run_id)
    status = run.status.value if run else "unknown to Dagster"
    error = f"the run ended without a result ({status})"
    was_killed = run is not None and run.tags.get(PROCESS_TAG) in killed
    has_failed = run is not None and run.status is dg.DagsterRunStatus.FAILURE and not was_killed
    if run is not None and has_failed and (away := _what_was_away(instance, run)):
        # It failed by itself and could not say so: what it says it to was away. Any other, an interrupted one say, is
        # one that died.
        return ledger.mark_waiting(attempt.run_id, attempt.partition, away, error, now=now())
    return attempt.partition in ledger.close_dead(attempt.run_id, error=error, now=now())


def _what_was_away(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """The service that failed the run before it could say so."""
    if was_ledger(instance, run):
        return LEDGER
    return DAGSTER if was_storage(instance, run) else None


def used_up(instance: dg.DagsterInstance, run_keys: Sequence[str]) -> dict[str, dg.DagsterRun]:
    """The newest run under each run key of which all runs are over: Dagster starts none under it any more."""
    if not run_keys:
        return {}
    runs: dict[str, list[dg.DagsterRun]] = defaultdict(list)
    for run in instance.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: list(run_keys)})):
        runs[run.tags[RUN_KEY_TAG]].append(run)  # newest first
    return {run_key: found[0] for run_key, found in runs.items() if all(run.is_finished for run in found)}


def settle_unstarted(
    instance: dg.DagsterInstance,
    ledger: Ledger,
    requested: Mapping[str, Sequence[Delivery]],
    over: Mapping[str, dg.DagsterRun],
) -> int:
    """Settle what waits under a run key that is used up: its run is over and began nothing. Returns how many.

    requested: run key -> partitions. over: run key -> its run. Cancelled in the queue, a process that never came up:
    it waits again under another key, a few times. A person who cancels one run has not said that its files are never
    to be loaded, and one that is cancelled a moment later, when it has begun, is picked up, too.
    """
    settled = 0
    for run_key in requested.keys() & over.keys():
        last, partitions = over[run_key], requested[run_key]
        error = f"run {last.run_id} ended before it began ({last.status.value})"
        has_failed = last.status is dg.DagsterRunStatus.FAILURE and PROCESS_TAG in last.tags
        if has_failed and (away := _what_was_away(instance, last)):
            # It executed, failed by itself and could not say so, as in `_close`: no death of a process.
            for partition in partitions:
                settled += ledger.mark_waiting(last.run_id, partition, away, error, is_first=True, now=now())
        else:
            settled += len(ledger.close_unstarted(last.run_id, partitions, error=error, now=now()))
    return settled
