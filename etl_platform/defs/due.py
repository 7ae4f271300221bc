"""What is to be run now, and by nobody else: partitions to load, and what is checked to be published.

The same decision for the sensor and for `etl-platform run`. Not here: ending what died (`pick_up.py`), how runs are
requested (`launching.py`, `cli/run.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import dagster as dg

from etl_platform.clock import now
from etl_platform.defs.census import EXECUTING, Census
from etl_platform.defs.jobs import INGEST, LOAD_MANY
from etl_platform.defs.pick_up import PROCESS_HOLDER, deliveries_of
from etl_platform.defs.step import PARTITION_TAG
from etl_platform.delivery import Delivery
from etl_platform.errors import EtlError
from etl_platform.gold.graph import GoldGraph
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Lease, PendingPartition, Unpublished
from etl_platform.limits import DAEMON_SILENCE_SECONDS, RUN_REQUEST_LOST
from etl_platform.partitions import format_key
from etl_platform.resources.processes import Processes

_REQUESTED = "run key "


@dataclass(frozen=True)
class Due:
    """load: to go from landing to warehouse. publish: checked, to go to gold and warehouse."""

    load: list[PendingPartition]
    publish: list[Unpublished]

    @property
    def partitions(self) -> list[Delivery]:
        return [*(item.partition for item in self.load), *(item.partition for item in self.publish)]


def due(
    instance: dg.DagsterInstance,
    ledger: Ledger,
    processes: Processes,
    held: Mapping[Delivery, str],
    limit: int,
    gold: GoldGraph,
) -> Due:
    """What is pending or unpublished and neither held by a living run nor about to be run by another one. For the
    daemon: whoever asks here takes runs from the queue."""
    census = Census(instance, ledger, processes)
    pending = [item for item in ledger.pending_partitions(limit) if item.partition not in held]
    is_pending = {item.partition for item in pending}
    checked = [
        item
        for item in ledger.unpublished()[:limit]
        if item.partition not in held and item.partition not in is_pending and census.run_is_gone(item.attempt.run_id)
    ]
    starting = starting_runs(instance, [*is_pending, *(item.partition for item in checked)], gold, queue_moves=True)
    return Due(
        [item for item in pending if item.partition not in starting],
        [item for item in checked if item.partition not in starting],
    )


def starting_runs(
    instance: dg.DagsterInstance, wanted: Iterable[Delivery], gold: GoldGraph, *, queue_moves: bool
) -> dict[Delivery, str]:
    """Those of `wanted` for which Dagster has a run that is queued, starting or executing, with the run's id.

    queue_moves: whether a daemon takes runs from the queue. Without one, what is queued waits for nobody.
    """
    left = set(wanted)
    by_key: dict[str, list[Delivery]] = defaultdict(list)
    for partition in left:
        by_key[format_key(partition.partition)].append(partition)
    found = {}
    for run in _starting(instance, by_key.keys(), queue_moves=queue_moves):
        # A run that names no assets is one of a whole job.
        named = set(deliveries_of(run, gold)) if run.asset_selection else None
        is_whole = named is None and run.job_name == INGEST
        for partition in by_key[run.tags[PARTITION_TAG]]:
            if is_whole or (named is not None and partition in named):
                found[partition] = run.run_id
    if left:
        for run in instance.get_runs(_about_to(queue_moves=queue_moves, job_name=LOAD_MANY)):
            found |= dict.fromkeys(left.intersection(deliveries_of(run, gold)), run.run_id)
    return found


def starting_keys(instance: dg.DagsterInstance, keys: Iterable[str]) -> set[str]:
    """Those partition keys for which there is such a run."""
    return {run.tags[PARTITION_TAG] for run in _starting(instance, set(keys), queue_moves=True)}


def _starting(instance: dg.DagsterInstance, keys: Set[str], *, queue_moves: bool) -> Sequence[dg.DagsterRun]:
    if not keys:
        return []
    return instance.get_runs(_about_to(queue_moves=queue_moves, tags={PARTITION_TAG: sorted(keys)}))


def _about_to(*, queue_moves: bool, **wanted: Any) -> dg.RunsFilter:
    """Runs that execute, or will. wanted: further conditions."""
    queued = [dg.DagsterRunStatus.QUEUED] if queue_moves else []
    return dg.RunsFilter(statuses=[*EXECUTING, *queued], **wanted)


def daemon_is_alive(instance: dg.DagsterInstance, *, since: float = float("-inf")) -> bool | None:
    """Whether Dagster's daemon has given a sign of life since that moment. None: it may still come."""
    last = max((beat.timestamp for beat in instance.get_daemon_heartbeats().values()), default=float("-inf"))
    if now().timestamp() - last >= DAEMON_SILENCE_SECONDS:
        return False
    return True if last > since else None


def requested(run_key: str) -> str:
    """The lease holder of a run that was requested under this key."""
    return _REQUESTED + run_key


def void_leases(instance: dg.DagsterInstance, ledger: Ledger, processes: Processes, *, is_daemon: bool) -> set[str]:
    """Holders of leases who will start nothing any more: dead, or their request was lost, or its run is over.

    is_daemon: the daemon itself asks, so it lives.
    """
    found = ledger.leases()
    census = Census(instance, ledger, processes)
    has_requests = not is_daemon and any(is_request(lease) for lease in found)
    daemon_is_gone = has_requests and daemon_is_alive(instance) is False
    return {lease.holder for lease in found if _is_void(lease, census, daemon_is_gone=daemon_is_gone)}


def _is_void(lease: Lease, census: Census, *, daemon_is_gone: bool) -> bool:
    if not is_request(lease):
        return census.holder_is_gone(lease.holder.removeprefix(PROCESS_HOLDER))
    # A run that is queued or executing by then is found by `starting_runs`.
    return daemon_is_gone or now() - lease.taken_at >= RUN_REQUEST_LOST


def is_request(lease: Lease) -> bool:
    """Whether the daemon is to start a run for it."""
    return lease.holder.startswith(_REQUESTED)


def judge_services(
    ledger: Ledger, probes: Mapping[str, Callable[[], object]], limit: int, *, at_once: bool = False
) -> dict[str, str | None]:
    """Ask each service that partitions wait for whether it is back, and release what waits for one that is. Returns
    what each answered: None, or what came instead. at_once: whatever their delay."""
    answers: dict[str, str | None] = {}
    for service in sorted({t.service for t in ledger.troubles() if t.service is not None}):
        answers[service] = _asked(probes[service]) if service in probes else None
        ledger.judge_service(service, answers[service], limit=limit, at_once=at_once, now=now())
    return answers


def _asked(probe: Callable[[], object]) -> str | None:
    try:
        probe()
    except EtlError as error:
        return str(error)
    return None
