"""Platforms whose commands are processes of their own, so that they can be killed: where, how, and what is left.

Commands start in a tenth of a second: they are forked from a server that has imported the platform and opened nothing.
Belongs here: starting, ending, healing, comparing. Not here: the daemon (`daemon.py`), which point ends what (tests).
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import itertools
import multiprocessing
import os
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Attempt
from etl_platform.settings import Settings
from etl_platform_tests.support import halting
from etl_platform_tests.support.platform import HEADER, REPOSITORY, Platform, bar, plain_senders
from etl_platform_tests.support.postgres import PostgresDatabase

CODES = ("first", "second")
PRICES = [
    *(f"{layer}/prices" for layer in ("bronze", "silver", "quarantine", "reconciliation", "warehouse")),
    "gold/daily_bars",
    "warehouse/daily_bars",
]
"""All assets of a partition of prices."""
BELOW = ["bronze/prices", "silver/prices", "quarantine/prices", "reconciliation/prices"]
PATIENCE_SECONDS = 400.0
"""Of tests, on a machine that others use, too: a run of the daemon takes ten times as long there."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Point:
    """The number-th call of `name` of module.owner whose arguments, as text, hold every part of `match` (a&b).

    mark: file that is made there; where it is already, nothing ends any more. armed: file without which nothing does.
    """

    module: str
    owner: str
    name: str
    match: str = ""
    before: bool = False
    number: int = 1
    delay: float = 0.0
    ending: str = "SIGKILL"
    mark: str = ""
    armed: str = ""


@dataclass
class Child:
    """A command that runs."""

    process: ForkServerProcess
    log: Path

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running:\n{self.end}"
        return self.process.exitcode

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process.pid and self.process.is_alive():
            os.kill(self.process.pid, number)

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    @property
    def end(self) -> str:
        """For messages: a log may be long."""
        return self.said[-2_000:]


