"""The generated sample of all three institutions through the real definitions: nothing lost, nothing bent."""

from __future__ import annotations

import json
from dataclasses import dataclass

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_platform.ledger.records import Outcome, State
from etl_platform.sample.expected import Expected
from etl_platform.settings import Settings
from etl_platform.transforms.stored import checkable_rules
from etl_platform_tests.support.platform import DATE, Platform, Run

INSTITUTIONS = ("institution_a", "institution_b", "institution_c")
DATASETS = ("prices", "transactions")
EVERY = [(dataset, institution) for institution in INSTITUTIONS for dataset in DATASETS]


@dataclass(frozen=True)
class Loaded:
    platform: Platform
    expected: Expected
    runs: dict[str, Run]
    overview: Run


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, dagster_instance: dg.DagsterInstance) -> Loaded:
    platform = Platform(Settings(home=tmp_path_factory.mktemp("loaded")), dagster_instance)
    expected = platform.generate(rows=240)
    runs = {institution: platform.ingest(institution) for institution in INSTITUTIONS}
    return Loaded(platform, expected, runs, platform.overview())


def test_every_institution_goes_from_landing_to_gold(loaded: Loaded) -> None:
    assert {code: run.failures for code, run in loaded.runs.items()} == {code: {} for code in INSTITUTIONS}
    assert all(run.succeeded for run in loaded.runs.values()) and loaded.overview.succeeded
    assert not any(run.failed_checks for run in loaded.runs.values())


@pytest.mark.parametrize(("dataset", "institution"), EVERY)
def test_counts_are_those_that_were_seeded(loaded: Loaded, dataset: str, institution: str) -> None:
    expected = loaded.expected.partition(dataset, institution, DATE)
    account = loaded.platform.table("reconciliation", dataset, institution)
    columns = ("rows_read", "rows_silver", "rows_quarantined", "rows_duplicate")
    seeded = (expected.rows_read, expected.silver, expected.quarantined, expected.duplicates)

    assert tuple(int(account[name].sum()) for name in columns) == seeded
    assert loaded.platform.table("silver", dataset, institution).height == expected.silver
    assert sorted(account["_source_file"]) == sorted(expected.files)
    assert (expected.quarantined > 0, expected.duplicates > 0) == (True, True), "the sample seeds nothing to find"


@pytest.mark.parametrize(("dataset", "institution"), EVERY)
def test_quarantine_holds_exactly_the_seeded_rows_with_file_line_and_rules(
    loaded: Loaded, dataset: str, institution: str
) -> None:
    quarantine = loaded.platform.table("quarantine", dataset, institution)
    found = {
        (f, row, tuple(sorted(rules))) for f, row, rules in quarantine["_source_file", "_source_row", "rules"].rows()
    }
    expected = loaded.expected.partition(dataset, institution, DATE).refused_rows

    assert found == {(r.file, r.row, tuple(sorted(r.rules))) for r in expected}
    assert "" not in quarantine["reason"].to_list()
    assert quarantine["raw"].null_count() == 0


@pytest.mark.parametrize(("dataset", "institution"), EVERY)
def test_the_warehouse_holds_what_silver_holds(loaded: Loaded, dataset: str, institution: str) -> None:
    silver = loaded.platform.table("silver", dataset, institution)
    warehouse = loaded.platform.table("warehouse", dataset, institution)

    assert_frame_equal(warehouse, silver, check_row_order=False)


def test_the_overview_covers_all_institutions(loaded: Loaded) -> None:
    overview = loaded.platform.table("gold", "market_overview", None)
    bars = pl.concat(loaded.platform.table("gold", "daily_bars", code) for code in INSTITUTIONS)

    assert overview["volume"].sum() == bars["volume"].sum()
    assert overview["institutions"].max() == bars.group_by("symbol").len()["len"].max()
    assert_frame_equal(loaded.platform.table("warehouse", "market_overview", None), overview, check_row_order=False)


@pytest.mark.parametrize(("dataset", "institution"), EVERY)
def test_the_ledger_has_one_loaded_record_per_object_with_its_counts(
    loaded: Loaded, dataset: str, institution: str
) -> None:
    expected = loaded.expected.partition(dataset, institution, DATE)
    objects = loaded.platform.objects(dataset, institution)
    account = loaded.platform.table("reconciliation", dataset, institution).sort("_source_file")
    columns = ["_source_file", "rows_read", "rows_silver", "rows_quarantined", "rows_duplicate", "sha256"]

    assert sorted(o.key for o in objects) == sorted(expected.files)
    assert {o.state for o in objects} == {State.LOADED}
    found = [
        (o.key, o.rows_read, o.rows_silver, o.rows_quarantined, o.rows_duplicate, o.sha256)
        for o in sorted(objects, key=lambda o: o.key)
    ]
    assert found == account.select(columns).rows()


