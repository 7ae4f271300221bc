"""A platform whose every service can be away: S3 for landing and lake, Postgres for ledger and warehouse.

Belongs here: what outage tests share: the site, its daemon, its deliveries and their undisturbed twin. Not here: what
must be true (`faults/test_outages*.py`).
"""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import dagster as dg
import polars as pl
import polars.selectors as cs
import pytest
from pydantic import SecretStr

from etl_platform.defs import due
from etl_platform.errors import TransientError
from etl_platform.ledger import waiting
from etl_platform.ledger.records import State
from etl_platform.settings import Settings
from etl_platform_tests.automation.test_landing_sensor import Daemon
from etl_platform_tests.support.flaky_http import Answer, Fault, FlakyServer, Reset, run_flaky_server
from etl_platform_tests.support.gate import Gate, run_gate
from etl_platform_tests.support.platform import DATE, HEADER, QUIET, Platform, bar, open_instance, plain_senders
from etl_platform_tests.support.postgres import PostgresServer
from etl_platform_tests.support.postgres_store import new_store
from etl_platform_tests.support.s3 import S3Bucket, S3Server

CODES = ("first", "second", "third")
OWN = "third"
"""Who has a landing bucket of its own; the service of that name is `own`."""
SLOW_DOWN = Answer(503, "SlowDown")
SCALE = 0.01
"""Of all waits, against production's."""
SERVICES = ("landing", "own", "lake", "ledger", "warehouse")
QUICK = {"retry_first_wait_seconds": 5 * SCALE, "retry_longest_wait_seconds": 30 * SCALE}
RING_SECONDS = 5.0 + 10 + 20 + 30
"""The longest that one ring of calls waits in production."""


def body(code: str, version: int = 0, date: dt.date = DATE) -> bytes:
    """A delivery whose rows differ from those of every other sender and version."""
    lines = (bar(f"{code[:2].upper()}{chr(65 + n)}", n, f"{10 + version}.{n}", date) for n in range(5 + version))
    return (HEADER + "".join(lines)).encode()


@dataclass(frozen=True)
class Site:
    """The platform as it works, its services behind gates; and `eye`, the same one without them."""

    platform: Platform
    eye: Platform
    s3: FlakyServer
    bucket: S3Bucket
    gates: dict[str, Gate]
    delivered: dict[tuple[str, dt.date], int] = field(default_factory=dict)
    """Sender and date -> version of its last delivery."""

    def shut(self, service: str, fault: Fault | None = None) -> None:
        """The service is away. fault: of an object store that answers so instead."""
        if service in self.gates:
            self.gates[service].shut()
        else:
            self.s3.away[self._path(service)] = fault or Reset()

    def open(self, service: str) -> None:
        """The service is back."""
        if service in self.gates:
            self.gates[service].open()
        else:
            self.s3.away.pop(self._path(service), None)

    def _path(self, service: str) -> str:
        return f"/{self.bucket.name}-{service}"

    def deliver(self, code: str, date: dt.date = DATE, version: int = 0) -> None:
        """A file of the sender; its older version is overwritten."""
        key = f"{code}/prices/{date}/a.csv"
        client = self.bucket.server.client()
        root = "own" if code == OWN else "landing"
        client.put_object(Bucket=f"{self.bucket.name}-{root}", Key=key, Body=body(code, version, date))
        self.delivered[code, date] = version

    def stored(self) -> dict[str, pl.DataFrame]:
        """What people see in the warehouse."""
        return published(self.eye, self.delivered)

    def states(self) -> list[str]:
        return sorted(str(found.state) for found in self.eye.ledger.objects())

    def left_behind(self) -> list[str]:
        """Whatever is not published: partitions that wait, or have failed, or that nobody will come back to."""
        ledger = self.eye.ledger
        found = [f"waits: {t}" for t in ledger.troubles()]
        found += [f"open: {a}" for a in ledger.open_attempts()]
        found += [f"pending: {p.partition}" for p in ledger.pending_partitions(1_000)]
        fine = (State.LOADED, State.SUPERSEDED)
        return found + [f"{o.key}: {o.state} {o.reason}" for o in ledger.objects() if o.state not in fine]


def published(platform: Platform, delivered: Iterable[tuple[str, dt.date]]) -> dict[str, pl.DataFrame]:
    """Every row of every warehouse table, without the columns that say when and by which run it was made."""
    delivered = sorted(delivered)
    tables = {
        f"{code} {name} {date}": _comparable(platform.table("warehouse", name, code, date), date)
        for code, date in delivered
        for name in ("prices", "daily_bars")
    }
    for date in sorted({date for _, date in delivered}):
        overview = platform.table("warehouse", "market_overview", None, date)
        tables[f"overview {date}"] = _comparable(overview, date)
    return tables


