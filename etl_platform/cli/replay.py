"""`etl-platform replay`: let loaded or failed partitions be loaded again."""

from __future__ import annotations

import datetime as dt

import click

from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.run import last_date
from etl_platform.cli.session import open_session


@click.command()
@click.option("--date", "dates", help="Dates or a range.")
@click.option("--institution", "institutions", help="Codes, comma-separated. Default: all.")
@click.option("--dataset", "datasets", help="Datasets, comma-separated. Default: all.")
def replay(dates: str | None, institutions: str | None, datasets: str | None) -> None:
    """Mark partitions to be loaded again by the sensor, or by `etl-platform run`.

    For after a contract or configuration was corrected, or a failed partition's cause is gone.

    \b
      etl-platform replay --date 2025-01-15 --institution institution_a
    """
    session = open_session()
    codes = parse_institutions(institutions, session.graph) if institutions else [None]
    names = parse_names(datasets, session.graph.contracts, "dataset") if datasets else [None]
    days: list[dt.date] | list[None] = (
        parse_dates(dates, session.settings.first_date, last_date(session)) if dates else [None]
    )
    now = dt.datetime.now(dt.UTC)
    count = sum(
        session.ledger.request_replay(institution=code, dataset=name, business_date=day, now=now)
        for code in codes
        for name in names
        for day in days
    )
    click.echo(f"{count} objects will be loaded again")
