"""What senders and mounts do to a file between two looks: rolled back, deleted, not there for an hour."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform_tests.cli.test_commands import Shell, etl, home, put
from etl_platform_tests.support.platform import DATE, HEADER, bar

__all__ = ["etl", "home"]
KEY = f"first/prices/{DATE}/a.csv"
OLD, NEW = HEADER + bar("OLD"), HEADER + bar("NEW") + bar("NEWER")


@pytest.fixture
def landing(home: Path, etl: Shell) -> Path:
    """With one loaded file."""
    put(home, KEY, OLD)
    assert etl("run").status == 0
    return home / "landing"


def symbols(home: Path) -> list[str]:
    """In the warehouse."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return [row[0] for row in connection.sql("select symbol from first.prices order by all").fetchall()]


def states(home: Path) -> list[State]:
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    try:
        return [found.state for found in ledger.objects()]
    finally:
        ledger.close()


def overwritten(landing: Path, body: str) -> Path:
    """Another content, and beside it the one from before with its time. Returns where that is."""
    path, kept = landing / KEY, landing.parent / "kept.csv"
    shutil.copy2(path, kept)
    path.write_text(body)
    os.utime(path, (kept.stat().st_mtime + 5, kept.stat().st_mtime + 5))
    return kept


def record_only(etl: Shell) -> None:
    """As a tick does whose runs have not begun."""
    etl("run", "--institution", "second")


@pytest.mark.parametrize("meanwhile", ["recorded", "loaded", "failed"])
def test_a_rollback_with_its_old_time_is_what_counts(landing: Path, home: Path, etl: Shell, meanwhile: str) -> None:
    kept = overwritten(landing, HEADER + "no price at all\n" if meanwhile == "failed" else NEW)
    record_only(etl) if meanwhile == "recorded" else etl("run")
    shutil.copy2(kept, landing / KEY)

    assert etl("run").status == 0

    assert symbols(home) == ["OLD"] and states(home) == [State.LOADED, State.SUPERSEDED]
    assert "nothing to run" in etl("run").out
    assert etl("status").status == 0


def test_a_file_with_an_old_time_that_was_never_seen_counts_too(landing: Path, home: Path, etl: Shell) -> None:
    (landing / KEY).write_text(NEW)
    os.utime(landing / KEY, (1_700_000_000, 1_700_000_000))
    etl("run")
    assert etl("run").status == 0
    assert symbols(home) == ["NEW", "NEWER"]


def test_a_landing_folder_that_is_not_there_has_lost_nothing(landing: Path, home: Path, etl: Shell) -> None:
    overwritten(landing, NEW)
    record_only(etl)
    landing.rename(home / "not mounted")

    said = etl("run")

    assert said.status == 1 and "not looked at" in said.out + said.err and str(landing) in said.out + said.err
    assert symbols(home) == ["OLD"] and State.WITHDRAWN not in states(home)
    told = etl("doctor")
    assert told.status == 1 and "mount it" in told.out
    (home / "not mounted").rename(landing)
    assert etl("run").status == 0
    assert symbols(home) == ["NEW", "NEWER"]


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_content_that_is_deleted_before_it_was_published_is_as_if_it_never_came(
    landing: Path, home: Path, etl: Shell, *, is_copied: bool
) -> None:
    overwritten(landing, "\x00\x01 no table\n" if is_copied else NEW)
    etl("run") if is_copied else record_only(etl)
    (landing / KEY).unlink()

    assert etl("run").status == 0

    assert symbols(home) == ["OLD"] and states(home) == [State.LOADED, State.WITHDRAWN]
    assert etl("status").status == 0 and "nothing to run" in etl("run").out
