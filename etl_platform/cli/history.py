"""`etl-platform import-history`: a file that spans many dates into one landing object per business date."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable

from etl_platform.cli.choices import parse_institutions, parse_names
from etl_platform.cli.session import Session, open_console, open_session
from etl_platform.errors import StorageError, UnknownNameError
from etl_platform.history.plan import HistoryImport, Writing, compare, require_places, write
from etl_platform.history.rows_by_date import Shelf
from etl_platform.resources.processes import Processes, own_scratch


@click.command("import-history")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--institution", required=True, help="Whose file it is.")
@click.option("--dataset", required=True, help="What it holds.")
@click.option("--symbol", help="{symbol} of the key pattern. Default: the file's name without its ending.")
@click.option(
    "--name", "names", multiple=True, metavar="NAME=VALUE", help="Another name that the key pattern captures."
)
@click.option(
    "--undated-to",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Rows without a readable date go to this date's object and are quarantined there. Default: refuse the file.",
)
@click.option("--replace", is_flag=True, help="Let this file take the place of other rows that its dates have already.")
def import_history(
    files: tuple[Path, ...],
    institution: str,
    dataset: str,
    symbol: str | None,
    names: tuple[str, ...],
    undated_to: dt.datetime | None,
    replace: bool,
) -> None:
    """Cut FILES, which span many dates, into one landing object per business date; then `etl-platform run` loads them.

    The event time gives the date, in the institution's time zone; columns, time formats and key pattern are those of
    its file. Rows keep the sender's own text. Nothing is written unless every row has its place. Safe to repeat: what
    is there already is left alone, and an interrupted import goes on. A file that would take the place of other rows
    is refused without --replace.

    \b
      etl-platform import-history GOOG.csv --institution market --dataset prices
      etl-platform run
    """
    session = open_session()
    (code,) = parse_institutions(institution, session.graph)
    (name,) = parse_names(dataset, session.graph.institutions[code].datasets, "dataset")
    captured = {**_pairs(names), **({"symbol": symbol} if symbol else {})}
    console = open_console()
    for path in files:
        plan = HistoryImport(path, session.graph.institutions[code], session.graph.contract_of(name, code), captured)
        console.print(_import(session, plan, undated_to.date() if undated_to else None, replace, console))


def _pairs(names: tuple[str, ...]) -> dict[str, str]:
    pairs = dict(text.partition("=")[::2] for text in names)
    if not all(pairs.values()):
        raise UnknownNameError("--name", found=", ".join(names), expected="NAME=VALUE")
    return pairs


def _import(
    session: Session, plan: HistoryImport, undated_to: dt.date | None, replace: bool, console: Console
) -> RichTable:
    landing = session.landing.store_of(plan.institution.code)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        own_scratch(session.settings.scratch, "history", Processes(session.settings.processes)) as folder,
        Progress(*columns, console=console) as progress,
    ):
        shelf = Shelf(folder)
        file = plan.open()
        bar = progress.add_task(f"{plan.path.name}: rows", total=None)
        rows_read = 0
        for rows in file.shelve(plan.dating(), shelf, undated_to):
            rows_read += rows
            progress.update(bar, completed=rows_read)
        require_places(shelf, plan, undated_to, session.settings.first_date, _today(plan))
        _prove(plan, shelf, rows_read)
        wanted = compare(shelf, plan, file, landing, may_replace=replace)
        bar = progress.add_task(f"{plan.path.name}: dates", total=len(shelf.rows))
        written: Counter[Writing] = Counter()
        for _, what in write(shelf, plan, file, landing, wanted):
            written[what] += 1
            progress.update(bar, advance=1)
    return _table(plan, shelf, written, rows_read)


def _today(plan: HistoryImport) -> dt.date:
    return dt.datetime.now(zoneinfo.ZoneInfo(plan.institution.time_zone)).date()


def _prove(plan: HistoryImport, shelf: Shelf, rows_read: int) -> None:
    if shelf.rows_in_all != rows_read:
        raise StorageError(
            plan.subject,
            found=f"{rows_read} rows read and {shelf.rows_in_all} assigned to dates",
            expected="as many; nothing was written",
        )


def _table(plan: HistoryImport, shelf: Shelf, written: Counter[Writing], rows_read: int) -> RichTable:
    table = RichTable(title=plan.subject)
    for name in ("dates", "first", "last", "rows in file", "rows in objects", "unassigned", *Writing):
        table.add_column(name, justify="right")
    counts = (rows_read, shelf.rows_in_all, rows_read - shelf.rows_in_all, *(written[what] for what in Writing))
    dates = (f"{len(shelf.rows):,}", str(min(shelf.rows)), str(max(shelf.rows)))
    table.add_row(*dates, *(f"{count:,}" for count in counts))
    return table
