"""Declared datasets through the real definitions: no Python, the full set of assets, checks, tables and modes."""

from __future__ import annotations

import datetime as dt
import os
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import LedgerObject, Outcome
from etl_platform.settings import Settings
from etl_platform_tests.support.datasets import platform_with
from etl_platform_tests.support.platform import DATE, Platform

VISITS = """
name: {name}
title: Visits
columns:
  - {name: visit_id, type: string, description: Identifier., source: Visit-ID}
  - {name: pages, type: integer, description: Pages seen., nulls: fill, fill: 1, min: 1}
  - {name: paid, type: "decimal(10,2)", description: Paid., nulls: flag, required: false}
  - {name: seen_on, type: date, description: Day., formats: ["%d/%m/%Y"]}
  - {name: ticket, type: string, description: Ticket., required: false, unique: true}
derived:
  - {name: each, type: "decimal(12,4)", description: Each., required: false,
     expression: "ROUND(paid / NULLIF(pages, 0), 4)"}
rules:
  - {name: no_old_visits, sentence: The visit is of the business date., expression: seen_on = business_date}
key: [visit_id]
"""
HEADER = "Visit ID,PAGES,paid,seen on,ticket\n"
GOOD = "v1,4,10.00,DAY,t1\nv2,,,DAY,\n"


MODES = {
    "visits": "",
    "visits_append": "write_mode: append\n",
    "visits_fail": "write_mode: fail\n",
    "visits_all": "deduplicate: off\n",
    "visits_twins": "deduplicate: occurrence\n",
    "visits_watched": "watched: [{column: paid, by: [pages]}, {column: each}]\ncategories: [ticket, pages]\n",
}


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory, dagster_instance: dg.DagsterInstance) -> Platform:
    """One platform for all tests, each with a date of its own: building the definitions takes seconds."""
    declarations = {name: VISITS.replace("{name}", name) + extra for name, extra in MODES.items()}
    return platform_with(tmp_path_factory.mktemp("visits"), declarations, dagster_instance)


def day(number: int) -> dt.date:
    return dt.date(2025, 1, number)


def put(platform: Platform, date: dt.date, text: str, *, dataset: str = "visits", file: str = "a.csv") -> Path:
    return platform.put(f"first/{dataset}/{date}/{file}", HEADER + text.replace("DAY", f"{date:%d/%m/%Y}"))


def overwrite(platform: Platform, date: dt.date, text: str, *, dataset: str, seconds: int) -> None:
    """The same key again, at a later time: a folder's clock may not have moved between two writes of a test."""
    at_second(put(platform, date, text, dataset=dataset), seconds)
    run = platform.ingest("first", date, [dataset])
    assert run.failures == {} and run.succeeded and not run.failed_checks


def killed(*arguments: object, **options: object) -> None:
    """In place of what a run does right after the moment at which it dies."""
    raise RuntimeError("killed")


def at_second(path: Path, seconds: int) -> None:
    at = dt.datetime(2025, 2, 1, 12, 0, seconds, tzinfo=dt.UTC).timestamp()
    os.utime(path, (at, at))


def rows(platform: Platform, date: dt.date, dataset: str = "visits") -> list[tuple[object, ...]]:
    frame = platform.table("warehouse", dataset, "first", date).sort("visit_id", "pages")
    return frame.select("visit_id", "pages", "paid", "paid_was_null", "each").rows()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, dagster_instance: dg.DagsterInstance) -> Platform:
    platform = Platform(Settings(home=tmp_path_factory.mktemp("sample")), dagster_instance)
    platform.generate(rows=300)
    return platform


