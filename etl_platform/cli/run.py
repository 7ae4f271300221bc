"""`etl-platform run`: partitions from landing to gold, with a progress bar and a closing table."""

from __future__ import annotations

import datetime as dt
import os
import zoneinfo
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from etl_platform.cli.bulk import execute_many, execute_overviews, left_of, lost_overviews, plan_bulk, plan_overviews
from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.execute import Result, Task, Workers, dagster_instance, execute, lost_task
from etl_platform.cli.faults import print_faults
from etl_platform.cli.interrupts import Interrupted
from etl_platform.cli.pick_up import pick_up, release
from etl_platform.cli.session import Session, open_console, open_session, plain, prepare_dagster_home, print_whole
from etl_platform.cli.wanted import (
    as_tasks,
    free_ones,
    give_back,
    pending_tasks,
    tell_waiting,
    unsettled_tasks,
)
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs import pick_up as picking
from etl_platform.defs.jobs import LOAD_MANY
from etl_platform.defs.overdue import overdue_overviews
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import AttemptTotals
from etl_platform.limits import RUN_LINES_SHOWN, RUN_ROUNDS, RUN_WARNINGS_SHOWN
from etl_platform.resources.processes import Processes


@click.command()
@click.option("--date", "dates", help="2025-01-15, a range 2025-01-13..2025-01-17, or a comma-separated list.")
@click.option("--institution", "institutions", help="Codes, comma-separated. Default: all.")
@click.option("--dataset", "datasets", help="Datasets, comma-separated. Default: all that the institution sends.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=min(4, os.cpu_count() or 1),
    show_default=True,
    help="Processes; each runs partition after partition.",
)
def run(dates: str | None, institutions: str | None, datasets: str | None, workers: int) -> None:
    """Run partitions from landing to gold and warehouse.

    Without --date: every partition that has files which no run has loaded yet, failed ones again, and those of a run
    that was killed; what a living run is loading is left alone. With --date: exactly those partitions, again if they
    were loaded before (a run replaces its partition, so running twice changes nothing).

    \b
      etl-platform run
      etl-platform run --date 2025-01-13..2025-01-17 --institution institution_a,institution_b
      etl-platform run --date 2025-01-15 --dataset prices

    Exit status 1 when a partition failed or waits for a service, a landing root could not be listed, or an
    institution's file is out of use; 130 when it was interrupted: what is not finished is loaded by the next run.
    """
    session = open_session()
    codes = parse_institutions(institutions, session.graph)
    names = parse_names(datasets, session.graph.contracts, "dataset")
    console = open_console()
    prepare_dagster_home(session.settings)
    has_faults = print_faults(console, session.graph)
    held = pick_up(session, console)
    release(session, console)
    overdue: list[dt.date] = []
    is_all_seen = True
    if dates is None:
        tasks, is_all_seen = pending_tasks(session, codes, names, console, held)
        overdue = overdue_overviews(dagster_instance(), session.graph, last_date(session))
    else:
        days = parse_dates(dates, session.settings.first_date, last_date(session))
        wanted = [
            Delivery.of(name, PartitionKey(day, code))
            for day in days
            for code in codes
            for name in _sent(session, code, names)
        ]
        tasks = as_tasks(free_ones(session, wanted, held, console))
    if not tasks and not overdue:
        console.print("nothing to run: no partition has new files")
        if tell_waiting(session, console) or has_faults or not is_all_seen:
            raise click.exceptions.Exit(1)
        return
    results = run_tasks(session, tasks, workers, console, overdue)
    chosen = None if dates is None else {task.partition.business_date for task in tasks}
    for _ in range(RUN_ROUNDS):
        again = unsettled_tasks(session, codes, names, chosen, console)
        if not again:
            break
        results = _latest(results, run_tasks(session, again, workers, console))
    print_whole(console, closing_table(results))
    _print_warnings(results, console)
    failed = print_failures(results, console)
    waiting = tell_waiting(session, console)
    if failed or waiting or has_faults or not is_all_seen:
        raise click.exceptions.Exit(1)


def last_date(session: Session) -> dt.date:
    """Today where the clock is furthest ahead."""
    zones = {i.time_zone for i in session.graph.institutions.values()} or {"UTC"}
    return max(dt.datetime.now(zoneinfo.ZoneInfo(zone)).date() for zone in zones)


def _sent(session: Session, code: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in session.graph.institutions[code].datasets)


def run_tasks(
    session: Session, tasks: Sequence[Task], workers: int, console: Console, overdue: Sequence[dt.date] = ()
) -> list[Result]:
    """Run `tasks`, then the tables across institutions of every date that they touched, and of those overdue.

    Raises Interrupted on Ctrl-C or SIGTERM: no further run is started.
    """
    prepare_dagster_home(session.settings)
    try:
        return _run_tasks(session, tasks, workers, console, overdue)
    except KeyboardInterrupt:
        raise Interrupted from None
    finally:
        give_back(session)


