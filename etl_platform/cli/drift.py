"""`etl-platform drift`: which deliveries had other columns than expected, from the ledger alone."""

from __future__ import annotations

import click
from rich.table import Table as RichTable

from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.run import last_date
from etl_platform.cli.session import open_console, open_session, plain
from etl_platform.drift.columns import Difference
from etl_platform.pipeline.schema_drift import drift_of

COLUMNS = ("date", "institution", "dataset", "file", "change", "column", "before", "after", "against", "suggestion")


@click.group()
def drift() -> None:
    """Schema drift: columns that are new, missing, renamed or of another type."""


@drift.command("list")
@click.option("--date", "dates", help="Dates or a range. Default: all.")
@click.option("--institution", "institutions", help="Codes, comma-separated. Default: all.")
@click.option("--dataset", "datasets", help="Datasets, comma-separated. Default: all.")
def list_drift(dates: str | None, institutions: str | None, datasets: str | None) -> None:
    """Every difference on record, by date. A file that was overwritten since is marked with an asterisk.

    \b
      etl-platform drift list --institution institution_a --date 2025-01-13..2025-01-17
    """
    session = open_session()
    console = open_console()
    codes = parse_institutions(institutions, session.graph)
    names = parse_names(datasets, session.graph.contracts, "dataset")
    days = parse_dates(dates, session.settings.first_date, last_date(session)) if dates else None
    found = session.ledger.drifted(codes, names, days)
    if not found:
        console.print("no drift on record")
        return
    table = RichTable()
    for name in COLUMNS:
        table.add_column(name, overflow="fold")
    for delivered in found:
        partition = delivered.partition
        file = delivered.key if delivered.is_current else f"{delivered.key} *"
        place = (str(partition.business_date), partition.institution, partition.dataset, file)
        for _, difference in drift_of([delivered]):
            table.add_row(*map(plain, (*place, *cells(difference))))
    console.print(table)


def cells(difference: Difference) -> tuple[str, ...]:
    """A difference in the columns from `change` on."""
    d = difference
    target = f"{d.column} ({d.target})" if d.target and d.target != d.column else d.column
    return (d.change, target, d.before or "", d.after or "", " and ".join(d.against), d.suggestion or "")
