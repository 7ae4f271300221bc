"""What a running installation has on record still has its name: assets, checks, jobs, sensors, partitions, run tags.

The record is a Dagster home of an earlier version (`fixtures/dagster_today`). Who renames an asset or a check on
purpose takes the history of every installation away from it: that is what fails here. Beside it stands the list of
all public names of today (`fixtures/public_names.txt`): commands, options and settings leave no trace in a Dagster
home.
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from etl_platform.resources.processes import PROCESS_TAG
from etl_platform_tests.support.platform import REPOSITORY, Platform, dagster_instance, open_instance, platform
from etl_platform_tests.support.public_names import FILE, OWN_TAGS, public_names

__all__ = ["dagster_instance", "platform"]

RECORD = Path(__file__).parents[1] / "fixtures" / "dagster_today"
FILES = {"runs": "history", "event_log": "history", "schedules": "schedules"}
ASSET_JOB = "__ASSET_JOB"  # Dagster's own, for automation


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Dagster home of the earlier version."""
    home = tmp_path_factory.mktemp("earlier")
    for name, folder in FILES.items():
        (home / folder).mkdir(exist_ok=True)
        with sqlite3.connect(home / folder / f"{name}.db") as connection:
            connection.executescript(gzip.decompress((RECORD / f"{name}.sql.gz").read_bytes()).decode())
        connection.close()
    return home


@pytest.fixture(scope="module")
def earlier(home: Path) -> Iterator[dg.DagsterInstance]:
    """The same home, opened by the storage classes of today."""
    with open_instance(home) as instance:
        yield instance


@pytest.fixture
def repository(platform: Platform) -> dg.RepositoryDefinition:
    return platform.definitions.get_repository_def()


def rows(home: Path, query: str) -> set[tuple[str, ...]]:
    connection = sqlite3.connect(home / "history" / "event_log.db")
    try:
        return set(connection.execute(query))
    finally:
        connection.close()


def missing_checks(recorded: set[tuple[str, ...]], present: set[dg.AssetCheckKey]) -> set[str]:
    known = {(key.asset_key.to_string(), key.name) for key in present}
    return {f"{asset} {name}" for asset, name in recorded if (asset, name) not in known}


def test_every_asset_on_record_is_there(earlier: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> None:
    recorded = set(earlier.get_asset_keys())
    assert len(recorded) >= 40
    assert recorded - repository.asset_graph.get_all_asset_keys() == set()


def test_every_check_on_record_is_there(home: Path, repository: dg.RepositoryDefinition) -> None:
    recorded = rows(home, "SELECT asset_key, check_name FROM asset_check_executions")
    present = set(repository.asset_graph.asset_check_keys)
    assert len(recorded) >= 150
    assert missing_checks(recorded, present) == set()
    renamed = dg.AssetCheckKey(dg.AssetKey(["silver", "prices"]), "keys_are_unique")
    assert missing_checks(recorded, present - {renamed}) == {f"{renamed.asset_key.to_string()} keys_are_unique"}


def test_every_run_on_record_has_its_job_partition_and_tags(
    earlier: dg.DagsterInstance, repository: dg.RepositoryDefinition
) -> None:
    runs = earlier.get_runs()
    assert {run.job_name for run in runs} == {"ingest", "overview", ASSET_JOB}
    for run in runs:
        partitions = repository.get_job(run.job_name).partitions_def if run.job_name != ASSET_JOB else None
        if partitions is not None:
            assert partitions.has_partition_key(run.tags["dagster/partition"]), run.tags
        if isinstance(partitions, dg.MultiPartitionsDefinition):
            names = {key.rpartition("/")[2] for key in run.tags if key.startswith("dagster/partition/")}
            assert names == set(partitions.partition_dimension_names) == {"date", "institution"}
        ours = {key for key in run.tags if not key.startswith(("dagster/", ".dagster/"))}
        assert ours <= {PROCESS_TAG}, run.tags
    assert any(PROCESS_TAG in run.tags for run in runs)


def test_every_sensor_on_record_is_there(earlier: dg.DagsterInstance, repository: dg.RepositoryDefinition) -> None:
    recorded = {state.instigator_name for state in earlier.all_instigator_state()}
    assert recorded >= {"new_landing_objects", "tables_across_institutions"}
    assert recorded | {run.tags.get("dagster/sensor_name", "new_landing_objects") for run in earlier.get_runs()} <= {
        sensor.name for sensor in repository.sensor_defs
    }


def test_the_latest_materialization_of_each_asset_can_be_read(earlier: dg.DagsterInstance) -> None:
    event = earlier.get_latest_materialization_event(dg.AssetKey(["warehouse", "prices"]))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.partition in {f"2025-01-15|institution_{letter}" for letter in "abc"}


@pytest.mark.parametrize("file", ["dagster.yaml", "deploy/dagster-postgres.yaml"])
def test_tags_that_the_queue_limits_are_those_on_record_or_listed(file: str, earlier: dg.DagsterInstance) -> None:
    instance = yaml.safe_load((REPOSITORY / file).read_text())
    limits = {limit["key"] for limit in instance["concurrency"]["runs"]["tag_concurrency_limits"]}
    recorded = {key for run in earlier.get_runs() for key in run.tags}
    assert limits <= recorded | set(OWN_TAGS), json.dumps(sorted(recorded))


def test_every_public_name_is_that_of_the_list(platform: Platform) -> None:
    """A name that is gone breaks somebody's history, script or setting: it belongs into the changelog. A new one is
    added with `python -m etl_platform_tests.support.public_names`."""
    listed, present = set(FILE.read_text(encoding="utf-8").splitlines()), set(public_names(platform.definitions))
    assert sorted(listed - present) == [], "gone"
    assert sorted(present - listed) == [], "new"
    kinds = {name.partition(" ")[0] for name in present}
    assert kinds == {"asset", "check", "job", "sensor", "resource", "tag", "setting", "command"}


def test_run_tags_of_the_list_are_all_that_the_package_names_itself() -> None:
    """Dagster's own tags are its own names."""
    found = set()
    for path in (REPOSITORY / "etl_platform").rglob("*.py"):
        for name, value in re.findall(r"^(_?[A-Z_]*TAG) = \"(.+)\"$", path.read_text(), re.MULTILINE):
            if not value.startswith(("dagster/", ".dagster/")):
                found.add((name, value))
    assert {value for _, value in found} == set(OWN_TAGS)
