"""`etl-platform quarantine`: what was refused, why, and another try after the cause is gone."""

from __future__ import annotations

import datetime as dt
import getpass
import sys
from dataclasses import dataclass

import click
import polars as pl
from rich.table import Table as RichTable

from etl_platform.cli.choices import parse_dates, parse_institutions, parse_names
from etl_platform.cli.quarantine_replay import replay_partitions
from etl_platform.cli.run import closing_table, last_date, print_failures
from etl_platform.cli.session import Session, open_console, open_session, plain, print_whole
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError
from etl_platform.ledger.records import Replay
from etl_platform.limits import QUARANTINE_GROUPS_SHOWN
from etl_platform.stores.reading import read_frame
from etl_platform.transforms.quarantine_view import Chosen, grouped

SHOWN = ("institution", "dataset", "business_date", "_source_file", "_source_row", "kind", "rules", "reason", "raw")


@dataclass(frozen=True)
class Filters:
    """What the options of every command say."""

    dates: str | None
    institutions: str | None
    datasets: str | None
    chosen: Chosen

    def partitions(self, session: Session) -> list[Delivery]:
        """The partitions with something in quarantine. Raises UnknownNameError."""
        codes = parse_institutions(self.institutions, session.graph)
        names = parse_names(self.datasets, session.graph.contracts, "dataset")
        first = session.settings.first_date
        days = parse_dates(self.dates, first, last_date(session)) if self.dates else None
        return session.ledger.quarantined_partitions(codes, names, days)


def filtered(command: click.decorators.FC) -> click.decorators.FC:
    """The options that choose quarantined rows."""
    for option in (
        click.option("--file", help="Part of a landing key."),
        click.option("--rule", help="Name of a rule."),
        click.option("--dataset", "datasets", help="Datasets, comma-separated. Default: all."),
        click.option("--institution", "institutions", help="Codes, comma-separated. Default: all."),
        click.option("--date", "dates", help="Dates or a range. Default: all."),
    ):
        command = option(command)
    return command


@click.group()
def quarantine() -> None:
    """Refused rows and files: find the cause, correct it, and let them through."""


@quarantine.command("list")
@filtered
def list_groups(
    dates: str | None, institutions: str | None, datasets: str | None, rule: str | None, file: str | None
) -> None:
    """What is in quarantine, by rule, file, institution, date and dataset.

    A row that breaks two rules is counted under both.
    """
    session = open_session()
    filters = Filters(dates, institutions, datasets, Chosen(rule, file))
    partitions = filters.partitions(session)
    rows = quarantined(session, partitions, filters.chosen)
    groups = grouped(rows, _first_seen(session, partitions))
    console = open_console()
    table = RichTable(title=f"{rows.height:,} refused rows and files in {groups.height:,} groups")
    for name in ("rows", "rule", "file", "institution", "date", "dataset", "first seen"):
        table.add_column(name, overflow="fold", justify="right" if name == "rows" else "left")
    for group in groups.head(QUARANTINE_GROUPS_SHOWN).iter_rows(named=True):
        seen = f"{group['first_seen_at']:%Y-%m-%d %H:%M}" if group["first_seen_at"] else ""
        who = (group["institution"], str(group["business_date"]), group["dataset"])
        table.add_row(f"{group['rows']:,}", group["rule"], plain(group["_source_file"]), *who, seen)
    console.print(table)
    if groups.height > QUARANTINE_GROUPS_SHOWN:
        console.print(
            f"… {groups.height - QUARANTINE_GROUPS_SHOWN:,} more groups; choose with --rule, --file, --date, …"
        )


