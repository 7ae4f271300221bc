"""Deliveries that overlap, through the command line: each key counts once, however they come."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import duckdb
import pytest

from etl_platform.cli import execute
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


@pytest.mark.parametrize(
    "new",
    [pytest.param(FIRST, id="the date before", marks=pytest.mark.long), pytest.param(SECOND, id="the date after")],
)
def test_what_a_date_has_published_stays_its_own_while_a_broken_file_holds_it_back(
    home: Path, etl: Shell, tmp_path: Path, new: dt.date
) -> None:
    """Whoever delivers the same then: it is published already, and counts once."""
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {transactions: {}}\n", "first.yaml")
    held_back = SECOND if new == FIRST else FIRST
    put(home, f"first/transactions/{held_back}/day.csv", MOVEMENTS + LATE)
    assert etl("run", "--workers", "1").status == 0
    broken = put(home, f"first/transactions/{held_back}/stray.csv", "PK\x03\x04")
    assert etl("run", "--workers", "1").status == 1
    put(home, f"first/transactions/{new}/day.csv", MOVEMENTS + LATE)
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select business_date from first.transactions") == [(held_back,)]
    broken.unlink()
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select business_date from first.transactions") == [(FIRST,)], "to which its time belongs"
    assert "nothing to run" in etl("run").out


CLICKS = """
name: clicks
title: Clicks
columns:
  - {name: id, type: string, description: Number.}
  - {name: at, type: timestamp, description: When.}
  - {name: line, type: string, description: Part.}
key: [KEY]
event_time: at
business_date_tolerance_hours: 12
"""


def test_a_key_that_changes_heals_by_a_replay(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each date reads what its neighbours have stored, which is of the old contract until they have run."""
    monkeypatch.setenv("ETL_DATASETS_PATH", str(tmp_path / "datasets"))
    write(tmp_path / "datasets", CLICKS.replace("KEY", "id"), "clicks.yaml")
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {clicks: {}}\n", "first.yaml")
    shared = "K,2025-02-03T23:30:00Z,a\n"
    put(home, f"first/clicks/{FIRST}/day.csv", "id,at,line\n" + shared)
    put(home, f"first/clicks/{SECOND}/day.csv", "id,at,line\n" + shared + "M,2025-02-04T10:00:00Z,a\n")
    assert etl("run", "--workers", "1").status == 0
    write(tmp_path / "datasets", CLICKS.replace("KEY", "id, line"), "clicks.yaml")
    execute.loaded.cache_clear()  # as a new process has it
    put(home, f"first/clicks/{SECOND}/more.csv", "id,at,line\n" + shared.replace(",a", ",b"))
    assert etl("replay", "--institution", "first").status == 0
    assert etl("run", "--workers", "1").status == 0
    rows = "select business_date, id, line from first.clicks order by all"
    assert counted(home, rows) == [(FIRST, "K", "a"), (SECOND, "K", "b"), (SECOND, "M", "a")]
    assert "nothing to run" in etl("run").out


def test_a_time_zone_that_changes_heals_by_a_replay_of_one_date(home: Path, etl: Shell, tmp_path: Path) -> None:
    """The bar belongs to the second date now, which is replayed; the first had no row that another could hold."""
    prices = "prices: {parameters: {business_date_tolerance_hours: 1}}"
    sender = f"code: first\nname: first\ntime_zone: ZONE\ndatasets: {{{prices}}}\n"
    write(tmp_path / "institutions", sender.replace("ZONE", "UTC"), "first.yaml")
    shared = "AAA,2025-02-03T15:30:00Z,10,12,9,11,100\n"
    put(home, f"first/prices/{FIRST}/a.csv", HEADER + shared + "AAA,2025-02-03T12:00:00Z,10,12,9,11,100\n")
    put(home, f"first/prices/{SECOND}/a.csv", HEADER + shared + "AAA,2025-02-04T12:00:00Z,10,12,9,11,100\n")
    etl("run", "--workers", "1")
    write(tmp_path / "institutions", sender.replace("ZONE", "Asia/Tokyo"), "first.yaml")
    execute.loaded.cache_clear()
    assert etl("replay", "--date", str(SECOND)).status == 0
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select business_date from first.prices where timestamp = '2025-02-03 15:30:00Z'") == [
        (SECOND,)
    ]
    assert "nothing to run" in etl("run").out


def test_a_neighbour_before_the_first_date_is_left_and_named(
    home: Path, etl: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {transactions: {}}\n", "first.yaml")
    own = LATE.replace("02-03T23", "02-04T03")
    put(home, f"first/transactions/{FIRST}/day.csv", MOVEMENTS + own)
    assert etl("run", "--workers", "1").status == 0
    monkeypatch.setenv("ETL_FIRST_DATE", str(SECOND))
    put(home, f"first/transactions/{SECOND}/day.csv", MOVEMENTS + own)
    assert etl("run", "--workers", "1").status == 0
    again = etl("run", "--workers", "1")
    assert again.status == 0 and f"left pending, of first transactions {FIRST}" in again.out
    monkeypatch.delenv("ETL_FIRST_DATE")
    assert etl("run", "--workers", "1").status == 0
    assert counted(home, "select business_date from first.transactions") == [(SECOND,)]


def test_files_of_a_dataset_that_the_institution_sends_no_more_are_named(
    home: Path, etl: Shell, tmp_path: Path
) -> None:
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {transactions: {}}\n", "first.yaml")
    put(home, f"first/transactions/{SECOND}/day.csv", MOVEMENTS + LATE)
    assert etl("run", "--workers", "1").status == 0
    put(home, f"first/transactions/{FIRST}/day.csv", MOVEMENTS + LATE)
    assert etl("run", "--date", str(FIRST), "--workers", "1").status == 0
    write(tmp_path / "institutions", "code: first\nname: first\ndatasets: {prices: {}}\n", "first.yaml")
    execute.loaded.cache_clear()  # as a new process has it
    ended = etl("run", "--workers", "1")
    assert ended.status == 1 and "it sends no transactions, of which 1 files are to be read" in ended.out
    assert "put the dataset back" in ended.out


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
