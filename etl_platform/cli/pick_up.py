"""Before a run: what an earlier one left behind when it was cut off, what waits for a service, and what others are at.

Not here: how the dead are told from the living (`defs/census.py`), what follows (`defs/pick_up.py`, `defs/due.py`).
"""

from __future__ import annotations

import time
from collections.abc import Collection

import dagster as dg
from rich.console import Console

from etl_platform.cli.execute import dagster_instance
from etl_platform.cli.session import Session, plain
from etl_platform.defs import pick_up as picking
from etl_platform.defs.census import Census
from etl_platform.defs.due import daemon_is_alive, is_request, judge_services
from etl_platform.delivery import Delivery
from etl_platform.limits import HEARTBEAT_SILENCE, PICK_UP_SECONDS, PICKED_UP_SHOWN
from etl_platform.resources.processes import PROCESS_TAG, Processes


def pick_up(session: Session, console: Console) -> dict[Delivery, str]:
    """End what died, so that its partitions wait again, and say so. Returns what living runs are at."""
    processes = Processes(session.settings.processes)
    begun, begun_at = time.monotonic(), time.time()
    found = picking.pick_up(dagster_instance(), session.ledger, processes, session.graph.gold)
    elsewhere = _out_of_sight(session, found.held, processes)
    silence = HEARTBEAT_SILENCE.total_seconds() + 1 if elsewhere else 0.0
    has_waited = False
    while time.monotonic() - begun < silence or (
        time.monotonic() - begun < PICK_UP_SECONDS and _is_undecided(session, processes, begun_at)
    ):
        if not has_waited:
            console.print("waiting for a sign of life of runs that somebody has begun or asked for", soft_wrap=True)
            has_waited = True
        time.sleep(0.5)
    if has_waited:
        again = picking.pick_up(dagster_instance(), session.ledger, processes, session.graph.gold)
        found = picking.PickedUp([*found.dead, *again.dead], [*found.cut_off, *again.cut_off], again.held)
    processes.sweep(session.settings.scratch)
    for dead in found.dead:
        left = f"{named(dead.waiting)} not finished" if dead.waiting else "nothing was left half-way"
        who = f"run {dead.run_id}, killed with process {dead.process}" if dead.process else f"run {dead.run_id}, killed"
        console.print(f"[yellow]picked up[/] {who}: {left}", soft_wrap=True)
    if found.cut_off:
        console.print(f"[yellow]picked up[/] {named(found.cut_off)} of runs that ended without a result")
    return found.held


def release(session: Session, console: Console) -> None:
    """Ask each service that partitions wait for, and say what it answers. What waits for one that does is run now,
    however long it was to wait: somebody asks for it."""
    limit = session.settings.service_failures_a_day
    answers = judge_services(session.ledger, session.resources["probes"], limit, at_once=True)
    for service, found in answers.items():
        if found is not None:
            console.print(f"[yellow]away[/] {service}, partitions wait for it:", plain(found), soft_wrap=True)


def _is_undecided(session: Session, processes: Processes, since: float) -> bool:
    """Whether there are runs, or requests for runs, of which nobody can say yet whether somebody will execute them: a
    daemon that beats will, and a process that starts says so soon."""
    instance = dagster_instance()
    census = Census(instance, session.ledger, processes)
    starting = [r for r in census.starting(census.executing()) if picking.is_ours(r.dagster_run)]
    queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]), limit=1)
    if not starting and not queued and not any(map(is_request, session.ledger.leases())):
        return False
    is_alive = daemon_is_alive(instance, since=since)
    return is_alive is None or (is_alive is False and bool(starting))


def _out_of_sight(session: Session, held: dict[Delivery, str], processes: Processes) -> set[str]:
    """Runs that hold something and whose lock file is not here."""
    found = set()
    for run_id in set(held.values()):
        run = dagster_instance().get_run_by_id(run_id)
        if run is None:
            is_seen = processes.executes(run_id) is not None
        else:
            name = run.tags.get(PROCESS_TAG)
            is_seen = name is None or processes.is_known(name)
        if not is_seen:
            found.add(run_id)
    return found


def tell_left_alone(taken: dict[Delivery, str], console: Console) -> None:
    """Name what is not run because another run is at it."""
    if taken:
        runs = ", ".join(sorted(set(taken.values()))[:PICKED_UP_SHOWN])
        console.print(f"[yellow]left alone[/] {named(taken)}: being loaded by run {runs}", soft_wrap=True)


def named(partitions: Collection[Delivery]) -> str:
    """A few of them, and how many more."""
    shown = ", ".join(map(str, sorted(partitions)[:PICKED_UP_SHOWN]))
    more = len(partitions) - PICKED_UP_SHOWN
    return f"{shown} and {more} more partitions" if more > 0 else shown
