"""A whole platform of its own for a test: settings, definitions, stores and Dagster instance below one folder.

Belongs here: what execution, automation and command-line tests share. Not here: servers (`s3.py`, `postgres.py`).
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.assemble import build_defs, build_graph
from etl_platform.defs.graph import Graph
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.launching import dataset_assets
from etl_platform.delivery import Delivery
from etl_platform.landing.zone import LandingZone
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Attempt, LedgerObject
from etl_platform.partitions import format_key
from etl_platform.sample.expected import Expected
from etl_platform.sample.generate import generate
from etl_platform.settings import Settings
from etl_platform.stores.reading import read_frame
from etl_platform_tests.support.postgres import PostgresDatabase

REPOSITORY = Path(__file__).parents[2]
DATE = dt.date(2025, 1, 15)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Run:
    """One run as a test asks about it."""

    result: dg.ExecuteInProcessResult

    @property
    def succeeded(self) -> bool:
        return self.result.success

    @cached_property
    def failed_checks(self) -> dict[str, dg.AssetCheckEvaluation]:
        return {e.check_name: e for e in self.checks.values() if not e.passed}

    @cached_property
    def checks(self) -> dict[str, dg.AssetCheckEvaluation]:
        evaluations = self.result.get_asset_check_evaluations()
        return {f"{e.asset_key.path[-1]}.{e.check_name}": e for e in evaluations}

    @cached_property
    def materialized(self) -> set[str]:
        events = [e for e in self.result.all_events if e.is_step_materialization]
        return {e.asset_key.to_user_string() for e in events if e.asset_key is not None}

    def metadata(self, asset: str) -> Mapping[str, dg.MetadataValue[Any]]:
        """Metadata of the run's materialization of `asset` ("layer/name")."""
        events = [e for e in self.result.all_events if e.is_step_materialization]
        found = [e.materialization for e in events if e.asset_key and e.asset_key.to_user_string() == asset]
        assert len(found) == 1, f"{asset} was materialized {len(found)} times"
        return found[0].metadata

    @property
    def failures(self) -> dict[str, str]:
        """Step -> the failure's message as a user reads it."""
        found = {}
        for event in self.result.all_events:
            if event.is_step_failure:
                data = event.step_failure_data
                user = data.user_failure_data
                text = user.description if user and user.description else data.error.to_string() if data.error else ""
                found[event.step_key or ""] = text
        return found