@pytest.mark.parametrize(("dataset", "institution"), EVERY)
def test_the_attempt_has_a_start_an_end_and_its_totals(loaded: Loaded, dataset: str, institution: str) -> None:
    attempt = loaded.platform.attempt(dataset, institution)
    expected = loaded.expected.partition(dataset, institution, DATE)

    assert attempt.outcome is Outcome.SUCCEEDED and attempt.run_id == loaded.runs[institution].result.run_id
    assert attempt.ended_at is not None and attempt.ended_at >= attempt.started_at and attempt.seconds is not None
    assert attempt.totals is not None
    assert (attempt.totals.rows_read, attempt.totals.rows_silver) == (expected.rows_read, expected.silver)
    rules = checkable_rules(loaded.platform.graph.contract_of(dataset, institution))
    assert attempt.totals.checks_failed == 0 and attempt.totals.checks_passed > len(rules)
    assert loaded.platform.ledger.open_attempts() == []


def test_every_materialization_says_rows_bytes_seconds_and_shows_a_preview(loaded: Loaded) -> None:
    run = loaded.runs["institution_a"]
    for asset in run.materialized:
        metadata = {name: value.value for name, value in run.metadata(asset).items()}
        layer, name = asset.split("/")
        rows = loaded.platform.table(layer, name, "institution_a").height
        assert metadata["dagster/partition_row_count"] == rows, asset
        assert metadata["seconds"] >= 0
        assert metadata["preview"].startswith("| "), f"{asset}: {rows} rows, preview {metadata['preview']!r}"
        assert [c.name for c in metadata["dagster/column_schema"].columns], asset
        if layer != "warehouse":
            assert metadata["bytes"] > 0, asset


def test_silver_says_what_became_of_the_rows_and_how_memory_was_used(loaded: Loaded) -> None:
    metadata = {n: v.value for n, v in loaded.runs["institution_b"].metadata("silver/prices").items()}
    expected = loaded.expected.partition("prices", "institution_b", DATE)

    assert metadata["rows_read"] == expected.rows_read
    assert metadata["rows_quarantined"] == expected.quarantined
    assert metadata["rows_duplicate"] == expected.duplicates
    assert metadata["rows_unexplained"] == 0
    assert metadata["files_read"] == len(expected.files)
    assert "in memory" in metadata["memory_strategy"]


def test_bars_come_with_a_candlestick_picture(loaded: Loaded) -> None:
    picture = loaded.runs["institution_c"].metadata("gold/daily_bars")["candlesticks"].value
    assert picture.startswith("![") and "data:image/svg+xml;base64," in picture


def test_column_lineage_leads_from_gold_to_silver(loaded: Loaded) -> None:
    specs = {spec.key.to_user_string(): spec for spec in loaded.platform.definitions.resolve_all_asset_specs()}
    lineage = specs["gold/daily_bars"].metadata["dagster/column_lineage"]
    dependency = lineage.deps_by_column["vwap"][0]

    assert dependency.asset_key == dg.AssetKey(["silver", "prices"])
    for name, spec in specs.items():
        found = spec.metadata.get("dagster/column_lineage")
        for column, sources in (found.deps_by_column if found else {}).items():
            assert column in {c.name for c in spec.metadata["dagster/column_schema"].columns}, name
            for source in sources:
                known = {
                    c.name for c in specs[source.asset_key.to_user_string()].metadata["dagster/column_schema"].columns
                }
                assert source.column_name in known, (name, column)


def test_running_again_gives_the_same_tables(loaded: Loaded) -> None:
    platform = loaded.platform
    tables = [(layer, d) for layer in ("silver", "quarantine", "reconciliation", "warehouse") for d in DATASETS]
    before = {key: platform.table(*key, "institution_a") for key in tables}
    manifest = platform.table("bronze", "prices", "institution_a")

    again = platform.ingest("institution_a")

    assert again.succeeded
    for key, frame in before.items():
        assert_frame_equal(
            platform.table(*key, "institution_a").drop("_processed_at"),
            frame.drop("_processed_at"),
            check_row_order=False,
        )
    assert_frame_equal(platform.table("bronze", "prices", "institution_a"), manifest)
    assert again.metadata("bronze/prices")["bytes_copied"].value == 0
    assert {o.state for o in platform.objects("prices", "institution_a")} == {State.LOADED}


def test_no_row_of_one_institution_is_in_anothers_tables(loaded: Loaded) -> None:
    for dataset, institution in EVERY:
        for layer in ("silver", "quarantine", "reconciliation", "warehouse", "bronze"):
            assert set(loaded.platform.table(layer, dataset, institution)["institution"]) == {institution}
    others = [p for p in (loaded.platform.settings.root / "lake").rglob("*") if p.is_file()]
    assert others and all("institution" in str(p) or "market_overview" in str(p) for p in others)


def test_expected_counts_lie_beside_the_landing_zone(loaded: Loaded) -> None:
    document = json.loads((loaded.platform.settings.root / "expected.json").read_text())
    listed = {(p["dataset"], p["institution"]) for p in document["partitions"]}
    assert listed >= set(EVERY)
