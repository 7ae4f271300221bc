"""What is not right stops where it must: one partition of one institution, before anything wrong is published."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import dagster as dg
import pytest

from etl_platform.contracts.table import PartitionKey
from etl_platform.ledger.records import Outcome, State
from etl_platform.partitions import format_key
from etl_platform.settings import Settings
from etl_platform.stores.reading import read_frame
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, plain_senders

GOOD = HEADER + bar("AAA") + bar("BBB")


def test_an_unreadable_file_blocks_warehouse_and_gold_of_its_institution_alone(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    plain.put(f"first/prices/{DATE}/empty.csv", "")
    plain.put(f"second/prices/{DATE}/good.csv", GOOD)

    first, second = plain.ingest("first"), plain.ingest("second")

    assert not first.succeeded and set(first.failed_checks) == {"every_file_is_readable"}
    assert "1 of 2 files" in str(first.failed_checks["every_file_is_readable"].description)
    assert "empty.csv" in str(first.failed_checks["every_file_is_readable"].metadata["sample"].value)
    assert plain.table("silver", "prices", "first").height == 2  # the readable file is in silver
    assert (
        plain.table("warehouse", "prices", "first").is_empty() and plain.table("gold", "daily_bars", "first").is_empty()
    )
    assert second.succeeded and plain.table("warehouse", "prices", "second").height == 2

    states = {o.key.rsplit("/", 1)[-1]: (o.state, o.reason) for o in plain.objects("prices", "first")}
    assert states["good.csv"] == (State.LOADED, None)
    assert states["empty.csv"][0] is State.REFUSED and "empty.csv" in str(states["empty.csv"][1])
    attempt = plain.attempt("prices", "first")
    assert attempt.outcome is Outcome.FAILED and "every_file_is_readable" in str(attempt.error)
    assert attempt.totals is not None and attempt.totals.checks_failed == 1 and attempt.totals.rows_silver == 2


def test_failed_checks_leave_the_published_version_as_it_was(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    assert plain.ingest("first").succeeded
    plain.put(f"first/prices/{DATE}/later.csv", HEADER + bar("CCC"))
    plain.put(f"first/prices/{DATE}/torn.csv", b"\x00\x01\x02PAR1 not a table")

    assert not plain.ingest("first").succeeded

    assert sorted(plain.table("warehouse", "prices", "first")["symbol"]) == ["AAA", "BBB"]
    assert sorted(plain.table("silver", "prices", "first")["symbol"]) == ["AAA", "BBB", "CCC"]


def test_too_many_quarantined_rows_stop_the_partition_before_anything_is_published(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    assert plain.ingest("first").succeeded
    plain.put(f"first/prices/{DATE}/wrong.csv", HEADER + bar("CCC") + bar("DDD", close="n/a") + bar("EEE", close="99"))

    run = plain.ingest("first")

    (message,) = run.failures.values()
    assert "2 of 5 rows quarantined (40.0%)" in message and "at most 10.0%" in message
    assert "nothing was published" in message and "next step" in message and "first prices 2025-01-15" in message
    assert run.materialized == {"bronze/prices"}
    assert sorted(plain.table("silver", "prices", "first")["symbol"]) == ["AAA", "BBB"]
    assert plain.table("quarantine", "prices", "first").is_empty()
    states = {o.key.rsplit("/", 1)[-1]: o.state for o in plain.objects("prices", "first")}
    assert states["wrong.csv"] is State.FAILED
    attempt = plain.attempt("prices", "first")
    assert attempt.outcome is Outcome.FAILED and "quarantined" in str(attempt.error)


def test_a_higher_limit_in_the_institution_file_lets_the_partition_pass(
    tmp_path: Path, dagster_instance: dg.DagsterInstance
) -> None:
    folder = plain_senders(tmp_path / "institutions", "first", settings="quality: {largest_quarantined_share: 0.6}")
    platform = Platform(Settings(home=tmp_path / "home", institutions_path=folder), dagster_instance)
    platform.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA") + bar("BBB", close="n/a"))

    assert platform.ingest("first").succeeded
    assert platform.table("quarantine", "prices", "first")["_source_row"].to_list() == [3]


def test_a_partition_without_files_gives_typed_empty_tables_and_says_so(plain: Platform) -> None:
    run = plain.ingest("first")

    assert run.succeeded
    assert run.metadata("bronze/prices")["summary"].value == "no object arrived"
    warnings = [e.user_message for e in plain.instance.all_logs(run.result.run_id) if e.level == 30]
    assert any("no object" in text and "first prices 2025-01-15" in text for text in warnings)
    for layer, name in (
        ("silver", "prices"),
        ("gold", "daily_bars"),
        ("warehouse", "prices"),
        ("quarantine", "prices"),
    ):
        frame = plain.table(layer, name, "first")
        assert frame.is_empty() and frame.schema == plain.graph.catalog.table(layer, name).polars_schema
        assert run.metadata(f"{layer}/{name}")["dagster/partition_row_count"].value == 0
    assert plain.lake_object("silver", "prices", "first").exists()


@pytest.mark.parametrize("asset", ["gold/daily_bars", "warehouse/prices"])
def test_gold_alone_is_refused_after_failed_checks(plain: Platform, asset: str) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    plain.put(f"first/prices/{DATE}/empty.csv", "")
    plain.ingest("first")

    run = plain.ingest("first", asset_selection=[dg.AssetKey(asset.split("/"))])

    (message,) = run.failures.values()
    assert "every_file_is_readable" in message and "expected one whose blocking checks passed" in message
    assert "next step: materialize silver/prices" in message
    layer, name = asset.split("/")
    assert plain.table(layer, name, "first").is_empty()


def test_gold_alone_is_built_after_checks_that_passed(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    plain.ingest("first")

    run = plain.ingest("first", asset_selection=[dg.AssetKey(["gold", "daily_bars"])])

    assert run.succeeded and run.materialized == {"gold/daily_bars"}


def test_a_warehouse_that_cannot_be_written_fails_the_attempt_and_a_later_run_converges(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    plain.settings.root.mkdir(parents=True, exist_ok=True)
    blocked = plain.settings.duckdb_file
    blocked.write_bytes(b"this is no DuckDB file" * 500)

    run = plain.ingest("first")

    assert not run.succeeded and {"warehouse__prices", "warehouse__daily_bars"} == set(run.failures)
    attempt = plain.attempt("prices", "first")
    assert attempt.outcome is Outcome.FAILED and "warehouse" in str(attempt.error) and attempt.ended_at is not None
    assert {o.state for o in plain.objects("prices", "first")} == {State.FAILED}

    blocked.unlink()
    assert plain.ingest("first").succeeded
    assert {o.state for o in plain.objects("prices", "first")} == {State.LOADED}
    assert plain.table("warehouse", "prices", "first").height == 2


def test_a_lake_that_cannot_be_written_ends_the_attempt(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    lake = Path(plain.settings.lake_root)
    lake.mkdir(parents=True)
    (lake / "silver").write_text("a file where a folder should be")

    run = plain.ingest("first")

    assert not run.succeeded and plain.ledger.open_attempts() == []
    attempt = plain.attempt("prices", "first")
    assert attempt.outcome is Outcome.FAILED and attempt.ended_at is not None and "silver" in str(attempt.error)
    assert {o.state for o in plain.objects("prices", "first")} == {State.FAILED}


def test_a_landing_zone_that_cannot_be_listed_fails_what_was_launched(
    plain: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    store = plain.landing.store_of("first")
    found = [plain.landing.route(plain.landing.roots[0], info).landing_object() for info in store.list()]
    plain.ledger.record_seen(found, now=dt.datetime.now(dt.UTC))
    folder = plain.landing_folder
    folder.rename(folder.with_name("away"))
    folder.write_text("no folder")

    run = plain.ingest("first")

    assert not run.succeeded
    (item,) = plain.objects("prices", "first")
    assert item.state is State.FAILED and item.reason


def test_another_institutions_partition_is_not_read_for_an_overview_that_has_none(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    assert plain.ingest("first").succeeded

    assert plain.overview().succeeded  # `second` has not delivered

    table = plain.graph.catalog.table("gold", "market_overview")
    rows = read_frame(plain.resources["lake"].store, table, [PartitionKey(DATE)])
    assert sorted(rows["symbol"]) == ["AAA", "BBB"]
    assert format_key(PartitionKey(DATE)) == "2025-01-15"
