"""The definitions load anywhere, with nothing set, and describe themselves completely."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.transforms.stored import checkable_rules
from etl_platform_tests.support.platform import (
    DATE,
    HEADER,
    REPOSITORY,
    Platform,
    bar,
    dagster_instance,
    plain,
    platform,
)

__all__ = ["dagster_instance", "plain", "platform"]

LAYERS = ("bronze", "silver", "quarantine", "reconciliation", "gold", "warehouse")

# Fails in the moment in which anything is opened for writing, created, or asked of the network.
GUARDED_IMPORT = """
import os, sys, tempfile
sys.dont_write_bytecode = True
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = {"socket.connect", "socket.bind", "socket.getaddrinfo", "os.mkdir", "os.rename", "os.remove",
             "sqlite3.connect", "subprocess.Popen", "tempfile.mkdtemp", "tempfile.mkstemp"}

def guard(event, args):
    if event in FORBIDDEN:
        raise RuntimeError(f"at import: {event} {args}")
    if event == "open" and isinstance(args[2], int) and args[2] & WRITING and args[0] != os.devnull:
        raise RuntimeError(f"at import: writes {args[0]}")

sys.addaudithook(guard)
from etl_platform.definitions import defs
graph = defs.get_repository_def().asset_graph
print(len(graph.get_all_asset_keys()), len(graph.asset_check_keys))
"""


def run_python(*arguments: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_definitions_load_with_nothing_set_write_nothing_and_ask_no_network(tmp_path: Path) -> None:
    done = run_python("-c", GUARDED_IMPORT, cwd=tmp_path, environment={"PYTHONPATH": str(REPOSITORY)})

    assert done.returncode == 0, done.stderr[-2_000:]
    assets, checks = map(int, done.stdout.split())
    assert assets >= 15 and checks >= 40
    assert list(tmp_path.iterdir()) == []
    assert done.stderr == ""


def test_a_wrong_setting_stops_the_import_with_one_clear_sentence(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(REPOSITORY), "ETL_WAREHOUSE": "oracle"}
    done = run_python("-c", "import etl_platform.definitions", cwd=tmp_path, environment=environment)

    assert done.returncode != 0
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("etl_platform.errors.ConfigurationError: environment variable ETL_")
    )


def test_the_entry_point_only_assembles() -> None:
    assert len((REPOSITORY / "etl_platform" / "definitions.py").read_text().splitlines()) <= 60


def test_every_asset_describes_itself(platform: Platform) -> None:
    specs = list(platform.definitions.resolve_all_asset_specs())
    assert len(specs) >= 15
    for spec in specs:
        layer, name = spec.key.path
        assert layer in LAYERS and spec.group_name == layer, name
        assert spec.kinds and list(spec.owners) == ["team:data-platform"], spec.key
        assert spec.description and len(spec.description) > 20, spec.key
        schema = spec.metadata["dagster/column_schema"]
        assert all(column.description and column.type for column in schema.columns), spec.key
        assert spec.partitions_def is not None, spec.key


def test_no_check_is_without_partitions_and_each_belongs_to_one_asset(platform: Platform) -> None:
    graph = platform.definitions.get_repository_def().asset_graph
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    for spec in specs:
        assert spec.partitions_def is not None, spec.key
        assert spec.description, spec.key
        assert not spec.name.startswith("check_"), spec.key


def test_every_rule_of_a_contract_has_its_check(platform: Platform) -> None:
    graph = platform.definitions.get_repository_def().asset_graph
    common = {"schema_matches_contract", "keys_are_unique", "rows_are_conserved", "every_file_is_readable"}
    for dataset, contract in platform.graph.contracts.items():
        names = {key.name for key in graph.asset_check_keys if key.asset_key == dg.AssetKey(["silver", dataset])}
        assert names >= {rule.name for rule in checkable_rules(contract)} | common, dataset


def test_resources_can_be_replaced(platform: Platform) -> None:
    from etl_platform.defs.assemble import build_defs

    landing = platform.landing
    assert (build_defs(platform.settings, {"landing": landing}).resources or {})["landing"] is landing


@pytest.fixture
def environment(plain: Platform, tmp_path: Path) -> dict[str, str]:
    """The environment of a command that works on `plain`."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
    return {
        **os.environ,
        "ETL_HOME": str(plain.settings.root),
        "ETL_INSTITUTIONS_PATH": str(plain.settings.institutions_path),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "PYTHONPATH": str(REPOSITORY),
    }


@pytest.mark.long
def test_a_script_materializes_a_partition(plain: Platform, environment: dict[str, str]) -> None:
    plain.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    layers = ("bronze", "silver", "quarantine", "reconciliation", "warehouse")
    select = " or ".join(f"key:{layer}/prices" for layer in layers)
    command = ["-m", "dagster", "asset", "materialize", "-m", "etl_platform.definitions", "--select", select]

    done = run_python(*command, "--partition", f"{DATE}|first", cwd=REPOSITORY, environment=environment)

    assert done.returncode == 0, done.stderr[-3_000:]
    assert plain.table("warehouse", "prices", "first")["symbol"].to_list() == ["AAA"]


@pytest.mark.long
@pytest.mark.parametrize("command", ["check", "list"])
def test_dg_accepts_the_project(command: str, environment: dict[str, str]) -> None:
    dg_cli = Path(sys.executable).with_name("dg")
    done = subprocess.run(
        [dg_cli, command, "defs"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    if command == "list":
        assert "silver/prices" in done.stdout and "new_landing_objects" in done.stdout