@quarantine.command()
@filtered
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows.")
@click.option("--format", "as_format", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def show(
    dates: str | None,
    institutions: str | None,
    datasets: str | None,
    rule: str | None,
    file: str | None,
    limit: int,
    as_format: str,
) -> None:
    """Refused rows as received, each beside its reason; as CSV or JSON lines for other tools.

    \b
      etl-platform quarantine show --institution institution_a --rule high_is_highest
      etl-platform quarantine show --date 2025-01-15 --format csv --limit 100000 > refused.csv
    """
    session = open_session()
    filters = Filters(dates, institutions, datasets, Chosen(rule, file))
    rows = quarantined(session, filters.partitions(session), filters.chosen, limit).select(SHOWN).head(limit)
    if as_format == "csv":
        rows.with_columns(pl.col("rules").list.join("; ")).write_csv(sys.stdout)
        return
    if as_format == "json":
        rows.write_ndjson(sys.stdout)
        return
    table = RichTable(title=f"{rows.height:,} refused rows", show_lines=True)
    for name in ("where", "as received", "reason"):
        table.add_column(name, overflow="fold")
    for row in rows.iter_rows(named=True):
        line = f":{row['_source_row']}" if row["_source_row"] is not None else ""
        table.add_row(*(plain(text) for text in (f"{row['_source_file']}{line}", row["raw"] or "", row["reason"])))
    open_console().print(table)


@quarantine.command()
@filtered
@click.option("--reason", required=True, help="Why the rows should pass now; it stays on record.")
@click.option("--by", help="Who asks. Default: the user of this machine.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
def replay(
    dates: str | None,
    institutions: str | None,
    datasets: str | None,
    rule: str | None,
    file: str | None,
    reason: str,
    by: str | None,
    workers: int,
) -> None:
    """Run the partitions of the chosen rows again, after a contract or a configuration was corrected.

    Whole partitions run, in the ordinary way: what passes now moves into silver, the rest stays, the counts balance.
    Who, when, why, under which rules before and after, and how many rows moved: `etl-platform quarantine replays`.
    """
    if not reason.strip():
        raise ConfigurationError("--reason", found="nothing", expected="why the rows should pass now, in a few words")
    session = open_session()
    filters = Filters(dates, institutions, datasets, Chosen(rule, file))
    before = {
        partition: rows
        for partition in filters.partitions(session)
        if filters.chosen.of(rows := quarantined(session, [partition], Chosen())).height
    }
    console = open_console()
    if not before:
        console.print("nothing to replay: no such row is in quarantine")
        return
    results, done = replay_partitions(session, before, by or getpass.getuser(), reason, workers, console)
    print_whole(console, closing_table(results))
    failed = print_failures(results, console)
    console.print(_replays_table(done))
    if failed:
        raise click.exceptions.Exit(1)


@quarantine.command("replays")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
def list_replays(limit: int) -> None:
    """What was replayed: by whom, when, why, under which rules, and how many rows moved to silver."""
    open_console().print(_replays_table(open_session().ledger.replays(limit)))


def quarantined(session: Session, partitions: list[Delivery], chosen: Chosen, limit: int | None = None) -> pl.DataFrame:
    """The chosen rows of `partitions` with their dataset, at least `limit` where there are as many."""
    store = session.resources["lake"].store
    found: list[pl.DataFrame] = [pl.DataFrame(schema={**quarantine_table("any").polars_schema, "dataset": pl.String})]
    height = 0
    for partition in partitions:
        key = PartitionKey(partition.business_date, partition.institution)
        rows = chosen.of(read_frame(store, quarantine_table(partition.dataset), [key]))
        found.append(rows.with_columns(pl.lit(partition.dataset).alias("dataset")))
        height += rows.height
        if limit is not None and height >= limit:
            break
    return pl.concat(found)


def _first_seen(session: Session, partitions: list[Delivery]) -> pl.DataFrame:
    objects = [found for partition in partitions for found in session.ledger.objects(partition=partition)]
    rows = [(found.key, found.first_seen_at) for found in objects]
    schema = {"_source_file": pl.String(), "first_seen_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("first_seen_at")


def _replays_table(replays: list[Replay]) -> RichTable:
    table = RichTable(title="replays out of quarantine")
    names = (
        "requested (UTC)",
        "by",
        "reason",
        "partition",
        "rules before",
        "rules after",
        "quarantined",
        "moved",
        "end",
    )
    for name in names:
        table.add_column(name, overflow="fold")
    for found in replays:
        after = "" if found.rows_quarantined_after is None else f" → {found.rows_quarantined_after:,}"
        table.add_row(
            f"{found.requested_at.astimezone(dt.UTC):%Y-%m-%d %H:%M}",
            plain(found.requested_by),
            plain(found.reason),
            str(found.partition),
            found.version_before or "",
            found.version_after or "",
            f"{found.rows_quarantined_before:,}{after}",
            "" if found.rows_moved is None else f"{found.rows_moved:,}",
            found.outcome or "not ended",
        )
    return table
