"""Before a run: what an earlier one left behind when it was killed, and what another one is working on.

Not here: how the dead are told from the living (`resources/processes.py`), what follows (`defs/abandoned.py`).
"""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console

from etl_platform.cli.execute import dagster_instance
from etl_platform.cli.session import Session
from etl_platform.defs.abandoned import close_abandoned, end_dead_runs
from etl_platform.ledger.records import DatasetPartition
from etl_platform.resources.processes import Processes

SHOWN = 5


def pick_up(session: Session, console: Console) -> None:
    """End what died, so that its partitions wait again, and say so."""
    for dead in end_dead_runs(dagster_instance(), session.ledger, Processes(session.settings.processes)):
        left = f"{_named(dead.waiting)} not finished" if dead.waiting else "nothing was left half-way"
        who = f"run {dead.run_id}, killed with process {dead.process}"
        console.print(f"[yellow]picked up[/] {who}: {left}", soft_wrap=True)
    closed = close_abandoned(dagster_instance(), session.ledger)
    if closed:
        console.print(f"[yellow]picked up[/] {closed} partitions of runs that ended without a result")


def held(session: Session) -> dict[DatasetPartition, str]:
    """Partitions that a living run is loading, each with that run's id."""
    return {attempt.partition: attempt.run_id for attempt in session.ledger.running_attempts()}


def tell_left_alone(taken: dict[DatasetPartition, str], console: Console) -> None:
    """Name what is not run because another run is at it."""
    if taken:
        runs = ", ".join(sorted(set(taken.values()))[:SHOWN])
        console.print(f"[yellow]left alone[/] {_named(taken)}: being loaded by run {runs}", soft_wrap=True)


def _named(partitions: Collection[DatasetPartition]) -> str:
    shown = ", ".join(map(str, sorted(partitions)[:SHOWN]))
    more = len(partitions) - SHOWN
    return f"{shown} and {more} more partitions" if more > 0 else shown
