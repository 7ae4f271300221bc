"""What senders and mounts do to a file between two looks: rolled back, deleted, not there for an hour."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import duckdb
import pytest

from etl_platform.cli import execute
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform_tests.cli.test_commands import Shell, etl, home, put
from etl_platform_tests.support.datasets import LEAST, write
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


def visits(home: Path) -> list[str]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return [row[0] for row in connection.sql("select visit_id from first.visits order by all").fetchall()]


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


def test_other_bytes_with_the_number_time_and_size_of_those_before_are_loaded(
    landing: Path, home: Path, etl: Shell
) -> None:
    """As `tar`, `rsync -t` and `cp -p` leave them, where the times were set to one moment."""
    path = landing / KEY
    status = path.stat()
    with path.open("r+") as file:
        file.write(HEADER + bar("ODD"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = path.stat()
    assert (again.st_ino, again.st_mtime_ns, again.st_size) == (status.st_ino, status.st_mtime_ns, status.st_size)

    assert etl("run").status == 0

    assert symbols(home) == ["ODD"]
    path.chmod(0o600)
    assert "nothing to run" in etl("run").out, "its bytes are what they were"


def test_what_a_withdrawn_content_had_replaced_before_it_was_published_counts_again(
    landing: Path, home: Path, etl: Shell
) -> None:
    overwritten(landing, "\x00\x01 no table\n")
    assert etl("run").status == 1 and symbols(home) == ["OLD"]

    assert etl("withdraw", KEY, "--reason", "broken").status == 0

    assert etl("run").status == 0
    assert symbols(home) == ["OLD"] and states(home) == [State.LOADED, State.WITHDRAWN]
    assert etl("status").status == 0 and "nothing to run" in etl("run").out
    assert etl("withdraw", KEY, "--undo").status == 0
    assert states(home) == [State.SUPERSEDED, State.SEEN]
    assert etl("run").status == 1 and states(home) == [State.SUPERSEDED, State.REFUSED]
    (landing / KEY).unlink()
    assert etl("run").status == 0
    assert symbols(home) == ["OLD"] and etl("status").status == 0


def test_a_withdrawn_content_that_was_published_takes_its_rows_with_it(landing: Path, home: Path, etl: Shell) -> None:
    overwritten(landing, NEW)
    assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER"]
    assert etl("withdraw", KEY, "--reason", "broken").status == 0
    assert etl("run").status == 0
    assert symbols(home) == [] and states(home) == [State.SUPERSEDED, State.WITHDRAWN]
    assert etl("withdraw", KEY, "--undo").status == 0
    assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER"]


@pytest.mark.parametrize("is_back", [True, False], ids=["put back", "gone"])
def test_of_two_withdrawn_contents_the_one_in_landing_is_put_back_or_else_the_one_withdrawn_last(
    landing: Path, home: Path, etl: Shell, *, is_back: bool
) -> None:
    for _ in range(2):  # OLD, then NEW
        said = etl("withdraw", KEY, "--reason", "a mistake")
        assert said.status == 0 and etl("run").status == 0
        body = (landing / KEY).read_bytes()
        assert f"{len(body)} bytes of 20" in said.out and hashlib.sha256(body).hexdigest()[:12] in said.out
        if body == OLD.encode():
            kept = overwritten(landing, NEW)
            assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER"]
    assert symbols(home) == []
    shutil.copy2(kept, landing / KEY) if is_back else (landing / KEY).unlink()
    etl("run")

    told = etl("withdraw", KEY, "--undo")

    meant = hashlib.sha256((OLD if is_back else NEW).encode()).hexdigest()[:12]
    assert told.status == 0 and meant in told.out
    assert etl("run").status == 0 and symbols(home) == (["OLD"] if is_back else ["NEW", "NEWER"])
    assert "nothing to run" in etl("run").out


@pytest.mark.parametrize("is_over", [True, False], ids=["over another", "alone"])
def test_what_was_withdrawn_before_a_run_read_it_stays_out_under_another_time(
    landing: Path, home: Path, etl: Shell, *, is_over: bool
) -> None:
    path = landing / KEY if is_over else landing / KEY.replace("a.csv", "b.csv")
    path.write_text(NEW)
    record_only(etl)
    key = KEY if is_over else KEY.replace("a.csv", "b.csv")
    assert etl("withdraw", key, "--reason", "a mistake").status == 0
    path.chmod(0o600)
    os.utime(path)

    assert etl("run").status == 0

    assert symbols(home) == ["OLD"] and State.WITHDRAWN in states(home) and State.SEEN not in states(home)
    assert "nothing to run" in etl("run").out
    assert etl("withdraw", key, "--undo").status == 0 and etl("run").status == 0
    assert symbols(home) == (["NEW", "NEWER"] if is_over else ["NEW", "NEWER", "OLD"])


@pytest.mark.parametrize("move", ["mv", "cp"])
def test_an_institution_that_comes_to_the_shared_root_has_nothing_to_run(
    home: Path, etl: Shell, tmp_path: Path, move: str
) -> None:
    own, file = tmp_path / "own", tmp_path / "institutions" / "first.yaml"
    shared = file.read_text()
    file.write_text(f"{shared}landing: {own}\n")
    put(home, f"second/prices/{DATE}/a.csv", HEADER + bar("BBB"))
    (own / f"first/prices/{DATE}").mkdir(parents=True)
    for name, body in (("a.csv", OLD), ("wrong.csv", NEW)):
        (own / f"first/prices/{DATE}" / name).write_text(body)
    assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER", "OLD"]
    assert etl("withdraw", f"first/prices/{DATE}/wrong.csv", "--reason", "a mistake").status == 0
    assert etl("run").status == 0 and symbols(home) == ["OLD"]
    if move == "mv":
        (own / "first").rename(home / "landing" / "first")
    else:
        shutil.copytree(own / "first", home / "landing" / "first")
    file.write_text(shared)
    execute.loaded.cache_clear()  # as a new process has it

    assert "nothing to run" in etl("run").out

    assert "nothing to run" in etl("run").out and etl("status").status == 0
    assert states(home) == [State.LOADED, State.WITHDRAWN, State.LOADED] and symbols(home) == ["OLD"]
    assert etl("withdraw", f"first/prices/{DATE}/wrong.csv", "--undo").status == 0
    assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER", "OLD"]


def test_copies_in_both_roots_of_an_institution_that_comes_and_goes_are_what_they_were(
    home: Path, etl: Shell, tmp_path: Path
) -> None:
    """A copy below the other root is nobody's meanwhile."""
    own, file = tmp_path / "own", tmp_path / "institutions" / "first.yaml"
    shared = file.read_text()
    folder = f"first/prices/{DATE}"
    put(home, f"second/prices/{DATE}/a.csv", HEADER + bar("BBB"))
    put(home, f"{folder}/a.csv", OLD)
    wrong = put(home, f"{folder}/wrong.csv", NEW)
    assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER", "OLD"]
    assert etl("withdraw", f"{folder}/wrong.csv", "--reason", "a mistake").status == 0
    put(home, f"{folder}/broken.csv", "\x00\x01 no table\n")
    assert etl("run").status == 1
    shutil.copytree(home / "landing" / "first", own / "first")
    wanted = [State.LOADED, State.LOADED, State.WITHDRAWN, State.REFUSED]
    assert sorted(states(home)) == sorted(wanted)

    for settings in (f"{shared}landing: {own}\n", shared) * 2:
        file.write_text(settings)
        execute.loaded.cache_clear()  # as a new process has it
        said = etl("run")
        assert "nothing to run" in said.out or said.status == 1, said
        assert etl("status").status == 1, "the broken file is still there"
        ours = [state for state in states(home) if state is not State.UNROUTED]
        assert sorted(ours) == sorted(wanted)

    (home / "landing" / folder / "broken.csv").unlink()
    assert etl("run").status == 0 and symbols(home) == ["OLD"] and etl("status").status == 0
    assert wrong.exists() and "nothing to run" in etl("run").out
    assert etl("withdraw", f"{folder}/wrong.csv", "--undo").status == 0
    assert etl("run").status == 0 and symbols(home) == ["NEW", "NEWER", "OLD"]


