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


def evening_and_day(day: dt.date) -> str:
    at = [f"{day - dt.timedelta(days=1)}T20:00:00Z", f"{day}T10:00:00Z", f"{day}T20:00:00Z"]
    return HEADER + "".join(f"AAA,{time},10,20,5,10,100\n" for time in at)


def test_a_broken_date_among_many_takes_no_row_from_the_next(home: Path, etl: Shell) -> None:
    """Whoever left rows to a date that did not pass is not published so: it has a run of its own, and keeps them."""
    days = [dt.date(2025, 1, 6) + dt.timedelta(days=n) for n in range(24)]
    for day in days:
        put(home, f"first/prices/{day}/a.csv", evening_and_day(day))
    broken = put(home, f"first/prices/{days[9]}/b.csv", "PK\x03\x04")
    assert etl("run", "--workers", "1").status == 1
    assert counted(home, f"select count(*) from first.prices where business_date = '{days[9]}'") == [(0,)]
    # Of its own rows those that its neighbours deliver, too: its evening, and the evening before.
    distinct = counted(home, "select count(*), count(distinct timestamp), sum(volume) from first.prices")
    assert distinct == [(48, 48, 4800)]
    assert counted(home, "select sum(bars) from first.daily_bars") == [(48,)]
    broken.write_text(evening_and_day(days[9]))
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select count(*), count(distinct timestamp) from first.prices") == [(49, 49)]
    kept = f"select count(*) from first.prices where business_date = '{days[9]}'"
    assert counted(home, kept) == [(2,)]


def test_rolling_exports_of_many_dates_count_each_bar_once(home: Path, etl: Shell) -> None:
    """Each file holds its date and the evening before; every second one comes late. All in runs over many dates."""
    days = [dt.date(2025, 1, 6) + dt.timedelta(days=n) for n in range(44)]

    for some in (days[1::2], days[::2]):
        for day in some:
            put(home, f"first/prices/{day}/a.csv", evening_and_day(day))
        assert etl("run", "--workers", "1").status == 0
    # The evening before the first date has no delivery of its own.
    assert counted(home, "select count(*), count(distinct timestamp) from first.prices") == [(89, 89)]
    wrong = "select count(*) from first.prices where business_date <> timezone('UTC', timestamp)::date"
    assert counted(home, wrong) == [(1,)]
    assert counted(home, "select sum(volume), sum(bars) from first.daily_bars") == [(8900, 89)]
    assert "nothing to run" in etl("run").out
