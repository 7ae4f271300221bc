"""The command line as its user meets it: what is printed, what is done, which exit status."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from etl_platform.cli import execute
from etl_platform.cli.execute import Result
from etl_platform.cli.main import main
from etl_platform.cli.run import closing_table
from etl_platform.cli.session import print_whole
from etl_platform.contracts.table import PartitionKey
from etl_platform.ledger.records import AttemptTotals
from etl_platform_tests.support.platform import DATE, HEADER, REPOSITORY, bar, plain_senders
from etl_platform_tests.support.postgres import PostgresDatabase


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


Shell = Callable[..., Outcome]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new ETL_HOME whose senders are `first` and `second`, plain CSV; what commands keep per process is forgotten."""
    monkeypatch.setenv("ETL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ETL_INSTITUTIONS_PATH", str(plain_senders(tmp_path / "institutions", "first", "second")))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DAGSTER_HOME")
    with warnings.catch_warnings():
        yield tmp_path / "home"
    logging.disable(logging.NOTSET)
    execute.loaded.cache_clear()
    execute.dagster_instance.cache_clear()


@pytest.fixture
def etl(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run a command in this process, through the real entry point."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["etl-platform", *arguments])
        status = 0
        try:
            main()
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


def put(home: Path, key: str, body: str) -> Path:
    path = home / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body)
    return path


def deliver(home: Path, code: str, *dates: dt.date) -> None:
    for date in dates:
        put(home, f"{code}/prices/{date}/a.csv", HEADER + bar("AAA", date=date))


def row_of(table: str, *words: str) -> str:
    """The one line of a printed table that holds all `words`."""
    (line,) = [line for line in table.splitlines() if line.startswith("│") and all(word in line for word in words)]
    return line


def test_run_loads_what_is_new_and_then_has_nothing_to_do(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    deliver(home, "second", DATE)

    first = etl("run", "--workers", "1")

    assert first.status == 0, first.out + first.err
    assert "loaded" in row_of(first.out, str(DATE), "first") and "loaded" in row_of(first.out, str(DATE), "second")
    assert "2 in all" in first.out
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.sql("select symbol from first.prices").fetchall() == [("AAA",)]
        assert connection.sql("select institutions from shared.market_overview").fetchall() == [(2,)]
    assert "nothing to run" in etl("run").out


def test_run_takes_a_range_and_a_subset_even_if_loaded_before(home: Path, etl: Shell) -> None:
    days = [DATE + dt.timedelta(days=n) for n in range(3)]
    deliver(home, "first", *days)
    deliver(home, "second", *days)

    done = etl(
        "run", "--date", f"{days[0]}..{days[1]}", "--institution", "first", "--dataset", "prices", "--workers", "1"
    )

    assert done.status == 0 and "2 in all" in done.out and str(days[2]) not in done.out and "│ second " not in done.out
    again = etl("run", "--date", str(days[0]), "--institution", "first", "--workers", "1")
    assert again.status == 0 and "1 in all" in again.out


def test_a_failed_partition_gives_status_1_its_reason_and_is_run_again(home: Path, etl: Shell) -> None:
    deliver(home, "second", DATE)
    wrong = put(home, f"first/prices/{DATE}/a.csv", HEADER + bar("AAA", close="n/a"))

    failed = etl("run", "--workers", "1")

    assert failed.status == 1
    assert "failed" in row_of(failed.out, str(DATE), "first", "prices")
    assert "1 of 1 rows quarantined (100.0%)" in failed.out and "next step" in failed.out
    assert "loaded" in row_of(failed.out, str(DATE), "second")
    assert etl("run", "--workers", "1").status == 1  # what failed is still not loaded
    wrong.write_text(HEADER + bar("AAA"))
    assert etl("run", "--workers", "1").status == 0


def test_blocking_checks_give_status_1_and_name_the_check(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    put(home, f"first/prices/{DATE}/empty.csv", "")

    failed = etl("run", "--workers", "1")

    assert failed.status == 1 and "every_file_is_readable" in failed.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--institution", "frist"), "institution 'frist': no such institution; expected first"),
        (("run", "--date", "2025-01-15", "--dataset", "price"), "dataset 'price': no such dataset; expected prices"),
        (("run", "--date", "15.01.2025"), "date '15.01.2025': no date; expected e.g. 2025-01-15"),
        (("run", "--date", "2025-01-17..2025-01-15"), "an end before its start"),
        (("run", "--date", "2024-12-31"), "date 2024-12-31: outside the partitions; expected 2025-01-01 to"),
        (("run", "--date", "2999-01-01"), "outside the partitions"),
        (("status", "--institution", "x"), "no such institution"),
        (("replay", "--dataset", "pricse"), "expected prices"),
        (("replay",), "at least one"),
        (("contract", "show", "pricess"), "expected prices"),
        (("warehouse", "init"), "nothing to prepare"),
    ],
)
def test_wrong_names_give_status_2_and_one_line_with_the_near_match(
    etl: Shell, arguments: tuple[str, ...], message: str
) -> None:
    done = etl(*arguments)

    assert done.status == 2 and done.out == ""
    assert message in done.err and len(done.err.strip().splitlines()) == 1


