"""Deliveries that overlap, through the command line: each key counts once, however they come."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import duckdb
import pytest

from etl_platform_tests.cli.test_commands import Shell, etl, home, put, row_of
from etl_platform_tests.support.datasets import write
from etl_platform_tests.support.platform import HEADER

__all__ = ["etl", "home"]
MOVEMENTS = "transaction_id,account_id,timestamp,amount,currency,type,description\n"
LATE = "T2,A1,2025-02-03T23:30:00Z,250,EUR,deposit,late\n"
FIRST, SECOND = dt.date(2025, 2, 3), dt.date(2025, 2, 4)


def counted(home: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.sql(query).fetchall()


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST), ()], ids=["in order", "late", "at once"])
def test_a_movement_of_two_deliveries_counts_once(
    home: Path, etl: Shell, tmp_path: Path, order: tuple[dt.date, ...]
) -> None:
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {transactions: {}}\n", "first.yaml")
    files = {
        FIRST: MOVEMENTS + "T1,A1,2025-02-03T10:00:00Z,100,EUR,deposit,\n" + LATE,
        SECOND: MOVEMENTS + LATE + "T3,A1,2025-02-04T09:00:00Z,7,EUR,deposit,\n",
    }
    for date in order or files:
        put(home, f"first/transactions/{date}/day.csv", files[date])
        if order:
            assert etl("run", "--workers", "1").status == 0
    shown = etl("run", "--workers", "1").out if not order else ""
    assert counted(home, "select count(*), sum(amount) from first.transactions") == [(3, 357)]
    assert counted(home, "select business_date from first.transactions where transaction_id = 'T2'") == [(FIRST,)]
    assert not shown or "1 │           0 │          1 │" in row_of(shown, str(SECOND), "transactions")
    document = json.loads(etl("status", "--json").out)
    found = {p["date"]: (p["status"], p["rows_published"]) for p in document["partitions"]}
    assert found == {str(FIRST): ("published", 2), str(SECOND): ("published", 1)}


def test_a_date_that_is_to_be_run_again_is_named_and_shown(home: Path, etl: Shell, tmp_path: Path) -> None:
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {transactions: {}}\n", "first.yaml")
    put(home, f"first/transactions/{SECOND}/day.csv", MOVEMENTS + LATE)
    assert etl("run", "--workers", "1").status == 0
    put(home, f"first/transactions/{FIRST}/day.csv", MOVEMENTS + LATE)
    one = etl("run", "--date", str(FIRST), "--workers", "1")
    assert one.status == 0
    assert f"to be run again first transactions {SECOND}" in one.out.replace("  ", " ")
    assert "1/1 ✓" in (shown := etl("status").out) and "1/1 …" in shown
    assert counted(home, "select count(*) from first.transactions") == [(2,)], "each run rewrites its own date only"
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select count(*) from first.transactions") == [(1,)]
    assert "nothing to run" in etl("run").out


def test_rolling_exports_of_many_dates_count_each_bar_once(home: Path, etl: Shell) -> None:
    """Each file holds its date and the evening before; every second one comes late. All in runs over many dates."""
    days = [dt.date(2025, 1, 6) + dt.timedelta(days=n) for n in range(44)]

    def bars(day: dt.date) -> str:
        at = [f"{day - dt.timedelta(days=1)}T20:00:00Z", f"{day}T10:00:00Z", f"{day}T20:00:00Z"]
        return HEADER + "".join(f"AAA,{time},10,20,5,10,100\n" for time in at)

    for some in (days[1::2], days[::2]):
        for day in some:
            put(home, f"first/prices/{day}/a.csv", bars(day))
        assert etl("run", "--workers", "1").status == 0
    # The evening before the first date has no delivery of its own.
    assert counted(home, "select count(*), count(distinct timestamp) from first.prices") == [(89, 89)]
    wrong = "select count(*) from first.prices where business_date <> timezone('UTC', timestamp)::date"
    assert counted(home, wrong) == [(1,)]
    assert counted(home, "select sum(volume), sum(bars) from first.daily_bars") == [(8900, 89)]
    assert "nothing to run" in etl("run").out
