"""`etl-platform status`: the institution x date matrix, from the ledger alone."""

from __future__ import annotations

import datetime as dt

import click
from rich.table import Table as RichTable

from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.faults import print_faults
from etl_platform.cli.run import last_date
from etl_platform.cli.session import open_console, open_session, plain
from etl_platform.ledger.records import DatasetPartition, Outcome, PartitionStatus, State

DEFAULT_DAYS = 14


@click.command()
@click.option("--date", "dates", help=f"Dates or a range. Default: the last {DEFAULT_DAYS} dates with objects.")
@click.option("--institution", "institutions", help="Codes, comma-separated. Default: all.")
@click.option("--dataset", "datasets", help="Datasets, comma-separated. Default: all.")
@click.option("--unrouted", is_flag=True, help="List the objects that belong to nobody, with the reason.")
def status(dates: str | None, institutions: str | None, datasets: str | None, unrouted: bool) -> None:
    """What arrived, what is loaded and what is not, per date and institution.

    \b
    A cell is objects/silver rows and a sign:
      ✓ loaded and checked   … waiting or running   ✗ failed   ! a file was refused   · nothing arrived

    Exit status 1 when the file of an institution is not well.
    """
    session = open_session()
    console = open_console()
    if unrouted:
        for found in session.ledger.unrouted(1_000):
            console.print(plain(f"{found.first_seen_at:%Y-%m-%d %H:%M} {found.uri}: {found.reason}"), soft_wrap=True)
        return
    has_faults = print_faults(console, session.graph)
    codes = parse_institutions(institutions, session.graph)
    names = parse_names(datasets, session.graph.contracts, "dataset")
    first, last = session.settings.first_date, last_date(session)
    days = parse_dates(dates, first, last) if dates else _days(first, last)
    cells = session.ledger.status_matrix(days, codes, names)
    if not dates:
        days = sorted({cell.business_date for cell in cells})[-DEFAULT_DAYS:]
    if not cells:
        console.print("nothing has arrived here yet; `etl-platform run` looks at the landing zone")
    for name in sorted({cell.dataset for cell in cells}):
        table = RichTable(title=name)
        table.add_column("date")
        for code in codes:
            table.add_column(code, justify="right")
        for day in days:
            table.add_row(str(day), *(_cell(cells.get(DatasetPartition(name, day, code))) for code in codes))
        console.print(table)
    strays = session.ledger.unrouted(1)
    if strays:
        console.print("[yellow]some objects belong to nobody[/]: etl-platform status --unrouted")
    if has_faults:
        raise click.exceptions.Exit(1)


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def _cell(found: PartitionStatus | None) -> str:
    if found is None:
        return "·"
    count = sum(n for state, n in found.objects.items() if state not in (State.SUPERSEDED, State.UNROUTED))
    text = f"{count}/{found.rows_silver:,}"
    latest = found.latest_attempt
    if found.objects.get(State.FAILED) or (latest and latest.outcome in (Outcome.FAILED, Outcome.CRASHED)):
        sign = "[red]✗[/]"
    elif found.objects.get(State.SEEN) or (latest and latest.outcome is Outcome.RUNNING):
        sign = "[yellow]…[/]"
    elif found.objects.get(State.REFUSED):
        sign = "[yellow]![/]"
    else:
        sign = "[green]✓[/]"
    return f"{text} {sign}"
