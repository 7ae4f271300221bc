"""Checks look at what is stored: whatever changes it behind the platform's back fails the check that is for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import dagster as dg
import polars as pl
import pytest

from etl_platform.transforms.stored import checkable_rules
from etl_platform_tests.support.platform import DATE, HEADER, Platform, Run, bar

GOOD = HEADER + "".join(bar(symbol, minute) for symbol in ("AAA", "BBB", "CCC") for minute in range(4))


@pytest.fixture
def loaded(plain: Platform) -> Platform:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD)
    assert plain.ingest("first").succeeded
    return plain


def run_checks(platform: Platform, names: list[str] | None = None, table: str = "silver/prices") -> Run:
    """A run of checks alone: all of a table, or those of `names`."""
    asset = dg.AssetKey(table.split("/"))
    chosen = (
        dg.AssetSelection.checks_for_assets(asset)
        if names is None
        else dg.AssetSelection.checks(*(dg.AssetCheckKey(asset, name) for name in names))
    )
    repository = platform.definitions.get_repository_def()
    keys = chosen.resolve_checks(repository.asset_graph)
    job = platform.definitions.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=set(keys)
    )
    # As the UI launches checks: by the run's tags. `partition_key=` insists on at least one asset.
    tags = {
        "dagster/partition": f"{DATE}|first",
        "dagster/partition/date": str(DATE),
        "dagster/partition/institution": "first",
    }
    return Run(job.execute_in_process(tags=tags, instance=platform.instance, raise_on_error=False))


def bend(platform: Platform, changes: Mapping[str, Any]) -> None:
    """Change the first stored row."""
    rows = platform.table("silver", "prices", "first")
    is_first = pl.int_range(pl.len()) == 0
    bent = [
        pl.when(is_first).then(pl.lit(value, dtype=rows.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, value in changes.items()
    ]
    platform.replace("silver", "prices", "first", rows.with_columns(bent))


BENT: dict[str, dict[str, Any]] = {
    "symbol_is_well_formed": {"symbol": "a-a"},
    "open_is_in_range": {"open": Decimal("0.001")},
    "high_is_in_range": {"high": Decimal("2000000")},
    "low_is_in_range": {"low": Decimal("0.001")},
    "close_is_in_range": {"close": Decimal("-1")},
    "high_is_highest": {"high": Decimal("6")},
    "low_is_lowest": {"low": Decimal("19")},
    "volume_is_not_negative": {"volume": -1},
    "timestamp_is_in_business_date": {"timestamp": dt.datetime(2025, 1, 20, tzinfo=dt.UTC)},
    "timestamp_is_not_in_future": {"timestamp": dt.datetime(2100, 1, 1, tzinfo=dt.UTC)},
    "keys_are_unique": {"symbol": "AAA", "timestamp": dt.datetime(2025, 1, 15, 10, 1, tzinfo=dt.UTC)},
}


@pytest.mark.parametrize("rule", BENT)
def test_a_bent_stored_row_fails_the_check_of_its_rule(loaded: Platform, rule: str) -> None:
    bend(loaded, BENT[rule])

    run = run_checks(loaded, [rule])

    assert set(run.failed_checks) == {rule}
    metadata = {name: value.value for name, value in run.failed_checks[rule].metadata.items()}
    assert 1 in metadata.values(), metadata
    if rule != "keys_are_unique":
        assert str(next(iter(BENT[rule].values())))[:4] in str(metadata["sample"])


def test_every_rule_on_values_is_bent_in_this_module(loaded: Platform) -> None:
    rules = {rule.name for rule in checkable_rules(loaded.graph.contracts["prices"])}
    assert {r for r in rules if not r.endswith("_is_present")} == set(BENT) - {"keys_are_unique"}


def test_a_stored_row_that_is_removed_fails_conservation(loaded: Platform) -> None:
    loaded.replace("silver", "prices", "first", loaded.table("silver", "prices", "first")[1:])

    run = run_checks(loaded)

    assert set(run.failed_checks) == {"rows_are_conserved"}
    metadata = {name: value.value for name, value in run.failed_checks["rows_are_conserved"].metadata.items()}
    assert metadata["silver_difference"] == -1 and metadata["rows_read"] == 12


def test_a_quarantined_row_that_is_removed_fails_conservation(plain: Platform) -> None:
    plain.put(f"first/prices/{DATE}/good.csv", GOOD + bar("DDD", close="n/a"))
    assert plain.ingest("first").succeeded
    plain.replace("quarantine", "prices", "first", plain.table("quarantine", "prices", "first").clear())

    run = run_checks(plain)

    assert set(run.failed_checks) == {"rows_are_conserved"}
    assert run.failed_checks["rows_are_conserved"].metadata["quarantine_difference"].value == -1


def test_all_checks_run_alone_and_pass_on_what_the_platform_stored(loaded: Platform) -> None:
    attempt = loaded.attempt("prices", "first")

    run = run_checks(loaded)

    assert run.succeeded and not run.failed_checks and run.materialized == set()
    graph = loaded.definitions.get_repository_def().asset_graph
    names = {key.name for key in graph.asset_check_keys if key.asset_key.path == ["silver", "prices"]}
    assert {e.check_name for e in run.checks.values()} == names
    assert all(e.partition == f"{DATE}|first" for e in run.checks.values())
    assert loaded.attempt("prices", "first") == attempt  # checks alone begin no attempt


def test_a_subset_of_checks_runs_alone(loaded: Platform) -> None:
    run = run_checks(loaded, ["high_is_highest", "rows_are_conserved"])

    assert run.succeeded
    assert {e.check_name for e in run.checks.values()} == {"high_is_highest", "rows_are_conserved"}


def test_a_flipped_byte_in_stored_parquet_is_an_error_not_a_wrong_value(loaded: Platform) -> None:
    path = loaded.lake_object("silver", "prices", "first")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x10
    path.write_bytes(data)

    run = run_checks(loaded)

    (message,) = run.failures.values()
    assert not run.succeeded and not run.checks
    assert str(DATE) in message and "data.parquet" in message


def test_blocking_checks_block_and_the_volume_check_warns(loaded: Platform) -> None:
    graph = loaded.definitions.get_repository_def().asset_graph
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    warnings = {s.name for s in specs if not s.blocking and s.asset_key.path == ["silver", "prices"]}
    assert "volume_is_usual" in warnings
    # Only what compares with earlier days may warn: whatever is certain blocks.
    assert all(name.endswith("_usual") for name in warnings)


def test_an_unusual_volume_warns_and_lets_the_partition_pass(plain: Platform) -> None:
    for day in range(13, 16):
        date = dt.date(2025, 1, day)
        plain.put(f"first/prices/{date}/a.csv", HEADER + "".join(bar("AAA", m, date=date) for m in range(9)))
        assert plain.ingest("first", date).succeeded
    date = dt.date(2025, 1, 16)
    plain.put(f"first/prices/{date}/a.csv", HEADER + bar("AAA", date=date))

    run = plain.ingest("first", date)

    assert run.succeeded and plain.table("warehouse", "prices", "first", date).height == 1
    (evaluation,) = run.failed_checks.values()
    assert evaluation.check_name == "volume_is_usual" and evaluation.severity is dg.AssetCheckSeverity.WARN
    assert evaluation.metadata["trailing_median"].value == 9


def test_the_checks_of_a_partition_run_alone_as_a_job_by_its_tag(loaded: Platform) -> None:
    job = loaded.definitions.resolve_job_def("check_stored")
    keys = {dg.AssetCheckKey(dg.AssetKey(["silver", "prices"]), "high_is_highest")}
    chosen = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    tags = {"dagster/partition": f"{DATE}|first"}
    run = Run(chosen.execute_in_process(tags=tags, instance=loaded.instance, raise_on_error=False))
    assert run.succeeded
    (evaluation,) = run.result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed, evaluation.partition) == (
        "high_is_highest", True, f"{DATE}|first",
    )  # fmt: skip


def test_checks_without_a_partition_say_how_to_name_one(loaded: Platform) -> None:
    job = loaded.definitions.resolve_job_def("check_stored")
    keys = {dg.AssetCheckKey(dg.AssetKey(["silver", "prices"]), "high_is_highest")}
    chosen = job.get_subset(asset_selection=set(), asset_check_selection=keys)
    run = Run(chosen.execute_in_process(instance=loaded.instance, raise_on_error=False))
    assert not run.succeeded
    (failure,) = run.result.filter_events(lambda event: event.is_step_failure)
    assert "expected one as tag dagster/partition" in str(failure.step_failure_data.user_failure_data)
