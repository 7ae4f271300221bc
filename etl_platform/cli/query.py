"""`etl-platform query`: one SELECT over the lake, for people and scripts. Not here: what it sees (`query/`)."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import click
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from etl_platform.cli.session import plain
from etl_platform.limits import QUESTION_ROWS
from etl_platform.query import Answer, query
from etl_platform.settings import load_settings

WIDTH = 80


@click.command("query")
@click.argument("sql")
@click.option(
    "--limit", default=QUESTION_ROWS, show_default=True, type=click.IntRange(min=0), help="The most rows to show."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")
def query_command(sql: str, limit: int, as_json: bool) -> None:
    """The answer of one SELECT over the tables in the lake. Reads only; no run waits for it, whatever the warehouse.

    \b
    Views, in the SQL of DuckDB:
      <institution>.<table>   what is published of it, silver and gold
      shared.<table>          tables across institutions
      stored.<table>          all that the lake holds, also what a failed check holds back
    `show all tables` lists them, `describe <institution>.<table>` their columns.

    Rows that do not fit beside each other are shown one below the other. In JSON decimals, dates and times are text.
    Exit status 2 when the SQL is wrong or does more than read, 3 when lake or ledger does not answer.
    """
    answer = query(sql, load_settings(), limit=limit)
    if as_json:
        click.echo(_document(answer))
        return
    console = Console(width=WIDTH, highlight=False)
    console.print(_beside(answer, console) or _below(answer))
    rows = answer.rows.num_rows
    # Not among the rows: what is read on from here gets rows alone.
    note = f"the first {rows:,} rows, there are more: --limit" if answer.has_more else f"{rows:,} rows"
    click.echo(note, err=True)


def _beside(answer: Answer, console: Console) -> RichTable | None:
    """The rows as a table, or None where a row takes more than the width."""
    table = RichTable()
    for field in answer.rows.schema:
        is_number = any(word in str(field.type) for word in ("int", "decimal", "double", "float"))
        table.add_column(plain(field.name), justify="right" if is_number else "left", no_wrap=True)
    for row in _rows(answer):
        table.add_row(*(_shown(value) for value in row))
    wide = console.options.update(width=100 * WIDTH)
    return table if console.measure(table, options=wide).maximum <= WIDTH else None


def _below(answer: Answer) -> RichTable:
    """Column by column, row after row."""
    table = RichTable(show_header=False)
    table.add_column(overflow="fold", max_width=WIDTH // 3)
    table.add_column(overflow="fold")
    for row in _rows(answer):
        for name, value in zip(answer.rows.column_names, row, strict=True):
            table.add_row(plain(name), _shown(value))
        table.add_section()
    return table


def _rows(answer: Answer) -> list[tuple[Any, ...]]:
    # By position: two columns of an answer may have one name.
    columns = [column.to_pylist() for column in answer.rows.columns]
    return list(zip(*columns, strict=True))


def _shown(value: Any) -> Text:
    return Text("null", style="dim") if value is None else plain(str(_value(value)))


def _value(value: Any) -> Any:
    """`value` as JSON has it, nothing of it lost."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list | tuple):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): _value(item) for name, item in value.items()}
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _document(answer: Answer) -> str:
    columns = [{"name": field.name, "type": str(field.type)} for field in answer.rows.schema]
    rows = [[_value(value) for value in row] for row in _rows(answer)]
    return json.dumps({"columns": columns, "rows": rows, "has_more": answer.has_more}, indent=2, allow_nan=False)
