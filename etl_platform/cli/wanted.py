"""Which partitions a command runs: those that have something to load or to publish, and that nobody else is at.

Not here: what earlier runs left behind (`pick_up.py`), running them (`run.py`, `execute.py`, `bulk.py`).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from rich.console import Console

from etl_platform.cli.execute import Task, dagster_instance
from etl_platform.cli.pick_up import named, tell_left_alone
from etl_platform.cli.session import Session, plain
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.census import Census
from etl_platform.defs.due import daemon_is_alive, starting_runs, void_leases
from etl_platform.defs.pick_up import process
from etl_platform.delivery import Delivery
from etl_platform.landing.scan import scan_landing
from etl_platform.ledger.law import Happens
from etl_platform.ledger.records import Kind
from etl_platform.pipeline.overlap import SAME_KEYS
from etl_platform.resources.processes import Processes


def pending_tasks(
    session: Session,
    codes: Sequence[str],
    names: Sequence[str],
    console: Console,
    held: Mapping[Delivery, str],
) -> tuple[list[Task], bool]:
    """Record what is new in the landing zone; one task per partition that has something to load or to publish. And
    whether all of the landing zone could be looked at."""
    with console.status("looking at the landing zone") as spinner:
        scan = scan_landing(
            session.landing, session.ledger, None, max_new=2**62, max_seconds=float("inf"), tell=spinner.update
        )
    for moved in scan.moved_roots:
        console.print("[yellow]moved[/]", plain(str(moved)), soft_wrap=True)
    for service, found in scan.away:
        console.print(f"[red]not looked at[/] {service}:", plain(found), soft_wrap=True)
    if scan.unread:
        console.print(
            f"[red]{scan.unread} objects cannot be read[/], so whether they changed is not known; see the log"
        )
    if scan.unrouted:
        console.print(f"[yellow]{scan.unrouted} objects belong to nobody[/]; see `etl-platform status --unrouted`")
    pending = {item.partition for item in session.ledger.pending_partitions(2**31 - 1)} | _failed(session)
    gone = Census(dagster_instance(), session.ledger, Processes(session.settings.processes)).run_is_gone
    checked = {item.partition for item in session.ledger.unpublished() if gone(item.attempt.run_id)} - pending
    asked = [p for p in pending | checked | held.keys() if p.institution in codes and p.dataset in names]
    wanted = [p for p in asked if session.graph.has(p)]
    if unknown := sorted(set(asked) - set(wanted)):
        told = f"of {named(unknown)}: their dates are not those of the platform, see ETL_FIRST_DATE"
        console.print(f"[yellow]left pending[/], {told}", soft_wrap=True)
    if given := {p for p, reason in session.ledger.open_reruns().items() if reason == Happens.REROUTED} & {*wanted}:
        told = f"of {named(given)}: by a key pattern or an institution that has changed"
        console.print(f"[yellow]files given to another partition[/], {told}", soft_wrap=True)
    free = free_ones(session, wanted, held, console)
    tasks = [
        *as_tasks([p for p in free if p not in checked]),
        *as_tasks([p for p in free if p in checked], publishes=True),
    ]
    return tasks, not scan.away


def unsettled_tasks(
    session: Session,
    codes: Sequence[str],
    names: Sequence[str],
    dates: Collection[dt.date] | None,
    console: Console,
) -> list[Task]:
    """What is to be run again because another date that holds the same keys has changed. dates: None for all; what is
    at others is named and left."""
    reasons = session.ledger.open_reruns()
    pending = [item.partition for item in session.ledger.pending_partitions(2**31 - 1)] if reasons else []
    unsettled = [p for p in pending if reasons.get(p) == SAME_KEYS and session.graph.has(p)]
    wanted = [p for p in unsettled if p.institution in codes and p.dataset in names]
    if not wanted:
        return []
    left = [p for p in wanted if dates is not None and p.business_date not in dates]
    if left:
        console.print(f"[yellow]to be run again[/] {named(left)}: {SAME_KEYS}; `etl-platform run` does", soft_wrap=True)
    return as_tasks(free_ones(session, [p for p in wanted if p not in left], {}, console))


def free_ones(
    session: Session, wanted: Sequence[Delivery], held: Mapping[Delivery, str], console: Console
) -> list[Delivery]:
    """Those that nobody else is at, or about to start a run of; from now on nobody else does. The others are named."""
    instance, processes = dagster_instance(), Processes(session.settings.processes)
    taken = {p: held[p] for p in wanted if p in held}
    rest_of = [p for p in wanted if p not in taken]
    taken |= starting_runs(instance, rest_of, session.graph.gold, queue_moves=daemon_is_alive(instance) is True)
    mine = process(processes.mine())
    rest = {p: mine for p in wanted if p not in taken}
    void = void_leases(instance, session.ledger, processes, is_daemon=False) if rest else set()
    free = session.ledger.take_leases(rest, void=void, now=dt.datetime.now(dt.UTC))
    leased = {lease.partition: lease.holder for lease in session.ledger.leases()} if len(free) < len(rest) else {}
    taken |= {p: f"about to start ({leased.get(p, 'it was just now')})" for p in rest if p not in set(free)}
    tell_left_alone(taken, console)
    return free


def as_tasks(partitions: Sequence[Delivery], *, publishes: bool = False) -> list[Task]:
    """One task for each date and institution, in order."""
    grouped: dict[PartitionKey, list[str]] = defaultdict(list)
    for p in partitions:
        grouped[p.partition].append(p.dataset)
    return [Task(key, tuple(sorted(sent)), publishes) for key, sent in sorted(grouped.items())]


def tell_waiting(session: Session, console: Console) -> int:
    """Name what waits for a service. Returns how many."""
    waiting = [trouble for trouble in session.ledger.troubles() if trouble.service is not None]
    by_service: dict[str, list[Delivery]] = defaultdict(list)
    for trouble in waiting:
        by_service[trouble.service or ""].append(trouble.partition)
    for service, partitions in sorted(by_service.items()):
        console.print(
            f"[yellow]waiting[/] for {service}: {named(partitions)}; see `etl-platform status`", soft_wrap=True
        )
    return len(waiting)


def _failed(session: Session) -> set[Delivery]:
    """Partitions that failed: whoever asks for a run wants them again. Not those that a refused file holds back: they
    would fail again."""
    unwell = session.ledger.unwell()
    refused = {found.partition for found in unwell if found.kind is Kind.REFUSED}
    return {found.partition for found in unwell if found.kind is Kind.FAILED} - refused


def give_back(session: Session) -> None:
    """This command starts nothing more."""
    session.ledger.give_back_leases([process(Processes(session.settings.processes).mine())])