def _comparable(frame: pl.DataFrame, date: dt.date) -> pl.DataFrame:
    """The rows as if they were of `DATE`: a twin of one date serves for all."""
    kept = [name for name in frame.columns if not name.startswith("_")]
    return frame.select(kept).with_columns(cs.temporal() - (date - DATE)).sort(kept)


def undisturbed(delivered: Mapping[tuple[str, dt.date], int]) -> dict[str, pl.DataFrame]:
    """What a platform to which nothing happens publishes of the same deliveries."""
    found: dict[str, pl.DataFrame] = {}
    for date in sorted({date for _, date in delivered}):
        versions = frozenset((code, version) for (code, of), version in delivered.items() if of == date)
        found |= {name.replace(str(DATE), str(date)): rows for name, rows in _twin(versions).items()}
    return found


@cache
def _twin(versions: frozenset[tuple[str, int]]) -> dict[str, pl.DataFrame]:
    with tempfile.TemporaryDirectory(prefix="twin-") as name, dg.DagsterInstance.ephemeral() as instance:
        institutions = plain_senders(Path(name) / "institutions", *CODES)
        twin = Platform(Settings(home=Path(name) / "home", institutions_path=institutions), instance)
        for code, version in versions:
            twin.put(f"{code}/prices/{DATE}/a.csv", body(code, version))
            assert twin.ingest(code).succeeded
        assert twin.overview().succeeded
        found = published(twin, [(code, DATE) for code, _ in versions])
        twin.ledger.close()
    return found


def run_many(platform: Platform, code: str, dates: Sequence[str]) -> dg.ExecuteInProcessResult:
    """The run over many dates, as `etl-platform run` starts it."""
    config = {"institution": code, "dataset": "prices", "dates": list(dates)}
    return platform.definitions.resolve_job_def("load_many").execute_in_process(
        run_config={"ops": {"load_partitions": {"config": config}}, **QUIET},
        instance=platform.instance,
        raise_on_error=False,
    )


def run_overviews(platform: Platform, dates: Iterable[dt.date]) -> dg.ExecuteInProcessResult:
    """The tables across institutions of many dates in one run."""
    config = {"dates": [date.isoformat() for date in dates]}
    return platform.definitions.resolve_job_def("overview_many").execute_in_process(
        run_config={"ops": {"overview_dates": {"config": config}}, **QUIET},
        instance=platform.instance,
        raise_on_error=False,
    )


def differences(found: dict[str, pl.DataFrame], wanted: dict[str, pl.DataFrame]) -> list[str]:
    """Tables of a partition that do not hold the same rows, each with how many it holds."""
    return [
        f"{name}: {found[name].height} rows, wanted {rows.height}"
        for name, rows in wanted.items()
        if not found[name].equals(rows)
    ]


@dataclass
class Ran:
    """A run, and how long it slept in its slot: unlike its time, that does not depend on the machine."""

    result: dg.ExecuteInProcessResult
    slept: float

    def waited_no_longer_than_it_may(self, scale: float = 1.0) -> bool:
        """Each step of a run may meet an outage, and waits for one ring of tries; nobody waits to report it."""
        begun = sum(event.is_step_start for event in self.result.all_events)
        return self.slept <= RING_SECONDS * scale * max(1, begun)


