"""The `etl-platform` command: collects the commands, turns platform errors into one line and an exit status.

Exit status: 0 all well, 1 a partition failed, 2 wrong use or configuration, 3 a service does not answer,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from etl_platform import __version__
from etl_platform.cli.interrupts import sigterm_is_ctrl_c
from etl_platform.errors import EtlError, TransientError

COMMANDS = {
    "contract": "contract:contract",
    "demo": "demo:demo",
    "docs": "docs:docs",
    "doctor": "doctor:doctor",
    "drift": "drift:drift",
    "generate": "generate:generate",
    "import-history": "history:import_history",
    "infer": "infer:infer_command",
    "ledger": "ledger:ledger",
    "plan": "plan:plan",
    "quarantine": "quarantine:quarantine",
    "query": "query:query_command",
    "replay": "replay:replay",
    "run": "run:run",
    "status": "status:status",
    "warehouse": "warehouse:warehouse",
    "withdraw": "withdraw:withdraw",
}
"""Name -> module of this package and function. Imported when it is called: one that needs no Dagster starts in half the
time."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"etl_platform.cli.{module}"), function)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def cli() -> None:
    """Files of financial institutions into validated, deduplicated tables, by date and institution.

    \b
    A first walk:
      etl-platform generate --days 3        sample files of three institutions into the landing zone
      etl-platform run                      every partition that has new files, landing to gold
      etl-platform status                   what arrived, what is loaded, what is missing
      etl-platform contract show prices     what a valid row is

    Settings come from ETL_* environment variables (`etl-platform doctor` shows them and tests connections).
    """


def main() -> None:
    """Entry point: platform errors become one line on standard error."""
    try:
        with sigterm_is_ctrl_c():
            # Click returns the exit status of `Exit` here instead of raising it.
            sys.exit(cli(prog_name="etl-platform", standalone_mode=False) or 0)
    except EtlError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3 if isinstance(error, TransientError) else 2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except Exception as error:  # by no name: that of SQLAlchemy's would be imported for every `--help`
        if (told := _of_dagster(error)) is None:
            raise
        click.echo(f"error: {told}", err=True)
        sys.exit(3)


def _of_dagster(error: Exception) -> str | None:
    """What a storage of Dagster that fails (a full disk, a file that is broken) means; None for any other error."""
    database = sys.modules.get("sqlalchemy.exc")  # what was never imported has not failed, and importing it is slow
    # Dagster says in its own words that it has tried several times.
    found: Any = error
    while database is not None and found is not None and not isinstance(found, database.DBAPIError):
        found = found.__cause__
    if database is None or found is None:
        return None
    return (
        f"Dagster's storage (DAGSTER_HOME {os.environ.get('DAGSTER_HOME', 'not set')}): found "
        f"{type(found.orig).__name__}: {found.orig}; expected a database that can be read and written; next step: look "
        "at the free space and the rights of that folder, or at the database that its dagster.yaml names, and run again"
    )