def test_a_wrong_setting_gives_status_2_and_names_the_variable(etl: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_WAREHOUSE", "oracle")
    done = etl("status")
    assert done.status == 2 and "ETL_WAREHOUSE" in done.err and "'oracle'" in done.err and "snowflake" in done.err


def test_half_a_pair_of_s3_credentials_gives_status_2_without_showing_it(
    etl: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_S3_SECRET_ACCESS_KEY", "hunter2-secret")
    done = etl("status")
    assert done.status == 2 and "belong together" in done.err and "hunter2" not in done.err


def test_an_unknown_option_gives_status_2(etl: Shell) -> None:
    done = etl("run", "--dates", "2025-01-15")
    assert done.status == 2 and "--date" in done.err


def test_status_shows_every_state_and_the_objects_of_nobody(home: Path, etl: Shell) -> None:
    next_day = DATE + dt.timedelta(days=1)
    deliver(home, "first", DATE, next_day)
    put(home, f"second/prices/{DATE}/empty.csv", "")
    assert etl("run", "--date", str(DATE), "--workers", "1").status == 1
    put(home, f"stranger/prices/{DATE}/a.csv", HEADER)
    etl("run", "--date", str(next_day), "--institution", "second", "--workers", "1")
    assert "stranger" not in etl("status", "--unrouted").out  # nobody has looked at the landing zone since
    etl("run", "--workers", "1")

    shown = etl("status")

    assert shown.status == 1
    assert "1/1 ✓" in row_of(shown.out, str(DATE)) and "1/0 !" in row_of(shown.out, str(DATE))
    row = row_of(shown.out, str(next_day))
    assert "1/1 ✓" in row and "·" in row, "a run over a date on which nothing arrived is no delivery"
    assert f"refused second prices {DATE}" in shown.out and "withdraw KEY" in shown.out
    assert "belong to nobody" in shown.out
    strays = etl("status", "--unrouted").out
    assert f"stranger/prices/{DATE}/a.csv" in strays and "fits no institution" in strays


def test_markers_and_withdrawn_objects_are_listed_and_no_cause_for_alarm(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    put(home, f"first/prices/{DATE}/_SUCCESS", "")
    assert etl("run", "--workers", "1").status == 0 and etl("status").status == 0 and etl("doctor").status == 0
    ignored = etl("status", "--ignored")
    assert ignored.status == 0 and f"first/prices/{DATE}/_SUCCESS" in ignored.out and "marker" in ignored.out
    assert etl("withdraw", f"first/prices/{DATE}/a.csv", "--reason", "test data").status == 0
    withdrawn = etl("status", "--withdrawn")
    assert f"first/prices/{DATE}/a.csv" in withdrawn.out and "test data" in withdrawn.out


def test_a_failed_attempt_hides_nothing_of_what_is_published(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    assert etl("run", "--workers", "1").status == 0 and etl("status").status == 0
    put(home, f"first/prices/{DATE}/b.csv", HEADER + "".join(bar("AAA", minute, close="cheap") for minute in range(20)))
    assert etl("run", "--workers", "1").status == 1  # above the limit of bad rows: nothing of it is published

    shown, document = etl("status"), etl("status", "--json")

    assert shown.status == document.status == 1
    assert "2/1 ✗" in row_of(shown.out, str(DATE)), "two objects, one row published before"
    assert "20 of 21 rows quarantined" in shown.out and "etl-platform run" in shown.out
    (cell,) = [found for found in json.loads(document.out)["partitions"] if found["institution"] == "first"]
    assert (cell["status"], cell["rows_published"]) == ("failed", 1) and "quarantined" in cell["reason"]
    assert "partitions failed" in etl("doctor").out and etl("doctor").status == 1


def test_status_of_a_platform_that_received_nothing_says_so(etl: Shell) -> None:
    done = etl("status")
    assert done.status == 0 and "nothing has arrived" in done.out


def test_replay_lets_a_loaded_partition_run_again(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    assert etl("run", "--workers", "1").status == 0

    assert "1 object" in etl("replay", "--date", str(DATE), "--institution", "first").out
    assert "…" in row_of(etl("status").out, str(DATE))
    assert "1 in all" in etl("run", "--workers", "1").out


def test_contract_show_is_a_page_with_columns_rules_and_key(etl: Shell) -> None:
    page = etl("contract", "show", "prices").out
    for part in ("high_is_highest", "`timestamp`", "symbol_pattern", "Units traded"):
        assert part in page
    assert "prices:" in etl("contract", "list").out and "transactions:" in etl("contract", "list").out


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "snowflake"])
def test_contract_show_gives_the_ddl_of_every_warehouse(etl: Shell, dialect: str) -> None:
    done = etl("contract", "show", "prices", "--sql", dialect, "--schema", "first")
    assert done.status == 0 and "CREATE TABLE" in done.out.upper() and "business_date" in done.out.lower()
    if dialect == "duckdb":
        with duckdb.connect() as connection:
            connection.execute("create schema if not exists first")
            connection.execute(done.out)
            assert connection.sql("select * from first.prices").fetchall() == []


def test_doctor_is_well_on_an_empty_machine(home: Path, etl: Shell) -> None:
    done = etl("doctor")
    assert done.status == 0, done.out
    for part in (
        "landing",
        "lake",
        "ledger",
        "warehouse duckdb",
        "came back as they were sent",
        "memory",
        "first, second",
    ):
        assert part in done.out


def test_doctor_names_what_is_not_well_and_never_shows_a_secret(etl: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_WAREHOUSE", "postgres")
    monkeypatch.setenv("ETL_POSTGRES_URL", "postgresql://loader:hunter2-secret@127.0.0.1:1/etl")
    monkeypatch.setenv("ETL_S3_ACCESS_KEY_ID", "AKIAHUNTER")
    monkeypatch.setenv("ETL_S3_SECRET_ACCESS_KEY", "hunter2-secret")
    monkeypatch.setenv("ETL_SNOWFLAKE_PASSWORD", "hunter2-secret")

    done = etl("doctor")

    assert done.status == 1 and "not well" in done.out and "(set, not shown)" in done.out
    assert "hunter2" not in done.out + done.err


def test_generate_writes_the_same_bytes_again(home: Path, etl: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("generate", "--days", "2", "--rows", "30", "--first-date", "2025-01-14")
    done = etl(*arguments)
    files = {p: p.read_bytes() for p in (home / "landing").rglob("*") if p.is_file()}
    times = {p: p.stat().st_mtime_ns for p in files}

    assert done.status == 0 and "4 partitions" in done.out
    assert etl(*arguments).status == 0
    assert {p: p.read_bytes() for p in files} == files and {p: p.stat().st_mtime_ns for p in files} == times
    assert len(json.loads((home / "expected.json").read_text())["partitions"]) == 4
    assert etl("generate", "--days", "0").status == 2


def test_every_command_explains_itself(etl: Shell) -> None:
    commands = ("run", "status", "replay", "generate", "demo", "doctor", "contract", "contract show", "warehouse init")
    for command in ("", *commands):
        done = etl(*command.split(), "--help")
        assert done.status == 0 and "Usage: etl-platform" in done.out, command


def test_postgres_from_init_to_loaded_tables(
    home: Path, etl: Shell, monkeypatch: pytest.MonkeyPatch, postgres_database: PostgresDatabase
) -> None:
    monkeypatch.setenv("ETL_WAREHOUSE", "postgres")
    monkeypatch.setenv("ETL_POSTGRES_URL", postgres_database.url)
    deliver(home, "first", DATE)
    deliver(home, "second", DATE)

    prepared = etl("warehouse", "init")
    assert prepared.status == 0 and "prepared" in prepared.out
    assert etl("warehouse", "init").status == 0  # safe to repeat
    done = etl("run", "--workers", "1")

    assert done.status == 0, done.out + done.err
    for schema in ("first", "second"):
        rows = postgres_database.rows(f"select symbol, close, institution from {schema}.prices")
        assert [(r[0], str(r[1]).rstrip("0").rstrip("."), r[2]) for r in rows] == [("AAA", "10", schema)]
    assert postgres_database.rows("select institutions from shared.market_overview") == [(2,)]
    assert not (home / "warehouse.duckdb").exists()
    assert "well" in etl("doctor").out


@pytest.mark.long
def test_the_demo_runs_from_nothing_and_is_safe_to_repeat(tmp_path: Path) -> None:
    environment = {n: v for n, v in os.environ.items() if n != "DAGSTER_HOME"} | {
        "ETL_HOME": str(tmp_path / "home"),
        "COLUMNS": "200",
    }
    command = [sys.executable, "-c", "from etl_platform.cli import main; main()", "demo", "--workers", "2"]

    def demo() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    first = demo()
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    assert "exactly the seeded defects were quarantined" in first.stdout and first.stderr == ""
    second = demo()
    assert second.returncode == 0 and "everything is loaded already" in second.stdout


def test_the_closing_table_cuts_no_name_and_no_number() -> None:
    totals = AttemptTotals(rows_read=2_000_000_000, rows_silver=2_000_000_000)
    result = Result(PartitionKey(DATE, "an_institution_of_a_long_name"), "technical_indicators", True, totals, 1.0)
    console = Console(file=io.StringIO(), width=80)
    print_whole(console, closing_table([result]))
    assert isinstance(console.file, io.StringIO)
    row = row_of(console.file.getvalue(), str(DATE), "an_institution_of_a_long_name", "technical_indicators")
    assert row.count("2,000,000,000") == 2 and "…" not in console.file.getvalue()


def test_a_storage_of_dagster_that_fails_is_one_line(home: Path, etl: Shell) -> None:
    deliver(home, "first", DATE)
    assert etl("run").status == 0
    execute.dagster_instance.cache_clear()
    for path in (home / "dagster").rglob("*.db"):
        path.write_bytes(b"no database" * 100)

    said = etl("run")

    assert said.status == 3 and len(said.err.splitlines()) == 1
    assert "found DatabaseError: file is not a database" in said.err and "next step: look at the free space" in said.err
