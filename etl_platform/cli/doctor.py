"""`etl-platform doctor`: settings and connections, each with what was found and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import click
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table as RichTable

from etl_platform.cli.session import Session, open_session, plain
from etl_platform.errors import EtlError, StorageError
from etl_platform.landing.zone import Root
from etl_platform.ledger.failures import SERVICE as LEDGER
from etl_platform.object_store.folder import not_there
from etl_platform.object_store.open import ObjectStore
from etl_platform.resources.memory import plan_memory


@click.command()
def doctor() -> None:
    """Check the settings and every connection: landing roots, lake, ledger, warehouse.

    Exit status 1 when something is not well: a part, or partitions that failed, were refused or wait; 2 for an old or
    newer ledger, which stays as it is. Secrets are never shown.
    """
    session = open_session()
    console = Console()
    console.print(_settings_table(session))
    table = RichTable(title="connections")
    for name in ("part", "state", "found"):
        table.add_column(name, overflow="fold")
    failures = len(session.graph.faults)
    for fault in session.graph.faults:
        table.add_row(plain(f"institution {fault.institution}"), "[red]not well[/]", plain(fault.message))
    other = _of_another_version(session)
    for name, probe in _probes(session, other).items():
        try:
            table.add_row(name, "[green]well[/]", probe())
        except EtlError as error:
            failures += 1
            table.add_row(name, "[red]not well[/]", plain(str(error)))
    failures += _tell_partitions(session, table) if other is None else 0
    console.print(table)
    if other is not None:
        raise other
    if failures:
        raise click.exceptions.Exit(1)


def _of_another_version(session: Session) -> StorageError | None:
    """What is wrong with a ledger that other code made. One that does not answer is told by its probe."""
    try:
        session.ledger.refuse_other()
    except StorageError as error:
        return error
    except EtlError:
        return None
    return None


def _tell_partitions(session: Session, table: RichTable) -> int:
    """A row for each way in which partitions are not well. Returns how many ways."""
    try:
        unwell = session.ledger.unwell()
    except EtlError:
        return 0  # the row of the ledger says why
    kinds = Counter(found.kind for found in unwell)
    for kind, count in sorted(kinds.items()):
        services = sorted({found.service for found in unwell if found.kind is kind and found.service})
        of = f" for {', '.join(services)}" if services else ""
        table.add_row(f"partitions {kind}", "[red]not well[/]", f"{count:,} {kind}{of}; see etl-platform status")
    if not kinds:
        table.add_row("partitions", "[green]well[/]", "none failed, refused or waiting")
    return len(kinds)


def _probes(session: Session, other: StorageError | None) -> dict[str, Callable[[], str]]:
    """other: what is wrong with a ledger of another version, which is then not asked: its first use upgrades it."""
    probes: dict[str, Callable[[], str]] = {
        "institutions": lambda: ", ".join(session.graph.institutions) or "none",
    }
    for root in session.landing.roots:
        look = partial(_landing, session, root) if other is None else partial(_listing, root.store)
        probes[f"landing {root.store.url}"] = look
    lake = session.resources["bronze"].lake

    def lake_answers() -> str:
        if other is None:
            session.resources["lake"].store.probe()
        return _listing(lake)

    def ledger_answers() -> str:
        if other is not None:
            raise other
        return session.ledger.check()

    probes[f"lake {lake.url}"] = lake_answers
    probes[LEDGER] = ledger_answers
    probes[f"warehouse {session.settings.warehouse}"] = lambda: str(session.resources["warehouse"].store.check())
    probes["warehouse canary"] = lambda: str(session.resources["warehouse"].store.canary())
    probes["memory"] = lambda: _memory(session)
    return probes


def _landing(session: Session, root: Root) -> str:
    error = not_there(root.store)
    if error is not None and session.ledger.has_objects(session.landing.names_of(root)):
        raise error
    return _listing(root.store)


def _listing(store: ObjectStore) -> str:
    first = next(iter(store.list()), None)
    return f"can be listed; first key {first.key}" if first else "can be listed; empty"


def _memory(session: Session) -> str:
    plan = plan_memory(session.settings.memory_limit_mb)
    return f"{plan.limit / 2**20:,.0f} MiB a partition: {plan.source}"


def _settings_table(session: Session) -> RichTable:
    table = RichTable(title="settings (ETL_*)")
    table.add_column("setting")
    table.add_column("value", overflow="fold")
    table.add_column("meaning", overflow="fold")
    for name, field in type(session.settings).model_fields.items():
        value = getattr(session.settings, name)
        if value is None and field.default is None and not field.description:
            continue
        shown = "(set, not shown)" if isinstance(value, SecretStr) else "" if value is None else str(value)
        table.add_row(name, shown, field.description or "")
    return table