def test_orders_go_from_bronze_to_warehouse_with_exactly_the_seeded_counts(sample: Platform) -> None:
    expected = sample.generate(rows=300).partition("orders", "institution_a", DATE)
    run = sample.ingest("institution_a", datasets=["orders"])
    assert run.failures == {} and run.succeeded and not run.failed_checks
    silver = sample.table("warehouse", "orders", "institution_a")
    quarantine = sample.table("quarantine", "orders", "institution_a")
    assert (silver.height, quarantine.height) == (expected.silver, expected.quarantined)
    found = {(f, r): set(names) for f, r, names in quarantine.select("_source_file", "_source_row", "rules").rows()}
    assert found == {(one.file, one.row): set(one.rules) for one in expected.refused_rows}
    assert expected.superseded and expected.duplicates and "order_is_not_after_delivery" in expected.rules
    assert silver.filter(pl.col("amount") != pl.col("quantity") * pl.col("unit_price")).is_empty()
    assert silver["channel"].null_count() == 0 and "unknown" in silver["channel"]

    sales = sample.table("warehouse", "daily_sales", "institution_a")
    assert sales["orders"].sum() == expected.silver
    assert sales["revenue"].sum() == silver["amount"].cast(pl.Decimal(38, 4)).sum()
    assert sales["quantity"].cast(pl.Int64).sum() == silver["quantity"].sum()
    assert sales["product_id"].is_unique().all()


def test_employees_go_the_same_way(sample: Platform) -> None:
    expected = sample.generate(rows=300).partition("employees", "institution_b", DATE)
    run = sample.ingest("institution_b", datasets=["employees"])
    assert run.succeeded and not run.failed_checks
    stored = sample.table("warehouse", "employees", "institution_b")
    assert (stored.height, expected.quarantined > 0) == (expected.silver, True)
    assert (stored["left_date_was_null"] == stored["left_date"].is_null()).all()
    assert stored["left_date_was_null"].any() and not stored["left_date_was_null"].all()


def test_a_file_without_any_python_gives_a_working_dataset(visits: Platform) -> None:
    date = day(6)
    put(visits, date, GOOD + "v3,0,1,DAY,t1\nv4,1,1,16/01/2025,t1\n")
    run = visits.ingest("first", date, ["visits"])
    assert run.failures == {} and run.succeeded
    layers = ("bronze", "silver", "quarantine", "reconciliation", "warehouse")
    assert run.materialized == {f"{layer}/visits" for layer in layers}
    assert {"visits.no_old_visits", "visits.pages_is_in_range", "visits.ticket_is_unique"} <= set(run.checks)
    assert rows(visits, date) == [("v1", 4, Decimal("10.00"), False, Decimal("2.5")), ("v2", 1, None, True, None)]
    refused = visits.table("quarantine", "visits", "first", date).sort("_source_row").select("_source_row", "rules")
    assert refused.rows() == [(4, ["pages_is_in_range"]), (5, ["no_old_visits"])]


def test_a_value_that_must_be_unique_is_kept_once_and_the_other_row_refused_and_counted(visits: Platform) -> None:
    date = day(7)
    put(visits, date, GOOD + "v3,1,1,DAY,t1\nv5,1,1,DAY,\n")
    run = visits.ingest("first", date, ["visits"])
    assert run.succeeded and not run.failed_checks
    assert [row[0] for row in rows(visits, date)] == ["v1", "v2", "v5"]
    refused = visits.table("quarantine", "visits", "first", date).row(0, named=True)
    assert (refused["kind"], refused["_source_row"], refused["rules"]) == ("row", 4, ["ticket_is_unique"])


def test_mode_replace_follows_the_files(visits: Platform) -> None:
    date = day(8)
    overwrite(visits, date, GOOD, dataset="visits", seconds=0)
    overwrite(visits, date, "v7,1,1,DAY,\n", dataset="visits", seconds=5)
    assert [row[0] for row in rows(visits, date)] == ["v7"]


def test_mode_append_keeps_the_rows_of_overwritten_files_and_a_rerun_changes_nothing(visits: Platform) -> None:
    date, name = day(9), "visits_append"
    overwrite(visits, date, GOOD, dataset=name, seconds=0)
    overwrite(visits, date, "v2,9,,DAY,\nv7,1,1,DAY,\n", dataset=name, seconds=5)
    assert [row[:2] for row in rows(visits, date, name)] == [("v1", 4), ("v2", 9), ("v7", 1)]
    assert visits.table("quarantine", name, "first", date)["kind"].to_list() == ["superseded"]
    before = rows(visits, date, name)
    again = visits.ingest("first", date, [name])
    assert again.succeeded and not again.failed_checks and rows(visits, date, name) == before