def _run_tasks(
    session: Session, tasks: Sequence[Task], workers: int, console: Console, overdue: Sequence[dt.date]
) -> list[Result]:
    reach = {name for name in session.graph.contracts if session.graph.gold.shared_over(name)}
    dates = sorted({task.partition.business_date for task in tasks if reach & set(task.datasets)} | set(overdue))
    bulk, single = plan_bulk(session, tasks, workers)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    results: list[Result] = []
    with Progress(*columns, console=console) as progress, Workers(workers) as processes:
        bar = progress.add_task("partitions", total=len(single) + sum(len(many.dates) for many in bulk))
        left: list[Task] = []
        for many, done in processes.run(bulk, execute_many, lambda _: []):
            results += done
            if rest := left_of(many, done):
                left += rest
                told = f"{many}: {len(rest)} of {len(many.dates)} partitions were not clean and get a run of their own"
                progress.console.print(f"{told}; the log of the run of `{LOAD_MANY}` says why", soft_wrap=True)
            progress.update(bar, advance=len(done), description=str(many))
        for task, done in processes.run([*single, *left], execute, lost_task):
            results += done
            progress.update(bar, advance=1, description=str(task.partition))
        bar = progress.add_task("across institutions", total=len(dates))
        overviews = plan_overviews(dates, workers)
        for some, done in processes.run(overviews, execute_overviews, lost_overviews):
            results += [r for r in done if not r.succeeded]
            progress.update(bar, advance=len(some))
    # A worker that was killed on the way has left a run behind.
    picking.pick_up(dagster_instance(), session.ledger, Processes(session.settings.processes), session.graph.gold)
    return sorted(results, key=lambda r: (r.partition.business_date, r.partition.institution or "", r.dataset))


def _latest(before: Sequence[Result], after: Sequence[Result]) -> list[Result]:
    """One result for each partition and dataset: that of its last run."""
    found = {(r.partition, r.dataset): r for r in (*before, *after)}
    return sorted(found.values(), key=lambda r: (r.partition.business_date, r.partition.institution or "", r.dataset))


def closing_table(results: Sequence[Result]) -> RichTable:
    """One line per partition and dataset, and the sum."""
    table = RichTable(title="partitions", show_footer=True)
    ended = [r for r in results if r.partition.institution is not None]
    sums = {
        "rows read": sum(r.totals.rows_read for r in ended),
        "silver": sum(r.totals.rows_silver for r in ended),
        "quarantined": sum(r.totals.rows_quarantined for r in ended),
        "duplicates": sum(r.totals.rows_duplicate for r in ended),
        "unexplained": sum(r.unexplained for r in ended),
        "checks passed": sum(r.totals.checks_passed for r in ended),
        "checks failed": sum(r.totals.checks_failed for r in ended),
    }
    table.add_column("date", footer=f"{len(ended)} in all")
    table.add_column("institution")
    table.add_column("dataset")
    for name, value in sums.items():
        table.add_column(name, justify="right", footer=f"{value:,}")
    table.add_column("seconds", justify="right", footer=f"{sum(r.seconds for r in ended):.1f}")
    table.add_column("state")
    for when, r in _lines(ended):
        t = r.totals
        counts = (
            t.rows_read,
            t.rows_silver,
            t.rows_quarantined,
            t.rows_duplicate,
            r.unexplained,
            t.checks_passed,
            t.checks_failed,
        )
        state = "[green]loaded[/]" if r.succeeded else "[red]failed[/]"
        table.add_row(
            when,
            r.partition.institution,
            r.dataset,
            *(f"{c:,}" for c in counts),
            f"{r.seconds:.2f}",
            state,
        )
    return table


def _lines(ended: Sequence[Result]) -> list[tuple[str, Result]]:
    """A line for each; of more than a screen holds, one for what failed and one for all that an institution sent."""
    if len(ended) <= RUN_LINES_SHOWN:
        return [(str(r.partition.business_date), r) for r in ended]
    groups: dict[tuple[str | None, str], list[Result]] = defaultdict(list)
    for r in ended:
        if r.succeeded:
            groups[r.partition.institution, r.dataset].append(r)
    sums = [(_span(found), _sum(found)) for _, found in sorted(groups.items(), key=lambda item: str(item[0]))]
    return sums + [(str(r.partition.business_date), r) for r in ended if not r.succeeded]


def _span(found: Sequence[Result]) -> str:
    dates = [r.partition.business_date for r in found]
    return f"{min(dates)}..{max(dates)} ({len(dates):,})"


def _sum(found: Sequence[Result]) -> Result:
    added = {field.name: sum(getattr(r.totals, field.name) for r in found) for field in fields(AttemptTotals)}
    return replace(found[0], totals=AttemptTotals(**added), seconds=sum(r.seconds for r in found))


def _print_warnings(results: Sequence[Result], console: Console) -> None:
    warnings = [f"{r.partition} {r.dataset}: {text}" for r in results for text in r.warnings]
    for text in warnings[:RUN_WARNINGS_SHOWN]:
        console.print("[yellow]warned[/]", plain(text), soft_wrap=True)
    if len(warnings) > RUN_WARNINGS_SHOWN:
        console.print(
            f"… {len(warnings) - RUN_WARNINGS_SHOWN:,} more warnings; the checks of silver in the UI have them all"
        )


def print_failures(results: Sequence[Result], console: Console) -> int:
    """Each failure with its reason. Returns how many."""
    failed = [r for r in results if not r.succeeded]
    for r in failed:
        console.print("[red]failed[/]", plain(f"{r.partition} {r.dataset}: {r.error}"), soft_wrap=True)
    return len(failed)