@dataclass(frozen=True)
class Apart:
    """A platform below `folder`. environment: further variables of its commands."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return Path(self.variables["ETL_HOME"])

    @cached_property
    def variables(self) -> dict[str, str]:
        """The environment of every command."""
        own = {
            "ETL_HOME": str(self.folder / "home"),
            "ETL_INSTITUTIONS_PATH": str(self.folder / "institutions"),
            "PYTHONPATH": str(REPOSITORY),
            "DAGSTER_HOME": str(self.folder / "home" / "dagster"),
            "COLUMNS": "200",
            "ETL_SENSOR_INTERVAL_SECONDS": "1",
        }
        return {**os.environ, **own, **self.environment}

    @cached_property
    def settings(self) -> Settings:
        named = {name.removeprefix("ETL_").lower(): v for name, v in self.variables.items() if name.startswith("ETL_")}
        return Settings.model_validate({**named, "dagster_home": self.variables["DAGSTER_HOME"]})

    def prepare(self, *, dagster: str = "dagster.yaml") -> Apart:
        """Institutions, and the Dagster home that the deployment guide asks for."""
        plain_senders(self.folder / "institutions", *CODES)
        target = Path(self.variables["DAGSTER_HOME"])
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / dagster, target / "dagster.yaml")
        return self

    def other(self, **environment: str) -> Apart:
        """The same for whom some variables are others."""
        return replace(self, environment={**self.environment, **environment})

    def deliver(self, *dates: dt.date, codes: Sequence[str] = ("first",)) -> None:
        for date, code in itertools.product(dates, codes):
            path = Path(self.settings.landing_root) / f"{code}/prices/{date}/a.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HEADER + "".join(bar("AAA", minute, date=date) for minute in range(5)))

    # Commands

    def start(self, program: str, *arguments: str, point: Point | None = None) -> Child:
        """A command as a process: `dagster` or `etl-platform`, forked."""
        return self._fork(_command, program, arguments, point)

    @cached_property
    def is_prepared(self) -> bool:
        """A home that is made: of several bare Dagster commands that find none each makes its storages."""
        with self.instance() as instance:
            instance.get_runs_count()
            instance.fetch_run_status_changes(dg.DagsterEventType.RUN_START, limit=1)
            instance.all_instigator_state()
        return True

    def materialize(
        self, date: dt.date, *, assets: Sequence[str] = PRICES, code: str = "first", point: Point | None = None
    ) -> Child:
        """`dagster asset materialize` of one partition."""
        assert self.is_prepared
        selection = ("--select", ",".join(assets), "--partition", f"{date}|{code}")
        return self.start("dagster", "asset", "materialize", "-m", "etl_platform.definitions", *selection, point=point)

    def execute(self, date: dt.date, *, code: str = "first", point: Point | None = None) -> Child:
        """`dagster job execute` of the whole job for one partition."""
        assert self.is_prepared
        tags = f'{{"dagster/partition": "{date}|{code}"}}'
        options = ("-m", "etl_platform.definitions", "-j", "ingest", "--tags", tags)
        return self.start("dagster", "job", "execute", *options, point=point)

    def command(self, date: dt.date, *, code: str = "first", point: Point | None = None) -> Child:
        """`etl-platform run` of one partition."""
        options = ("--date", str(date), "--institution", code)
        return self.start("etl-platform", "run", "--workers", "1", *options, point=point)

    def run(self, *arguments: str) -> str:
        """`etl-platform run`, which must succeed. Returns what it said."""
        child = self.start("etl-platform", "run", "--workers", "1", *arguments)
        assert child.wait() == 0, child.end
        return child.said

    def tick(self) -> str:
        """One tick of the sensor, and the runs that it asks for. Returns what they are."""
        child = self._fork(_tick, "tick", (), None)
        assert child.wait() == 0, child.end
        return child.said

    def _fork(self, target: Callable[..., None], program: str, arguments: Sequence[str], point: Point | None) -> Child:
        log = self.folder / f"{next(_numbers):04}-{program}.log"
        process = _context().Process(
            target=target, args=(self.variables, program, [*arguments], asdict(point) if point else None, str(log))
        )
        process.start()
        return Child(process, log)

    # What is there

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(self.variables["DAGSTER_HOME"]) as instance:
            yield instance

    def runs(self) -> list[dg.DagsterRun]:
        with self.instance() as instance:
            return list(instance.get_runs())

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        ledger = Ledger(self.settings.ledger.get_secret_value())
        try:
            yield ledger
        finally:
            ledger.close()

    def holds(self, *dates: dt.date, codes: Sequence[str] = ("first",), overview: bool = True) -> dict[str, list[Any]]:
        """Every table of the partitions by layer/name/date/institution, without what differs from run to run."""
        with self.instance() as instance:
            platform = Platform(self.settings, instance)
            found = {}
            for date, code in itertools.product(dates, codes):
                for layer, name in (
                    ("silver", "prices"), ("gold", "daily_bars"), ("warehouse", "prices"), ("warehouse", "daily_bars"),
                ):  # fmt: skip
                    found[f"{layer}/{name} {date} {code}"] = _rows(platform.table(layer, name, code, date))
            for date in dates if overview else ():
                for layer in ("gold", "warehouse"):
                    found[f"{layer}/market_overview {date}"] = _rows(
                        platform.table(layer, "market_overview", None, date)
                    )
            platform.ledger.close()
        return found

    def attempts(self, *dates: dt.date, codes: Sequence[str] = ("first",)) -> list[Attempt]:
        """The attempts at prices of the partitions, newest first for each."""
        with self.ledger() as ledger:
            run_ids = [run.run_id for run in self.runs()]
            found = [attempt for run_id in run_ids for attempt in ledger.attempts_of(run_id)]
        wanted = {Delivery("prices", date, code) for date, code in itertools.product(dates, codes)}
        return [attempt for attempt in found if attempt.partition in wanted]

    def left(self) -> list[str]:
        """What has no end or waits: nothing must be left."""
        with self.ledger() as ledger:
            found = [f"open {attempt.partition} {attempt.outcome}" for attempt in ledger.open_attempts()]
            found += [f"pending {item.partition}" for item in ledger.pending_partitions(1_000)]
            found += [f"unpublished {item.partition}" for item in ledger.unpublished()]
            found += [f"{item.key} {item.state}: {item.reason}" for item in ledger.objects() if item.state != "loaded"]
            found += [f"trouble {item.partition}: {item.error}" for item in ledger.troubles()]
            found += [f"lease {item.partition} {item.holder}" for item in ledger.leases()]
        return found


def _rows(frame: pl.DataFrame) -> list[Any]:
    kept = [name for name in frame.columns if not name.startswith("_")]
    return sorted(map(str, frame.select(kept).rows()))


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process has the DuckDB file open, as an analyst would."""
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
    import subprocess

    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def eventually(holds: Callable[[], Any], seconds: float = PATIENCE_SECONDS, every: float = 0.1) -> Any:
    """What `holds` returns once it is something. Fails at the deadline."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s"
        time.sleep(every)
    return found


def new_postgres(place: Apart, database: PostgresDatabase) -> Apart:
    """The same with its warehouse in that database."""
    changed = place.other(ETL_WAREHOUSE="postgres", ETL_POSTGRES_URL=database.url, ETL_POSTGRES_ROLES="false")
    child = changed.start("etl-platform", "warehouse", "init")
    assert child.wait() == 0, child.end
    return changed


def _context() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["etl_platform_tests.support.apart_preload"])
    return context


def _enter(variables: Mapping[str, str], point: dict[str, Any] | None, log: str) -> None:
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(REPOSITORY)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    # As a shell starts it: the fork server ignores what the terminal sends.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if point:
        importlib.import_module(point["module"])
        halting.arm(point)


def _command(
    variables: Mapping[str, str], program: str, arguments: list[str], point: dict[str, Any] | None, log: str
) -> None:
    _enter(variables, point, log)
    sys.argv = [program, *arguments]
    (command,) = importlib.metadata.entry_points(group="console_scripts", name=program)
    status = command.load()()
    sys.exit(status)


def _tick(
    variables: Mapping[str, str], program: str, arguments: list[str], point: dict[str, Any] | None, log: str
) -> None:
    _enter(variables, point, log)
    defs: dg.Definitions = runpy.run_module("etl_platform.definitions")["defs"]
    with dg.DagsterInstance.get() as instance:
        sensor = defs.resolve_sensor_def("new_landing_objects")
        resources = {key: (defs.resources or {})[key] for key in sensor.required_resource_keys}
        context = dg.build_sensor_context(
            instance=instance, repository_def=defs.get_repository_def(), resources=resources
        )
        with context:
            requests = sensor.evaluate_tick(context).run_requests or []
        for request in requests:
            selected = " ".join(sorted(key.to_user_string() for key in request.asset_selection or ()))
            print(f"requested {request.partition_key}: {selected}")
            done = defs.resolve_job_def(str(request.job_name)).execute_in_process(
                partition_key=request.partition_key,
                asset_selection=request.asset_selection,
                run_config=request.run_config,
                instance=instance,
                raise_on_error=False,
                tags={**request.tags, "dagster/run_key": str(request.run_key)},
            )
            assert done.success