class Clockwork(Daemon):
    """The daemon, with runs as it tags them and ticks that may fail."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self.ran: list[Ran] = []
        self.failed_ticks: list[str] = []

    def start(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        job = self.platform.definitions.resolve_job_def(str(request.job_name))
        with _sleeps() as sleeps:
            result = job.execute_in_process(
                partition_key=request.partition_key,
                asset_selection=request.asset_selection,
                instance=self.platform.instance,
                raise_on_error=False,
                run_config=QUIET,
                tags={**dict(request.tags), "dagster/run_key": str(request.run_key)},
            )
        self.ran.append(Ran(result, sum(sleeps)))
        return result

    def try_tick(self) -> list[dg.RunRequest]:
        """One tick. One that fails by a service starts nothing and keeps the cursor."""
        try:
            return self.tick()
        except (TransientError, dg.DagsterError) as error:
            self.failed_ticks.append(str(error.__cause__ or error))
            return []

    def heal(self, ticks: int = 2) -> None:
        """So many ticks, and all that they start."""
        for _ in range(ticks):
            for request in self.tick():
                self.start(request)


@contextmanager
def _sleeps() -> Iterator[list[float]]:
    """How long this thread sleeps, each time."""
    sleep, me = time.sleep, threading.get_ident()
    sleeps: list[float] = []

    def counted(seconds: float) -> None:
        if threading.get_ident() == me:
            sleeps.append(seconds)
        sleep(seconds)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(time, "sleep", counted)
        yield sleeps


@contextmanager
def run_site(folder: Path, s3_server: S3Server, postgres_server: PostgresServer, **options: object) -> Iterator[Site]:
    """A site of its own. Its Dagster instance, too: run keys name contents, which are the same in every test."""
    bucket = s3_server.new_bucket()
    for service in ("landing", "own", "lake"):
        s3_server.client().create_bucket(Bucket=f"{bucket.name}-{service}")
    databases = {service: postgres_server.new_database() for service in ("ledger", "warehouse")}
    new_store(databases["warehouse"].url, institutions=CODES)
    institutions = plain_senders(folder / "institutions", *CODES)
    with (institutions / f"{OWN}.yaml").open("a") as file:
        file.write(f"landing: s3://{bucket.name}-own\n")
    direct = Settings.model_validate({
        "home": folder / "home",
        "institutions_path": institutions,
        "landing": f"s3://{bucket.name}-landing",
        "lake": f"s3://{bucket.name}-lake",
        "ledger_url": databases["ledger"].url,
        "warehouse": "postgres",
        "postgres_url": databases["warehouse"].url,
        "s3_endpoint_url": s3_server.endpoint_url,
        "s3_region": s3_server.region,
        "s3_access_key_id": s3_server.access_key_id,
        "s3_secret_access_key": SecretStr(s3_server.secret_access_key),
        "s3_allow_http": True,
        **QUICK,
        **options,
    })  # fmt: skip
    with (
        run_flaky_server(s3_server.endpoint_url) as s3,
        run_gate(postgres_server.host, postgres_server.port) as ledger,
        run_gate(postgres_server.host, postgres_server.port) as warehouse,
        open_instance(folder / "dagster") as instance,
    ):
        gates = {"ledger": ledger, "warehouse": warehouse}
        # GSS encryption is asked for first: a connection that is cut then is tried twice.
        urls = {
            name: databases[name].url.replace(f":{postgres_server.port}/", f":{gate.port}/") + "?gssencmode=disable"
            for name, gate in gates.items()
        }
        through = direct.model_copy(
            update={
                "s3_endpoint_url": s3.endpoint_url,
                "ledger_url": SecretStr(urls["ledger"]),
                "postgres_url": SecretStr(urls["warehouse"]),
            }
        )
        site = Site(Platform(through, instance), Platform(direct, instance), s3, bucket, gates)
        try:
            yield site
        finally:
            for platform in (site.platform, site.eye):
                platform.ledger.close()


@pytest.fixture(scope="module")
def scaled() -> Iterator[None]:
    """The waits that no setting gives, as much shorter as those of settings."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for module, name in ((waiting, "FIRST_DELAY"), (waiting, "LONGEST_DELAY"), (due, "RUN_REQUEST_LOST")):
            monkeypatch.setattr(module, name, getattr(module, name) * SCALE)
        yield


@pytest.fixture(scope="module")
def module_site(
    tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server, postgres_server: PostgresServer, scaled: None
) -> Iterator[Site]:
    """One site for the tests of a module: each takes dates of its own (`new_date`)."""
    with run_site(tmp_path_factory.mktemp("site"), s3_server, postgres_server) as built:
        yield built


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    """The same, with all its services there again after the test."""
    yield module_site
    for service in SERVICES:
        module_site.open(service)


_days = itertools.count()


def new_date() -> dt.date:
    """A date that no other test of this process has."""
    return DATE + dt.timedelta(days=next(_days))


@dataclass(frozen=True)
class Point:
    """A moment of a delivery: before the nth call of a method."""

    owner: type
    name: str
    number: int = 1


@contextmanager
def before(point: Point, action: Callable[[], object]) -> Iterator[list[str]]:
    """`action()` at that moment. Yields the calls so far."""
    original = getattr(point.owner, point.name)
    calls: list[str] = []

    def at_last(*args: object, **kwargs: object) -> object:
        calls.append(point.name)
        if len(calls) == point.number:
            action()
        return original(*args, **kwargs)

    setattr(point.owner, point.name, at_last)
    try:
        yield calls
    finally:
        setattr(point.owner, point.name, original)