@dataclass(frozen=True)
class Platform:
    """Settings and everything built from them; nothing is opened before it is used."""

    settings: Settings
    instance: dg.DagsterInstance = field(repr=False)

    @cached_property
    def graph(self) -> Graph:
        return build_graph(self.settings)

    @cached_property
    def definitions(self) -> dg.Definitions:
        return build_defs(self.settings, {"ledger": self.ledger})

    @cached_property
    def resources(self) -> Mapping[str, Any]:
        return {**(self.definitions.resources or {}), "ledger": self.ledger}

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.ledger.get_secret_value(), retries=self.settings.retries)

    @property
    def landing(self) -> LandingZone:
        landing: LandingZone = self.resources["landing"]
        return landing

    @property
    def landing_folder(self) -> Path:
        return Path(self.settings.landing_root)

    def put(self, key: str, body: bytes | str) -> Path:
        """A file in the landing folder."""
        path = self.landing_folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
        return path

    def generate(self, *, date: dt.date = DATE, days: int = 1, rows: int = 120, **options: Any) -> Expected:
        """Sample files of all institutions in the landing folder."""
        return generate(
            self.landing_folder,
            self.graph.institutions,
            contracts=self.graph.contracts,
            first_date=date,
            days=days,
            rows_per_day=rows,
            **options,
        )

    def ingest(self, institution: str, date: dt.date = DATE, datasets: Sequence[str] = (), **options: Any) -> Run:
        """One partition from landing to gold and warehouse through the real job: what the institution sends."""
        sent = datasets or [d for d in self.graph.institutions[institution].datasets if d in self.graph.contracts]
        options.setdefault("asset_selection", dataset_assets(sent, self.graph))
        return self.run_job("ingest", format_key(PartitionKey(date, institution)), **options)

    def overview(self, date: dt.date = DATE) -> Run:
        return self.run_job("overview", date.isoformat())

    def run_job(self, job: str, partition: str, **options: Any) -> Run:
        return Run(
            self.definitions.resolve_job_def(job).execute_in_process(
                partition_key=partition,
                instance=self.instance,
                raise_on_error=False,
                run_config=QUIET,
                **options,
            )
        )

    def table(self, layer: str, name: str, institution: str | None, date: dt.date = DATE) -> pl.DataFrame:
        """The stored rows of one partition: in the lake, or in the warehouse for layer `warehouse`."""
        manager: TableIOManager = self.resources["warehouse" if layer == "warehouse" else "lake"]
        table = self.graph.catalog.table(layer, name)
        return read_frame(manager.store, table, [PartitionKey(date, institution)])

    def lake_object(self, layer: str, name: str, institution: str, date: dt.date = DATE) -> Path:
        """The Parquet file of one partition in a lake that is a folder."""
        manager: TableIOManager = self.resources["lake"]
        key: str = manager.store.key(self.graph.catalog.table(layer, name), PartitionKey(date, institution))  # type: ignore[attr-defined]
        return Path(self.settings.lake_root) / key

    def replace(self, layer: str, name: str, institution: str, rows: pl.DataFrame, date: dt.date = DATE) -> None:
        """Write a lake partition behind the platform's back."""
        manager: TableIOManager = self.resources["lake"]
        table = self.graph.catalog.table(layer, name)
        manager.store.replace(
            table, [PartitionKey(date, institution)], rows.to_arrow().cast(table.arrow_schema).to_batches()
        )

    def objects(self, dataset: str, institution: str, date: dt.date = DATE) -> list[LedgerObject]:
        return self.ledger.objects(partition=Delivery.of(dataset, PartitionKey(date, institution)))

    def attempt(self, dataset: str, institution: str, date: dt.date = DATE) -> Attempt:
        found = self.ledger.latest_attempt(Delivery.of(dataset, PartitionKey(date, institution)))
        assert found is not None
        return found


@pytest.fixture(scope="session")
def dagster_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """The instance that the shipped dagster.yaml describes, one for the session: opening one costs half a second."""
    with open_instance(tmp_path_factory.mktemp("dagster")) as instance:
        yield instance


def open_instance(folder: Path, postgres: PostgresDatabase | None = None) -> dg.DagsterInstance:
    """An instance of its own in `folder`, as the shipped dagster.yaml describes it, or the one for Postgres."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / ("deploy/dagster-postgres.yaml" if postgres else "dagster.yaml"), folder / "dagster.yaml")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("DAGSTER_HOME", str(folder))
        if postgres:
            monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres.url.replace("postgresql:", "postgresql+psycopg2:", 1))
        return dg.DagsterInstance.from_config(str(folder))


@pytest.fixture
def platform(tmp_path: Path, dagster_instance: dg.DagsterInstance) -> Platform:
    """A platform on folders, DuckDB and SQLite, with the built-in institutions, nothing delivered yet."""
    return Platform(Settings(home=tmp_path / "home"), dagster_instance)


HEADER = "symbol,timestamp,open,high,low,close,volume\n"


def bar(symbol: str, minute: int = 0, close: str = "10", date: dt.date = DATE) -> str:
    """One good line of prices for a sender of plain CSV (unless `close` is not a price)."""
    return f"{symbol},{date}T10:{minute:02}:00Z,10,20,5,{close},100\n"


def plain_senders(folder: Path, *codes: str, settings: str = "") -> Path:
    """Institution files of senders who deliver prices as plain CSV; `settings`: more lines of YAML for all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for code in codes:
        text = (
            f"code: {code}\nname: {code}\ntime_zone: UTC\n{settings}\ndatasets:\n  prices:\n    format: {{type: csv}}\n"
        )
        (folder / f"{code}.yaml").write_text(text)
    return folder


@pytest.fixture
def plain(tmp_path: Path, dagster_instance: dg.DagsterInstance) -> Platform:
    """A platform whose senders `first` and `second` deliver prices as plain CSV: small files by hand."""
    institutions = plain_senders(tmp_path / "institutions", "first", "second")
    return Platform(Settings(home=tmp_path / "home", institutions_path=institutions), dagster_instance)
