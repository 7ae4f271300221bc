"""`etl-platform status`: the institution x date matrix, and what is not well, from the ledger alone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Mapping, Sequence

import click
from rich.console import Console
from rich.table import Table as RichTable

from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.faults import print_faults
from etl_platform.cli.run import last_date
from etl_platform.cli.session import Session, open_console, open_session, plain
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import CURRENT, Kind, LedgerObject, Outcome, PartitionStatus, State, Unwell
from etl_platform.limits import STATUS_DAYS, STATUS_OBJECTS, STATUS_REASONS_SHOWN

_SIGNS = {
    "published": "[green]✓[/]",
    "running": "[yellow]…[/]",
    Kind.WAITING.value: "[yellow]~[/]",
    Kind.FAILED.value: "[red]✗[/]",
    Kind.REFUSED.value: "[yellow]![/]",
    "nothing": "·",
}
_NEXT = {
    Kind.FAILED: "after the cause is gone: etl-platform run",
    Kind.REFUSED: "ask the sender for it again, or `etl-platform withdraw KEY --reason ...`",
    Kind.WAITING: "nothing: it is tried again by itself",
}


@click.command()
@click.option("--date", "dates", help=f"Dates or a range. Default: the last {STATUS_DAYS} dates with objects.")
@click.option("--institution", "institutions", help="Codes, comma-separated. Default: all.")
@click.option("--dataset", "datasets", help="Datasets, comma-separated. Default: all.")
@click.option("--unrouted", is_flag=True, help="List the objects that belong to nobody, with the reason.")
@click.option("--ignored", is_flag=True, help="List the objects that are ignored by their name, with the reason.")
@click.option("--withdrawn", is_flag=True, help="List the objects that were withdrawn or deleted, with the reason.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")
def status(
    dates: str | None,
    institutions: str | None,
    datasets: str | None,
    unrouted: bool,
    ignored: bool,
    withdrawn: bool,
    as_json: bool,
) -> None:
    """What arrived, what is published and what is not, per date and institution.

    \b
    A cell is objects/published rows and a sign:
      ✓ published                          ✗ the latest attempt failed (what is shown is what was published before)
      … about to run or running            ! a file was refused
      ~ waits for a service that is away   · nothing arrived

    Exit status 1 when something failed, was refused or waits, or when the file of an institution is not well.
    """
    session = open_session()
    console = open_console()
    listed = {State.UNROUTED: unrouted, State.IGNORED: ignored, State.WITHDRAWN: withdrawn}
    if wanted := [state for state, is_wanted in listed.items() if is_wanted]:
        _print_objects(session, wanted, console)
        return
    has_faults = False if as_json else print_faults(console, session.graph)
    codes = parse_institutions(institutions, session.graph)
    names = parse_names(datasets, session.graph.contracts, "dataset")
    first, last = session.settings.first_date, last_date(session)
    days = parse_dates(dates, first, last) if dates else _days(first, last)
    cells = session.ledger.status_matrix(days, codes, names)
    unwell = [found for found in session.ledger.unwell() if found.partition in cells]
    kinds = _kinds(unwell)
    if as_json:
        click.echo(_document(cells, kinds, unwell, [fault.message for fault in session.graph.faults]))
        has_faults = bool(session.graph.faults)
    else:
        shown = days if dates else sorted({cell.business_date for cell in cells})[-STATUS_DAYS:]
        _print_tables(cells, kinds, shown, codes, console)
        _print_reasons(unwell, console)
        if session.ledger.unrouted(1):
            console.print("[yellow]some objects belong to nobody[/]: etl-platform status --unrouted")
    if has_faults or unwell:
        raise click.exceptions.Exit(1)


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def _kinds(unwell: Sequence[Unwell]) -> dict[Delivery, Kind]:
    """One way for each. A refused file is the reason of the failure that it causes."""
    order = (Kind.FAILED, Kind.REFUSED, Kind.WAITING)
    return {found.partition: found.kind for kind in order for found in unwell if found.kind is kind}


def sign_of(cell: PartitionStatus, kind: Kind | None) -> str:
    """In which way a partition stands, as a word: `published`, `running`, `nothing`, or in which way it is not well."""
    if kind is not None:
        return kind.value
    latest = cell.latest_attempt
    is_open = latest is not None and latest.outcome in (Outcome.RUNNING, Outcome.CHECKED)
    if is_open or cell.asked or cell.objects.get(State.SEEN):
        return "running"
    # Also after a run over a date on which nothing arrived: its empty tables are no delivery. Nor are those from which
    # everything was withdrawn; in mode `append` what was overwritten before that is still there.
    return "published" if cell.published and (_current(cell) or _published_rows(cell)) else "nothing"


def _current(cell: PartitionStatus) -> int:
    return sum(cell.objects.get(state, 0) for state in CURRENT)


def _published_rows(cell: PartitionStatus) -> int:
    totals = cell.published.totals if cell.published else None
    return totals.rows_silver if totals else 0


def _cell(cell: PartitionStatus | None, kind: Kind | None) -> str:
    if cell is None or (sign := sign_of(cell, kind)) == "nothing":
        return _SIGNS["nothing"]
    return f"{_current(cell)}/{_published_rows(cell):,} {_SIGNS[sign]}"


def _print_tables(
    cells: Mapping[Delivery, PartitionStatus],
    kinds: Mapping[Delivery, Kind],
    days: Sequence[dt.date],
    codes: Sequence[str],
    console: Console,
) -> None:
    if not cells:
        console.print("nothing has arrived here yet; `etl-platform run` looks at the landing zone")
    for name in sorted({cell.dataset for cell in cells}):
        table = RichTable(title=name)
        table.add_column("date")
        for code in codes:
            table.add_column(code, justify="right")
        for day in days:
            of_day = [Delivery(name, day, code) for code in codes]
            table.add_row(str(day), *(_cell(cells.get(p), kinds.get(p)) for p in of_day))
        console.print(table)


def _print_reasons(unwell: Sequence[Unwell], console: Console) -> None:
    """Each with its reason and the next step: whoever is called at night need not look for it."""
    for found in unwell[:STATUS_REASONS_SHOWN]:
        when = f"{found.next_try_at:%H:%M:%S} UTC" if found.next_try_at else "when it answers"
        waits = f" for {found.service}, next try {when}" if found.kind is Kind.WAITING else ""
        line = f"{found.partition}: {found.reason}; next step: {_NEXT[found.kind]}"
        console.print(f"[yellow]{found.kind}{waits}[/]", plain(line), soft_wrap=True)
    if len(unwell) > STATUS_REASONS_SHOWN:
        console.print(
            f"… and {len(unwell) - STATUS_REASONS_SHOWN:,} more; `--date`, `--institution` or `--json` show them"
        )


def _print_objects(session: Session, states: Collection[State], console: Console) -> None:
    for found in session.ledger.objects(states=sorted(states), limit=STATUS_OBJECTS):
        console.print(plain(f"{_seen(found)} {found.state} {found.uri}: {found.reason}"), soft_wrap=True)


def _seen(found: LedgerObject) -> str:
    return f"{found.first_seen_at:%Y-%m-%d %H:%M}"


def _document(
    cells: Mapping[Delivery, PartitionStatus],
    kinds: Mapping[Delivery, Kind],
    unwell: Sequence[Unwell],
    faults: Sequence[str],
) -> str:
    """The same for scripts."""
    reasons = {(found.partition, found.kind): found for found in unwell}
    partitions = []
    for partition in sorted(cells, key=lambda p: (p.dataset, p.business_date, p.institution)):
        cell, kind = cells[partition], kinds.get(partition)
        found = reasons.get((partition, kind)) if kind else None
        partitions.append(
            {
                "dataset": partition.dataset,
                "date": partition.business_date.isoformat(),
                "institution": partition.institution,
                "status": sign_of(cell, kind),
                "objects": {state.value: count for state, count in sorted(cell.objects.items())},
                "rows_published": _published_rows(cell),
                "published_at": cell.published.ended_at.isoformat()
                if cell.published and cell.published.ended_at
                else None,
                "reason": found.reason if found else None,
                "service": found.service if found else None,
                "next_try_at": found.next_try_at.isoformat() if found and found.next_try_at else None,
            }
        )
    return json.dumps({"partitions": partitions, "faults": list(faults)}, indent=2)
