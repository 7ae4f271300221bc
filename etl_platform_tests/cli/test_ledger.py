"""`etl-platform ledger`: what it says, and that it changes a ledger only when it is asked to and may."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from etl_platform.cli.main import main
from etl_platform.ledger.revision import HEAD
from etl_platform_tests.support.ledgers import load_old_ledger

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def etl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("ETL_HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["etl-platform", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        said = capsys.readouterr()
        return int(caught.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def state(etl: Shell) -> dict[str, str | None]:
    found: dict[str, str | None] = json.loads(etl("ledger", "status", "--json")[1])
    return found


def test_an_old_ledger_is_shown_unchanged_and_upgraded_when_asked(etl: Shell, path: Path) -> None:
    load_old_ledger(f"sqlite:///{path}")
    before = path.read_bytes()
    status, out, _ = etl("ledger", "status")
    assert status == 0 and f"old; revision 0001, this version: {HEAD}; next step: etl-platform ledger upgrade" in out
    assert state(etl) == {"ledger": f"ledger {path}", "found": "0001", "expected": HEAD, "state": "old"}
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["ledger.db"]

    status, out, _ = etl("ledger", "upgrade")
    assert status == 0 and out == f"ledger {path}: revision {HEAD}; upgraded from 0001\n"
    assert state(etl)["state"] == "current"
    assert etl("ledger", "upgrade")[1] == f"ledger {path}: revision {HEAD}; nothing to do\n"


def test_a_ledger_that_is_not_there_is_made_only_when_asked(etl: Shell, path: Path) -> None:
    assert "missing" in etl("ledger", "status")[1]
    assert state(etl)["found"] is None and not path.exists()
    assert etl("ledger", "upgrade")[:2] == (0, f"ledger {path}: revision {HEAD}; made\n")


@pytest.mark.parametrize("command", [("run",), ("status",), ("replay", "--date", "2025-01-15"), ("query", "SELECT 1")])
def test_no_command_works_on_a_newer_ledger(etl: Shell, path: Path, command: tuple[str, ...]) -> None:
    etl("ledger", "upgrade")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger_revision SET version_num = '9999'")
    before = path.read_bytes()

    status, _, err = etl(*command)

    assert status == 2 and err.count("\n") == 1 and "revision 9999" in err and "next step: " in err
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", [("status",), ("status", "--json"), ("upgrade",)])
def test_a_newer_ledger_is_one_line_exit_status_2_and_unchanged(
    etl: Shell, path: Path, command: tuple[str, ...]
) -> None:
    etl("ledger", "upgrade")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE ledger_revision SET version_num = '9999'")
    before = path.read_bytes()

    status, out, err = etl("ledger", *command)

    assert status == 2 and err.count("\n") == 1
    assert "revision 9999" in err
    assert f"expected at most revision {HEAD}" in err and "next step: install the newer version again" in err
    assert path.read_bytes() == before
    assert (json.loads(out)["state"] == "newer") if "--json" in command else out == ""


@pytest.mark.parametrize("is_newer", [True, False], ids=["newer", "old"])
def test_doctor_tells_of_another_versions_ledger_and_leaves_it(etl: Shell, path: Path, is_newer: bool) -> None:
    if is_newer:
        etl("ledger", "upgrade")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE ledger_revision SET version_num = '9999'")
    else:
        load_old_ledger(f"sqlite:///{path}")
    before = path.read_bytes()

    status, out, err = etl("doctor")

    assert status == 2 and err.count("\n") == 1 and "next step: " in err
    assert "not well" in out and f"revision {HEAD}" in err
    assert path.read_bytes() == before


def test_a_wrong_institution_file_does_not_stand_in_the_way(
    etl: Shell, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "institutions").mkdir()
    (tmp_path / "institutions" / "broken.yaml").write_text("code: [")
    monkeypatch.setenv("ETL_INSTITUTIONS_PATH", str(tmp_path / "institutions"))
    assert etl("ledger", "upgrade")[0] == 0