def test_mode_append_is_published_once_a_refused_file_is_overwritten_with_a_readable_one(visits: Platform) -> None:
    date, name = day(24), "visits_append"
    refused = "Visit ID,paid\nv1,1\n"
    at_second(visits.put(f"first/{name}/{date}/a.csv", refused), 0)
    assert "every_file_is_readable" in visits.ingest("first", date, [name]).failed_checks
    at_second(put(visits, date, GOOD, dataset=name), 5)
    run = visits.ingest("first", date, [name])
    assert run.succeeded and "every_file_is_readable" not in run.failed_checks
    assert [row[0] for row in rows(visits, date, name)] == ["v1", "v2"]
    files = visits.table("reconciliation", name, "first", date).sort("delivery")
    assert files["is_refused"].to_list() == [False], "what was never published counts no more"
    assert visits.table("bronze", name, "first", date).height == 2, "bronze keeps every byte"
    at_second(visits.put(f"first/{name}/{date}/a.csv", refused + "v2,2\n"), 9)
    assert "every_file_is_readable" in visits.ingest("first", date, [name]).failed_checks


def test_mode_fail_refuses_other_rows_and_repeats_the_same(visits: Platform) -> None:
    date, name = day(10), "visits_fail"
    overwrite(visits, date, GOOD, dataset=name, seconds=0)
    before = rows(visits, date, name)
    assert visits.ingest("first", date, [name]).succeeded, "the very same rows again are no change"
    put(visits, date, "v7,1,1,DAY,\n", dataset=name, file="b.csv")
    run = visits.ingest("first", date, [name])
    assert not run.succeeded
    assert "2 rows already stored and a run that would replace them by 3" in run.failures["silver_visits_fail"]
    assert rows(visits, date, name) == before and visits.table("quarantine", name, "first", date).is_empty()


@pytest.mark.parametrize(("number", "step"), [(26, "silver"), (27, "warehouse")])
def test_mode_fail_lets_go_of_rows_that_were_stored_and_never_published(
    visits: Platform, monkeypatch: pytest.MonkeyPatch, number: int, step: str
) -> None:
    date, name = day(number), "visits_fail"
    at_second(put(visits, date, GOOD, dataset=name), 0)
    if step == "silver":
        monkeypatch.setattr(Ledger, "mark_loaded", killed)  # right after silver is stored
    else:
        monkeypatch.setattr(Ledger, "publish", killed)  # after the warehouse was written, before anybody knows
    visits.ingest("first", date, [name])
    stored = (visits.table("silver", name, "first", date), visits.table("warehouse", name, "first", date))
    assert [table.height for table in stored] == [2, 0 if step == "silver" else 2]
    assert visits.attempt(name, "first", date).outcome is not Outcome.SUCCEEDED
    monkeypatch.undo()
    overwrite(visits, date, "v7,1,1,DAY,\n", dataset=name, seconds=5)
    assert [row[0] for row in rows(visits, date, name)] == ["v7"]
    put(visits, date, GOOD, dataset=name, file="b.csv")
    assert not visits.ingest("first", date, [name]).succeeded, "final once published"


def test_mode_fail_follows_a_withdrawal_and_its_undoing_and_nothing_else(visits: Platform) -> None:
    date, name = day(28), "visits_fail"
    when, both = dt.datetime.now(dt.UTC), [("v1", 4), ("v2", 9), ("v7", 1)]
    at_second(put(visits, date, GOOD, dataset=name), 0)
    at_second(put(visits, date, "v2,9,,DAY,\nv7,1,1,DAY,\n", dataset=name, file="b.csv"), 1)
    assert visits.ingest("first", date, [name]).succeeded
    assert [row[:2] for row in rows(visits, date, name)] == both

    def withdrawn() -> LedgerObject:
        (found,) = visits.ledger.objects(key=f"first/{name}/{date}/b.csv")
        return found

    assert visits.ledger.withdraw(withdrawn(), reason="a mistake", by="ann", now=when)
    run = visits.ingest("first", date, [name])
    assert run.failures == {} and run.succeeded
    assert [row[:2] for row in rows(visits, date, name)] == [("v1", 4), ("v2", 1)], "what it had replaced is back"
    assert visits.table("silver", name, "first", date).height == 2
    assert visits.ledger.undo_withdrawal(withdrawn(), by="ann", now=when)
    run = visits.ingest("first", date, [name])
    assert run.failures == {} and run.succeeded
    assert [row[:2] for row in rows(visits, date, name)] == both

    assert visits.ledger.withdraw(withdrawn(), reason="a mistake", by="ann", now=when)
    at_second(put(visits, date, "v1,5,1,DAY,\n", dataset=name), 5)
    assert "would replace them" in visits.ingest("first", date, [name]).failures[f"silver_{name}"]
    assert [row[:2] for row in rows(visits, date, name)] == both


