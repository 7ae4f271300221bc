"""History and quarantine as their user meets them: imported, run, looked at, corrected, replayed."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import duckdb

from etl_platform.cli import execute
from etl_platform_tests.cli.test_commands import Shell, etl, home, put, row_of  # noqa: F401
from etl_platform_tests.support.platform import DATE, HEADER, bar

DAYS = [DATE + dt.timedelta(days=n) for n in range(24)]
SENDER = """
code: first
name: First
key_pattern: "{institution}/{dataset}/{date:%Y-%m-%d}/{symbol}.csv"
datasets:
  prices:
    columns: {"": timestamp, Open: open, High: high, Low: low, Close: close, Volume: volume}
    columns_from_key: {symbol: symbol}
"""


def history(folder: Path) -> Path:
    """24 days of one bar; the last has prices that are none."""
    lines = [f"{day},10,20.50,5,{n % 10 + 6},100" for n, day in enumerate(DAYS)]
    lines[-1] = f"{DAYS[-1]},10,20,5,cheap,100"
    path = folder / "AAA.csv"
    path.write_text("\n".join([",Open,High,Low,Close,Volume", *lines]) + "\n")
    return path


def test_a_history_is_imported_once_and_run_to_gold(tmp_path: Path, home: Path, etl: Shell) -> None:
    (tmp_path / "institutions" / "first.yaml").write_text(SENDER)
    file = str(history(tmp_path))
    command = ("import-history", file, "--institution", "first", "--dataset", "prices")

    first = etl(*command)
    again = etl(*command)

    assert first.status == 0, first.err
    cells = [[cell.strip() for cell in row_of(done.out, str(DAYS[0])).split("│")] for done in (first, again)]
    # dates, first, last, rows in file, rows in objects, unassigned; then new, already there, replaced
    assert [row[1:7] for row in cells] == [["24", str(DAYS[0]), str(DAYS[-1]), "24", "24", "0"]] * 2
    assert [row[7:10] for row in cells] == [["24", "0", "0"], ["0", "24", "0"]]

    run = etl("run", "--workers", "1")

    assert run.status == 1 and "24 in all" in run.out
    assert "100.0%" in run.out and str(DAYS[-1]) in run.out
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        rows = connection.sql("select business_date, symbol, high, close from first.daily_bars order by 1").fetchall()
        assert rows == [(day, "AAA", rows[n][2], n % 10 + 6) for n, day in enumerate(DAYS[:-1])]
        assert {str(row[2]) for row in rows} == {"20.50000000"}
        assert connection.sql("select count(*) from shared.market_overview").fetchall() == [(23,)]
    assert etl("run", "--workers", "1").status == 1  # the bad one again, alone


def test_quarantine_is_listed_shown_and_replayed(tmp_path: Path, home: Path, etl: Shell) -> None:
    rows = [bar("AAA", minute) for minute in range(11)]
    put(home, f"first/prices/{DATE}/a.csv", HEADER + "".join([*rows, bar("TOOLONG")]))
    put(home, f"second/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    assert etl("run", "--workers", "1").status == 0

    listed = etl("quarantine", "list")
    assert "1 refused rows and files in 1 groups" in listed.out
    assert str(DATE) in row_of(listed.out, "symbol_is_well_formed", "first", "prices")
    assert "0 refused rows" in etl("quarantine", "list", "--rule", "low_is_lowest").out
    assert "no such institution" in etl("quarantine", "list", "--institution", "frist").err
    shown = etl("quarantine", "show", "--institution", "first")
    assert f"first/prices/{DATE}/a.csv:13" in shown.out and bar("TOOLONG").strip() in shown.out
    (line,) = etl("quarantine", "show", "--format", "json").out.splitlines()
    assert json.loads(line)["raw"] == bar("TOOLONG").strip() and json.loads(line)["rules"] == ["symbol_is_well_formed"]
    assert len(etl("quarantine", "show", "--format", "csv").out.splitlines()) == 2

    assert "expected why the rows should pass" in etl("quarantine", "replay", "--reason", " ").err
    sender = tmp_path / "institutions" / "first.yaml"
    sender.write_text(sender.read_text().rstrip() + "\n    parameters: {symbol_pattern: '^[A-Z]{1,7}$'}\n")
    execute.loaded.cache_clear()
    replayed = etl("quarantine", "replay", "--reason", "seven letters are right", "--by", "ann", "--workers", "1")

    assert replayed.status == 0, replayed.out + replayed.err
    assert "1 in all" in replayed.out, "only the partition with quarantined rows runs again"
    on_record = row_of(etl("quarantine", "replays").out, "ann", "seven letters are right")
    cells = [cell.strip() for cell in on_record.split("│")]
    assert cells[4] == f"first prices {DATE}" and cells[5] != cells[6] and cells[7:10] == ["1 → 0", "1", "succeeded"]
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.sql("select count(*), max(symbol) from first.prices").fetchall() == [(12, "TOOLONG")]
    assert "nothing to replay" in etl("quarantine", "replay", "--reason", "again").out
