"""The warehouse file is opened by DuckDB alone.

DuckDB locks it by fcntl: a process that has it connected, and opens and closes it in any other way (to copy or to hash
it), loses the lock. A second writer gets in, and what one of them wrote is lost.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from etl_platform.cli.main import main
from etl_platform.query import open_lake
from etl_platform.stores.duckdb.file import DuckDBFile
from etl_platform.stores.duckdb.holder import holders
from etl_platform_tests.query.test_published import deliver
from etl_platform_tests.support.outages import run_many
from etl_platform_tests.support.platform import DATE, Platform, dagster_instance, plain

__all__ = ["dagster_instance", "plain"]

PACKAGE = Path(__file__).parents[2] / "etl_platform"
_watched: list[str] = []
_opened: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """Every `open`, `os.open` and all that is made of them (Path, shutil, hashlib.file_digest, SQLite, ...)."""
    if _watched and event in ("open", "sqlite3.connect") and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if path in _watched:
            _opened.append(path)


@contextmanager
def opened_otherwise(path: Path) -> Iterator[list[str]]:
    """Yields, and fills, the list of those times at which this process opened `path`, not through DuckDB."""
    if not getattr(sys, "_etl_watches_opens", False):
        sys.addaudithook(_watch)  # for good: there is no way to take one away
        setattr(sys, "_etl_watches_opens", True)  # noqa: B010 - a mark of ours on a module that is typed
    _opened.clear()
    _watched[:] = [str(path), f"{path}.wal"]
    try:
        yield _opened
    finally:
        _watched.clear()


@pytest.mark.parametrize(
    "use",
    [
        lambda path: path.read_bytes(),
        lambda path: path.open("rb").close(),
        lambda path: os.close(os.open(path, os.O_RDONLY)),
        lambda path: shutil.copy(path, f"{path}.copy"),
        lambda path: shutil.copyfile(os.path.relpath(path), f"{path}.copy"),
    ],
    ids=["read", "open", "os.open", "copy", "by another spelling"],
)
def test_the_watch_sees_who_opens_it_otherwise(tmp_path: Path, use: object) -> None:
    path = tmp_path / "warehouse.duckdb"
    duckdb.connect(path).close()
    assert callable(use)
    with opened_otherwise(path) as found:
        duckdb.connect(path).close()
        assert found == []
        use(path)
        assert found == [str(path)]


def test_nothing_that_the_platform_does_opens_it_otherwise(plain: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    path = plain.settings.duckdb_file
    monkeypatch.setenv("ETL_HOME", str(plain.settings.root))
    monkeypatch.setenv("ETL_INSTITUTIONS_PATH", str(plain.settings.institutions_folder))
    monkeypatch.setenv("DAGSTER_HOME", os.environ["DAGSTER_HOME"])
    days = [DATE.replace(day=day) for day in (15, 16)]
    with opened_otherwise(path) as found:
        for _ in range(2):
            for day in days:
                deliver(plain, "first", 3, day)
            assert plain.ingest("first").succeeded and plain.overview().succeeded
        assert run_many(plain, "first", [day.isoformat() for day in days]).success
        assert plain.table("warehouse", "prices", "first").height == 3
        with open_lake(plain.settings) as connection:
            connection.execute("SELECT * FROM first.prices").fetchall()
        for command in (["doctor"], ["status"], ["query", "FROM first.prices"], ["ledger", "status"]):
            monkeypatch.setattr(sys, "argv", ["etl-platform", *command])
            with pytest.raises(SystemExit):
                main()
        assert path.exists() and found == []


_SECOND = "import duckdb, sys; duckdb.connect(sys.argv[1])"


def test_who_asks_who_holds_the_file_takes_no_lock_away(tmp_path: Path) -> None:
    file = DuckDBFile(tmp_path / "warehouse.duckdb", wait_seconds=5)
    with opened_otherwise(file.path) as found, file.connection() as connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
        assert holders(file.path, "nobody else") == "nobody else"
        second = subprocess.run(
            [sys.executable, "-c", _SECOND, str(file.path)], capture_output=True, text=True, check=False
        )
        assert second.returncode != 0 and "Could not set lock" in second.stderr
    assert found == []


def names_of(module: Path) -> set[str]:
    """Every name and attribute that the module uses."""
    tree = ast.parse(module.read_text())
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_the_path_of_the_file_is_given_to_its_store_alone() -> None:
    users = {
        str(module.relative_to(PACKAGE))
        for module in PACKAGE.rglob("*.py")
        if names_of(module) & {"duckdb_file", "duckdb_path"}
    }
    through_it = {"resources/warehouse.py", "defs/library_duckdb.py"}
    assert users == {"settings.py", *through_it}, "through DuckDBFile, or not at all"


def test_the_modules_that_have_the_path_open_nothing() -> None:
    opening = {"open", "read_bytes", "write_bytes", "copy", "copy2", "copyfile", "sendfile", "file_digest", "mmap"}
    modules = sorted((PACKAGE / "stores" / "duckdb").glob("*.py"))
    assert len(modules) > 3
    assert {module.name: found for module in modules if (found := names_of(module) & opening)} == {}
