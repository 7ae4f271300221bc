"""`etl-platform ledger`: which revision the ledger has, and bringing it to the one of this version.

Reads the settings only: a wrong institution file or a lake that is away must not stand in the way of an upgrade.
"""

from __future__ import annotations

import json

import click

from etl_platform.ledger.database import LedgerDatabase
from etl_platform.ledger.revision import HEAD, Standing, refuse_newer, standing
from etl_platform.settings import load_settings

_NEXT = {
    Standing.MISSING: "there is no ledger yet; the first command that needs one makes it",
    Standing.OLD: "next step: etl-platform ledger upgrade (the next start of a run or the daemon does it too)",
    Standing.CURRENT: "nothing to do",
    Standing.NEWER: "next step: install the newer version again",
}


@click.group()
def ledger() -> None:
    """The record of every object and attempt: its revision, and its upgrade."""


@ledger.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a line.")
def ledger_status(as_json: bool) -> None:
    """Which revision the ledger has and which one this version works with. Changes nothing.

    Exit status 2 for a ledger that a newer version made.
    """
    database = _database()
    found = database.revision()
    state = standing(found)
    if as_json:
        click.echo(json.dumps({"ledger": database.label, "found": found, "expected": HEAD, "state": state.value}))
    elif state is not Standing.NEWER:
        click.echo(f"{database.label}: {state.value}; revision {found or '-'}, this version: {HEAD}; {_NEXT[state]}")
    refuse_newer(found, database.label)


@ledger.command("upgrade")
def ledger_upgrade() -> None:
    """Bring the ledger to the revision of this version, in one transaction; make it where there is none.

    A copy of an SQLite ledger is left beside it. Stop the daemon and runs of an earlier version first. Exit status 2
    for a ledger that a newer version made; it is not changed.
    """
    database = _database()
    found = database.upgrade()
    told = "made" if found is None else f"upgraded from {found}" if found != HEAD else "nothing to do"
    click.echo(f"{database.label}: revision {HEAD}; {told}")
    database.close()


def _database() -> LedgerDatabase:
    settings = load_settings()
    return LedgerDatabase(settings.ledger.get_secret_value(), retries=settings.retries)
