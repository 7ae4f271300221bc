"""What every command starts from: settings, the graph, the resources, and the Dagster instance of this machine."""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
from filelock import FileLock
from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl_platform.defs.assemble import build_graph
from etl_platform.defs.graph import Graph
from etl_platform.defs.resources import build_resources
from etl_platform.landing.zone import LandingZone
from etl_platform.ledger.ledger import Ledger
from etl_platform.settings import Settings, load_settings

INSTANCE_FILE = "dagster.yaml"
PLANNED_AT_ONCE = "1000"


@dataclass(frozen=True)
class Session:
    """One command's view of the platform. Nothing is opened before it is used."""

    settings: Settings

    @cached_property
    def graph(self) -> Graph:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            return build_graph(self.settings)

    @cached_property
    def resources(self) -> dict[str, Any]:
        return build_resources(self.settings, self.graph.institutions, self.graph.catalog)

    @property
    def ledger(self) -> Ledger:
        ledger: Ledger = self.resources["ledger"]
        return ledger

    @property
    def landing(self) -> LandingZone:
        landing: LandingZone = self.resources["landing"]
        return landing


WIDTH = 150
"""Columns that the widest table needs: cut numbers would be no numbers."""


def open_console() -> Console:
    """Where tables go: at least WIDTH wide, also into a pipe or a log."""
    return Console(width=max(WIDTH, shutil.get_terminal_size((WIDTH, 50)).columns))


def print_whole(console: Console, table: Table) -> None:
    """`table` as wide as it is: of a name that is cut nobody knows whose it is. A narrow terminal breaks the lines."""
    console.width = max(console.width, console.measure(table, options=console.options.update(width=10 * WIDTH)).maximum)
    console.print(table)


def plain(text: str) -> Text:
    """Text of others as it is: no brackets of it are taken for markup, and no control character reaches a terminal."""
    return Text("".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text))


def open_session() -> Session:
    """A session with the settings of the environment."""
    return Session(load_settings())


def prepare_dagster_home(settings: Settings) -> Path:
    """The folder of the Dagster instance: DAGSTER_HOME, else {home}/dagster with the tuned `dagster.yaml`.

    Sets DAGSTER_HOME for this process and its children, which is how Dagster finds it.
    """
    home = settings.dagster_home or settings.root / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    # What a run is planned to do is then one batch of events: a wide dataset has a thousand checks.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", PLANNED_AT_ONCE)
    # Two processes that both find no database yet would both stamp its schema version, and neither could go on: of
    # several first commands one makes the home, the others find it made.
    with FileLock(home / ".preparing.lock"):
        target = home / INSTANCE_FILE
        if settings.dagster_home is None and not target.exists():
            for folder in (Path(__file__).parents[1], Path(__file__).parents[2]):
                if (folder / INSTANCE_FILE).exists():
                    shutil.copy(folder / INSTANCE_FILE, target)
                    break
        with dg.DagsterInstance.get() as instance:
            instance.get_runs_count()
            instance.fetch_run_status_changes(dg.DagsterEventType.RUN_START, limit=1)
            # The storage of sensors and schedules, too: the daemon may be the other one.
            instance.all_instigator_state()
    return home
