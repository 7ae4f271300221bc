"""A faulty institution on the command line: doctor and status show it, commands refuse it, the others go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from etl_platform_tests.cli.test_commands import Shell, etl, home, put  # noqa: F401
from etl_platform_tests.support.platform import DATE, HEADER, bar

REASON = "second.yaml field [red]typo: an unknown field"


@pytest.fixture
def faulty(tmp_path: Path, home: Path) -> Path:
    """The file of `second` after somebody edited it."""
    path = tmp_path / "institutions" / "second.yaml"
    path.write_text(path.read_text() + '"[red]typo": x\n')
    return path


def joined(text: str) -> str:
    """A table's cells without its frame: long ones are folded."""
    return "".join(text.replace("│", "").replace(" ", "").split())


def test_doctor_has_a_line_for_it_and_gives_status_1(faulty: Path, etl: Shell) -> None:
    done = etl("doctor")
    assert done.status == 1
    (line,) = [line for line in done.out.splitlines() if "institution second" in line]
    assert "not well" in line
    assert "[red]typo" in joined(done.out)
    assert [line for line in done.out.splitlines() if "ledger" in line and "well" in line and "not well" not in line]


def test_status_has_a_line_for_it_above_the_tables_and_gives_status_1(faulty: Path, etl: Shell) -> None:
    done = etl("status")
    assert done.status == 1
    first, *rest = done.out.splitlines()
    assert first.startswith("not well institution second: ") and REASON in first and "next step" in first
    assert any("nothing has arrived here yet" in line for line in rest)
    faulty.unlink()
    assert etl("status").status == 0


@pytest.mark.parametrize(
    "command",
    [
        ("status", "--institution", "first,second"), ("replay", "--institution", "second"),
        ("run", "--institution", "second"), ("run", "--institution", "second", "--date", str(DATE)),
        ("drift", "list", "--institution", "second"), ("quarantine", "list", "--institution", "second"),
        ("withdraw", f"second/prices/{DATE}/a.csv", "--reason", "wrong", "--institution", "second"),
        ("plan", f"second/prices/{DATE}/a.csv"), ("plan", f"first/prices/{DATE}/a.csv", "--institution", "second"),
    ],
)  # fmt: skip
def test_a_command_that_names_it_gives_status_2_and_the_reason(
    home: Path,
    faulty: Path,
    etl: Shell,
    command: tuple[str, ...],
) -> None:
    for code in ("first", "second"):
        put(home, f"{code}/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    done = etl(*command)
    assert done.status == 2
    assert done.err.startswith("error: institution 'second': out of use: ") and REASON in done.err
    assert done.err.count("\n") == 1 and "no such institution" not in done.err


def test_import_history_names_the_reason_too(faulty: Path, tmp_path: Path, etl: Shell) -> None:
    (tmp_path / "AAA.csv").write_text(HEADER + bar("AAA"))
    command = ("import-history", str(tmp_path / "AAA.csv"), "--dataset", "prices", "--institution")
    done = etl(*command, "second")
    assert done.status == 2 and REASON in done.err
    assert "first" in etl(*command, "frist").err


def test_clashing_institutions_are_both_named(faulty: Path, etl: Shell) -> None:
    faulty.write_text("code: second\nname: second\nwarehouse_schema: third\ndatasets: {prices: {}}\n")
    faulty.with_name("third.yaml").write_text("code: third\nname: third\ndatasets: {prices: {}}\n")
    shown = etl("status")
    assert shown.status == 1 and shown.out.count("not well institution") == 2
    assert "also that of third (third.yaml)" in etl("replay", "--institution", "second").err
    assert "also that of second (second.yaml)" in etl("replay", "--institution", "third").err
    assert etl("replay", "--institution", "first").status == 0


def test_institutions_of_one_code_are_both_named(faulty: Path, etl: Shell) -> None:
    faulty.write_text("code: second\nname: second\ndatasets: {prices: {}}\n")
    faulty.with_name("copy.yaml").write_text("code: second\nname: another\ndatasets: {prices: {}}\n")
    shown = etl("status")
    assert shown.status == 1 and "copy.yaml" in shown.out and "second.yaml" in shown.out
    named = etl("run", "--institution", "second")
    assert named.status == 2 and "out of use" in named.err and "copy.yaml" in named.err
    assert etl("run", "--institution", "first").status == 1, "the others run; what is out of use is said"


def test_without_any_institution_left_doctor_and_status_say_why(faulty: Path, etl: Shell) -> None:
    faulty.with_name("first.yaml").write_text("code: [")
    done = etl("doctor")
    assert done.status == 1 and done.out.count("not well") == 2 and "none" in done.out
    shown = etl("status")
    assert shown.status == 2 and shown.out.count("not well institution") == 2
    assert "no institution that can be used" in shown.err


def test_dagster_loads_the_code_location_all_the_same(faulty: Path, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from etl_platform.definitions import defs; print(defs.metadata)"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    assert REASON in done.stdout
