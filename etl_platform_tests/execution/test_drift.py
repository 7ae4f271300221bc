"""Drift through the real definitions: what each policy does with it, and what the checks say about changed meaning."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import Outcome, State
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import DATE, HEADER, Platform, Run, bar, plain_senders

CHECK = "prices.schema_has_not_drifted"
NEXT_DATE = DATE + dt.timedelta(days=1)
WITH_VENUE = HEADER.replace("\n", ",venue\n")


@pytest.fixture
def sender(request: pytest.FixtureRequest, tmp_path: Path, dagster_instance: dg.DagsterInstance) -> Platform:
    """A platform whose only sender has the drift policy of the parameter."""
    folder = plain_senders(tmp_path / "institutions", "first", settings=f"drift_policy: {request.param}")
    return Platform(Settings(home=tmp_path / "home", institutions_path=folder), dagster_instance)


def policy(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sender", [name], indirect=True)


def rows(date: dt.date, *, venue: str | None = None, count: int = 3) -> str:
    end = "\n" if venue is None else f",{venue}\n"
    return "".join(bar("AAA", minute, date=date).rstrip("\n") + end for minute in range(count))


def deliver(platform: Platform, date: dt.date, header: str, body: str, name: str = "a") -> None:
    platform.put(f"first/prices/{date}/{name}.csv", header + body)


def baseline_then_new_column(platform: Platform) -> Run:
    deliver(platform, DATE, HEADER, rows(DATE))
    assert platform.ingest("first").succeeded
    deliver(platform, NEXT_DATE, WITH_VENUE, rows(NEXT_DATE, venue="XNYS"))
    return platform.ingest("first", NEXT_DATE)


def drift_on_record(platform: Platform) -> list[tuple[dt.date, str, str]]:
    found = platform.ledger.drifted(["first"], ["prices"])
    return [(d.partition.business_date, line["change"], line["column"]) for d in found for line in d.differences]


@policy("warn")
def test_warn_shows_the_difference_and_lets_the_partition_pass(sender: Platform) -> None:
    run = baseline_then_new_column(sender)

    assert run.succeeded and set(run.failed_checks) == {"schema_has_not_drifted"}
    check = run.checks[CHECK]
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "new column venue (text; against the contract and the last delivery)" in str(check.description)
    assert check.metadata["new"].value == 1 and "venue" in str(check.metadata["sample"].value)
    assert sender.attempt("prices", "first", NEXT_DATE).outcome is Outcome.SUCCEEDED
    assert sender.table("warehouse", "prices", "first", NEXT_DATE)["_extra"].to_list() == [None] * 3
    assert drift_on_record(sender) == [(NEXT_DATE, "new", "venue")]


@policy("ignore")
def test_ignore_records_and_says_nothing(sender: Platform) -> None:
    run = baseline_then_new_column(sender)

    assert run.succeeded and not run.failed_checks and "venue" in str(run.checks[CHECK].description)
    assert drift_on_record(sender) == [(NEXT_DATE, "new", "venue")]


@policy("add")
def test_add_keeps_new_columns_beside_the_row_and_still_warns_of_others(sender: Platform) -> None:
    run = baseline_then_new_column(sender)

    assert run.succeeded and not run.failed_checks
    for layer in ("silver", "warehouse"):
        extra = sender.table(layer, "prices", "first", NEXT_DATE)["_extra"]
        assert [json.loads(text) for text in extra] == [{"venue": "XNYS"}] * 3
    assert sender.table("silver", "prices", "first")["_extra"].to_list() == [None] * 3

    later = NEXT_DATE + dt.timedelta(days=1)
    deliver(sender, later, HEADER, rows(later))
    assert set(sender.ingest("first", later).failed_checks) == {"schema_has_not_drifted"}
    assert drift_on_record(sender)[-1] == (later, "missing", "venue")


@policy("fail")
def test_fail_stops_the_partition_before_anything_is_published(sender: Platform) -> None:
    run = baseline_then_new_column(sender)

    (message,) = run.failures.values()
    assert not run.succeeded and run.materialized == {"bronze/prices"}
    assert "schema drift: new column venue" in message and "first prices 2025-01-16" in message
    assert "nothing was published" in message and "next step" in message
    assert not sender.lake_object("silver", "prices", "first", NEXT_DATE).exists()
    assert [o.state for o in sender.objects("prices", "first", NEXT_DATE)] == [State.FAILED]
    assert "drift" in str(sender.attempt("prices", "first", NEXT_DATE).error)
    assert drift_on_record(sender) == [(NEXT_DATE, "new", "venue")]

    # What was stopped is no standard for what comes after it.
    deliver(sender, NEXT_DATE + dt.timedelta(days=1), HEADER, rows(NEXT_DATE + dt.timedelta(days=1)))
    assert sender.ingest("first", NEXT_DATE + dt.timedelta(days=1)).succeeded


@policy("fail")
def test_a_renamed_column_is_suggested_where_the_file_is_refused(sender: Platform) -> None:
    deliver(sender, DATE, HEADER, rows(DATE))
    assert sender.ingest("first").succeeded
    deliver(sender, NEXT_DATE, HEADER.replace("close", "close_price"), rows(NEXT_DATE))

    (message,) = sender.ingest("first", NEXT_DATE).failures.values()

    assert "missing column close" in message and "perhaps close_price now: a similar name" in message


@policy("warn")
def test_another_order_is_no_drift_and_running_again_changes_no_record(sender: Platform) -> None:
    deliver(sender, DATE, HEADER, rows(DATE))
    assert sender.ingest("first").succeeded
    backwards = ["volume,close,low,high,open,timestamp,symbol", f"100,10,5,20,10,{NEXT_DATE}T10:00:00Z,AAA", ""]
    deliver(sender, NEXT_DATE, "", "\n".join(backwards))

    assert not sender.ingest("first", NEXT_DATE).failed_checks
    assert not sender.ingest("first", NEXT_DATE).failed_checks
    held = sender.ledger.schemas(Delivery.of("prices", PartitionKey(NEXT_DATE, "first")))
    assert [column["name"] for column in held[0].columns] == backwards[0].split(",") and len(held) == 1


@policy("warn")
def test_each_file_is_compared_with_the_one_before_it(sender: Platform) -> None:
    deliver(sender, DATE, WITH_VENUE, rows(DATE, venue="7", count=2), name="a")
    deliver(sender, DATE, WITH_VENUE, rows(DATE, venue="XNYS", count=2), name="b")

    run = sender.ingest("first")

    assert "retyped column venue (integer -> text; against the last delivery)" in str(run.checks[CHECK].description)


@policy("warn")
def test_prices_in_cents_and_a_moved_clock_are_warnings_on_the_fourth_day(sender: Platform) -> None:
    days = [DATE + dt.timedelta(days=n) for n in range(4)]
    for date in days[:3]:
        deliver(sender, date, HEADER, rows(date, count=12))
        run = sender.ingest("first", date)
        assert run.succeeded and not run.failed_checks
    cents = rows(days[3], count=12).replace(",10,20,5,10,", ",1000,2000,500,1000,").replace("T10:", "T12:")
    deliver(sender, days[3], HEADER, cents)

    run = sender.ingest("first", days[3])

    assert run.succeeded and set(run.failed_checks) == {"magnitudes_are_usual", "hours_are_usual"}
    assert {e.severity for e in run.failed_checks.values()} == {dg.AssetCheckSeverity.WARN}
    assert "close AAA: 100x the usual" in str(run.failed_checks["magnitudes_are_usual"].description)
    assert "moved by +2 h" in str(run.failed_checks["hours_are_usual"].description)
    assert sender.table("warehouse", "prices", "first", days[3]).height == 12
