"""`etl-platform generate`: sample landing files of the configured institutions."""

from __future__ import annotations

import datetime as dt

import click
from rich.console import Console

from etl_platform.cli.session import Session, open_session
from etl_platform.object_store.open import open_object_store
from etl_platform.resources.s3_settings import s3_options
from etl_platform.sample.expected import Expected
from etl_platform.sample.generate import generate as generate_sample

EXPECTED_FILE = "expected.json"


@click.command()
@click.option("--days", type=click.IntRange(1, 5_000), default=5, show_default=True, help="Business days.")
@click.option(
    "--rows",
    type=click.IntRange(1, 100_000_000),
    default=2_000,
    show_default=True,
    help="Rows per day, institution and dataset.",
)
@click.option("--first-date", type=click.DateTime(["%Y-%m-%d"]), default="2025-01-13", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option(
    "--defects",
    type=click.FloatRange(0, 0.5),
    default=0.01,
    show_default=True,
    help="Share of rows that break a rule; 0: none.",
)
@click.option(
    "--unreadable-date",
    type=click.DateTime(["%Y-%m-%d"]),
    help="On this date every partition also gets a file that cannot be read.",
)
def generate(
    days: int, rows: int, first_date: dt.datetime, seed: int, defects: float, unreadable_date: dt.datetime | None
) -> None:
    """Write sample landing files, each in its sender's own format, and the expected counts beside them.

    \b
      etl-platform generate --days 5 --rows 2000
      etl-platform generate --days 1 --rows 1000000 --defects 0
    """
    session = open_session()
    console = Console()
    with console.status("writing sample files"):
        expected = write_sample(
            session, first_date.date(), days, rows, seed, defects, unreadable_date.date() if unreadable_date else None
        )
    console.print(
        f"{len(expected.partitions)} partitions in {session.settings.landing_root}, expected counts in "
        f"{session.settings.root / EXPECTED_FILE}"
    )


def write_sample(
    session: Session, first_date: dt.date, days: int, rows: int, seed: int, defects: float, unreadable: dt.date | None
) -> Expected:
    """The sample in the configured landing root; the expected counts in {home}/expected.json."""
    session.settings.root.mkdir(parents=True, exist_ok=True)
    store = open_object_store(session.settings.landing_root, s3_options(session.settings))
    return generate_sample(
        store,
        session.graph.institutions,
        contracts=session.graph.contracts,
        first_date=first_date,
        days=days,
        rows_per_day=rows,
        seed=seed,
        defect_share=defects,
        unreadable_date=unreadable,
        expected_path=session.settings.root / EXPECTED_FILE,
    )
