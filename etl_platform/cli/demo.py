"""`etl-platform demo`: sample files, every partition from landing to gold, and the proof that the counts are right."""

from __future__ import annotations

import datetime as dt

import click

from etl_platform.cli.execute import Result
from etl_platform.cli.generate import write_sample
from etl_platform.cli.pick_up import pick_up
from etl_platform.cli.run import closing_table, print_failures, run_tasks
from etl_platform.cli.session import open_console, open_session, prepare_dagster_home, print_whole
from etl_platform.cli.wanted import pending_tasks
from etl_platform.sample.expected import Expected

FIRST_DATE, DAYS, ROWS, SEED, DEFECTS = dt.date(2025, 1, 13), 5, 2_000, 1, 0.01


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
def demo(workers: int) -> None:
    """Generate sample files of three institutions, run every partition, compare with the seeded defects.

    Safe to repeat: the same files are written, and what is loaded already is not run again.
    """
    session = open_session()
    console = open_console()
    console.print(
        f"1. sample files of {len(session.graph.institutions)} institutions -> {session.settings.landing_root}"
    )
    expected = write_sample(session, FIRST_DATE, DAYS, ROWS, SEED, DEFECTS, None)
    console.print("2. every partition that has new files: bronze, silver + quarantine, checks, warehouse, gold")
    prepare_dagster_home(session.settings)
    held = pick_up(session, console)
    tasks, _ = pending_tasks(
        session, sorted(session.graph.institutions), sorted(session.graph.contracts), console, held
    )
    if not tasks:
        console.print("everything is loaded already; `make clean` starts over, `make dev` opens the UI")
        return
    results = run_tasks(session, tasks, workers, console)
    print_whole(console, closing_table(results))
    failed = print_failures(results, console)
    differences = compare(results, expected)
    for difference in differences:
        console.print(f"[red]unexpected[/] {difference}")
    if failed or differences:
        raise click.exceptions.Exit(1)
    console.print("[green]exactly the seeded defects were quarantined, and every row is explained[/]")
    console.print("3. look at it: `make dev` opens the UI; `.venv/bin/etl-platform status` shows what is loaded")


def compare(results: list[Result], expected: Expected) -> list[str]:
    """Sentences about every partition whose counts differ from what was seeded."""
    wanted = {(p.dataset, p.institution, p.business_date): p for p in expected.partitions}
    differences = []
    for r in results:
        want = wanted.get((r.dataset, r.partition.institution or "", r.partition.business_date))
        if want is None:
            continue
        t = r.totals
        found = (t.rows_read, t.rows_silver, t.rows_quarantined, t.rows_duplicate)
        seeded = (want.rows_read, want.silver, want.quarantined, want.duplicates)
        if found != seeded:
            differences.append(
                f"{r.partition} {r.dataset}: read, silver, quarantined, duplicates {found}, seeded {seeded}"
            )
    return differences