@pytest.fixture
def appended(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a dataset in which every content counts."""
    write(tmp_path / "datasets", f"{LEAST}write_mode: append\n")
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {visits: {}}\n", "first.yaml")
    monkeypatch.setenv("ETL_DATASETS_PATH", str(tmp_path / "datasets"))
    return home


def test_what_is_published_of_a_withdrawn_key_is_no_day_on_which_nothing_arrived(appended: Path, etl: Shell) -> None:
    """In mode `append` the content before the withdrawn one is still in the tables."""
    key = f"first/visits/{DATE}/a.csv"
    for body in ("visit_id,pages\nA,1\nB,2\n", "visit_id,pages\nC,3\n"):
        put(appended, key, body)
        assert etl("run").status == 0
    assert etl("withdraw", key, "--reason", "a mistake").status == 0 and etl("run").status == 0

    (told,) = json.loads(etl("status", "--json", "--date", str(DATE)).out)["partitions"]

    assert (told["status"], told["rows_published"]) == ("published", 2)


def test_an_overwritten_content_that_counts_is_taken_out_and_put_back(appended: Path, etl: Shell) -> None:
    """In mode `append` all contents of a key count, each by itself."""
    key = f"first/visits/{DATE}/a.csv"
    bodies = ["visit_id,pages\nA,1\n", "visit_id,pages\nB,2\n", "visit_id,pages\nC,3\n"]
    for body in bodies:
        put(appended, key, body)
        assert etl("run").status == 0
    first, second, last = (hashlib.sha256(body.encode()).hexdigest() for body in bodies)

    done = etl("withdraw", key, "--content", second[:12], "--reason", "test data")
    assert done.status == 0 and second[:12] in done.out and etl("run").status == 0
    assert visits(appended) == ["A", "C"]
    for wrong in ("", "zzzz", second):
        refused = etl("withdraw", key, "--content", wrong, "--reason", "x")
        assert refused.status == 2 and first[:12] in refused.err and last[:12] in refused.err, refused
    assert "nothing to run" in etl("run").out
    assert etl("withdraw", key, "--undo").status == 0 and etl("run").status == 0
    assert visits(appended) == ["A", "B", "C"] and "nothing to run" in etl("run").out

    assert etl("withdraw", key, "--reason", "the newest is meant").status == 0 and etl("run").status == 0
    assert visits(appended) == ["A", "B"]
    assert etl("withdraw", key, "--content", first, "--reason", "and the oldest").status == 0
    assert etl("run").status == 0 and visits(appended) == ["B"]
    for content in (first, last):
        assert etl("withdraw", key, "--content", content, "--undo").status == 0
    assert etl("run").status == 0 and visits(appended) == ["A", "B", "C"]
    assert etl("status").status == 0


def test_a_landing_root_that_has_moved_is_said_once_and_loads_nothing_again(
    landing: Path, home: Path, etl: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = landing.rename(home / "elsewhere")
    monkeypatch.setenv("ETL_LANDING", str(moved))
    execute.loaded.cache_clear()  # as a new process has it

    said, again = etl("run"), etl("run")

    line = f"moved landing root landing: found at {moved.as_uri()}; expected at {landing.as_uri()}, where it was"
    assert said.status == 0 and f"{line}; next step: none" in said.out and "nothing to run" in said.out
    assert again.status == 0 and "moved" not in again.out
    assert symbols(home) == ["OLD"]