def test_without_deduplication_every_row_stays(visits: Platform) -> None:
    date, name = day(13), "visits_all"
    put(visits, date, "v1,4,1,DAY,\nv1,4,1,DAY,\nv1,5,1,DAY,\n", dataset=name)
    run = visits.ingest("first", date, [name])
    assert run.succeeded and f"{name}.keys_are_unique" not in run.checks
    assert [row[:2] for row in rows(visits, date, name)] == [("v1", 4), ("v1", 4), ("v1", 5)]


def test_by_occurrence_equal_rows_of_a_file_stay_and_a_repeated_file_adds_none(visits: Platform) -> None:
    date, name = day(15), "visits_twins"
    twins = "v1,4,1,DAY,\nv1,4,1,DAY,\n"
    put(visits, date, twins, dataset=name)
    put(visits, date, twins + "v1,4,1,DAY,\nv2,1,1,DAY,\n", dataset=name, file="b.csv")
    for _ in range(2):
        run = visits.ingest("first", date, [name])
        assert run.succeeded and not run.failed_checks and f"{name}.keys_are_unique" not in run.checks
        assert [row[:2] for row in rows(visits, date, name)] == [("v1", 4)] * 3 + [("v2", 1)]
    account = visits.table("reconciliation", name, "first", date)
    assert [account[column].sum() for column in ("rows_read", "rows_silver", "rows_duplicate")] == [6, 4, 2]
    # No key is promised: a view of the latest row of each key would have one of the three.
    constraints = run.metadata(f"silver/{name}")["dagster/column_schema"].value.constraints
    assert constraints.other == ["partitioned by business_date, institution"]
    put(visits, date, GOOD)
    assert visits.ingest("first", date, ["visits"]).succeeded
    with duckdb.connect(str(visits.settings.duckdb_file), read_only=True) as connection:
        found = {row[0] for row in connection.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    assert "visits_current" in found and f"{name}_current" not in found


def test_a_file_without_a_required_column_is_refused_and_one_without_an_optional_column_is_read(
    visits: Platform,
) -> None:
    visits.put("first/visits/2025-01-14/a.csv", "Visit-ID,pages,seen_on\nv1,2,14/01/2025\n")
    assert visits.ingest("first", day(14), ["visits"]).succeeded
    assert rows(visits, day(14)) == [("v1", 2, None, True, None)]
    visits.put("first/visits/2025-01-14/b.csv", "Visit-ID,paid,seen_on\nv2,2,14/01/2025\n")
    run = visits.ingest("first", day(14), ["visits"])
    assert "every_file_is_readable" in run.failed_checks
    reasons = visits.table("reconciliation", "visits", "first", day(14))["reason"].drop_nulls().to_list()
    assert len(reasons) == 1 and "expected also pages" in reasons[0]


def test_watched_columns_and_categories_of_a_declaration_warn_of_cents_and_of_new_values(visits: Platform) -> None:
    name, checks = "visits_watched", {"magnitudes_are_usual", "categories_are_known"}
    for number in (20, 21, 22):
        put(visits, day(number), "v1,4,10.00,DAY,a\nv2,4,11.00,DAY,b\n", dataset=name)
        run = visits.ingest("first", day(number), [name])
        assert run.succeeded and not run.failed_checks
        assert {f"{name}.{check}" for check in checks} <= set(run.checks)
    put(visits, day(23), "v1,4,1000.00,DAY,a\nv2,4,1100.00,DAY,c\n", dataset=name)
    run = visits.ingest("first", day(23), [name])
    assert run.succeeded and set(run.failed_checks) == checks
    assert {check.severity for check in run.failed_checks.values()} == {dg.AssetCheckSeverity.WARN}
    jumped = str(run.failed_checks["magnitudes_are_usual"].description)
    assert "paid 4: 100x the usual" in jumped and "each: 100x the usual" in jumped
    assert "ticket c: first seen, 1 rows" in str(run.failed_checks["categories_are_known"].description)
    assert len(rows(visits, day(23), name)) == 2
