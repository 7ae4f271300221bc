"""A delivery alone and the same among many: tables, facts, metadata, check results and records are the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from etl_platform.contracts.manifest import manifest_table
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.delivery import Delivery
from etl_platform.settings import Settings
from etl_platform_tests.execution.test_history import load_many, run_op
from etl_platform_tests.support.platform import DATE, Platform, open_instance

SENDER = "institution_a"
DAYS = [DATE + dt.timedelta(days=n) for n in range(3)]
TIMES = ("_processed_at", "received_at", "last_modified", "uri", "etag")
"""Columns that say when and where: no two platforms have the same."""
VOLATILE = {"seconds", "location", "dagster/uri", "bytes", "dagster/column_schema", "preview", "memory_strategy"}
"""Metadata that differs by rights: times and places; the schema, which the asset's definition has; the bytes of one
partition, which a warehouse cannot tell of a transaction over many; previews hold the times of rows."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Platform]]:
    """The same three dates of everything that a sender delivers: run by run, and in one run for each dataset."""
    folder = tmp_path_factory.mktemp("both")
    with open_instance(folder / "one") as one, open_instance(folder / "other") as other:
        alone, many = Platform(Settings(home=folder / "a"), one), Platform(Settings(home=folder / "b"), other)
        for platform in (alone, many):
            platform.generate(days=len(DAYS), rows=60, defect_share=0.03)
        for day in DAYS:
            assert alone.ingest(SENDER, day).succeeded
            assert alone.overview(day).succeeded
        for dataset in datasets(many):
            assert load_many(many, SENDER, dataset, DAYS).succeeded
        dates = {"dates": [day.isoformat() for day in DAYS]}
        assert run_op(many, "overview_many", "overview_dates", dates).succeeded
        yield alone, many


def datasets(platform: Platform) -> list[str]:
    # Accounts before transactions: what refers to them is compared with what is loaded.
    return sorted(platform.graph.institutions[SENDER].datasets)


def tables(platform: Platform) -> Iterator[tuple[str, Table]]:
    for dataset in datasets(platform):
        for table in (manifest_table(dataset), quarantine_table(dataset), reconciliation_table(dataset)):
            yield table.layer, table
        yield "silver", platform.graph.contracts[dataset].silver
        yield "warehouse", platform.graph.contracts[dataset].silver
    for gold in platform.graph.gold:
        if gold.is_shared or platform.graph.gold.dataset_of(gold.table) in datasets(platform):
            yield "gold", gold.table
            yield "warehouse", gold.table


def assets(platform: Platform) -> Iterator[tuple[dg.AssetKey, str]]:
    for layer, table in tables(platform):
        for day in DAYS:
            yield dg.AssetKey([layer, table.name]), str(PartitionKey(day, None if table.shared else SENDER))


def test_the_tables_hold_the_same(both: tuple[Platform, Platform]) -> None:
    compared = 0
    for layer, table in tables(both[0]):
        for day in DAYS:
            code = None if table.shared else SENDER
            one, other = (found.table(layer, table.name, code, day).drop(TIMES, strict=False) for found in both)
            order = [name for name, kind in one.schema.items() if not isinstance(kind, pl.List)]
            assert one.sort(order).equals(other.sort(order)), (layer, table.name, day)
            compared += one.height
    assert compared > 1_000


def test_the_metadata_of_every_materialization_is_the_same(both: tuple[Platform, Platform]) -> None:
    for asset, partition in assets(both[0]):
        one, other = (materialized(found, asset, partition) for found in both)
        assert one.keys() - VOLATILE == other.keys() - VOLATILE, (asset, partition)
        assert one.keys() - other.keys() <= {"dagster/column_schema", "bytes"}, (asset, partition)
        for name in one.keys() - VOLATILE:
            assert one[name] == other[name], (asset, partition, name)


def test_every_check_says_the_same(both: tuple[Platform, Platform]) -> None:
    graph = both[0].definitions.resolve_asset_graph()
    compared = 0
    for asset, partition in assets(both[0]):
        for key in graph.asset_check_keys:
            if key.asset_key == asset:
                one, other = (evaluated(found, key, partition) for found in both)
                assert one == other, (key, partition)
                compared += 1
    assert compared > 200


def test_the_ledger_has_the_same_on_record(both: tuple[Platform, Platform]) -> None:
    for dataset in datasets(both[0]):
        for day in DAYS:
            one, other = (found.attempt(dataset, SENDER, day) for found in both)
            assert (one.outcome, one.totals, one.error) == (other.outcome, other.totals, other.error)
            delivery = Delivery(dataset, day, SENDER)
            for read in (objects, schemas, profiles, versions):
                assert read(both[0], delivery) == read(both[1], delivery), (read.__name__, delivery)


def objects(platform: Platform, delivery: Delivery) -> list[Any]:
    found = platform.ledger.objects(partition=delivery)
    return [(o.key, o.state, o.sha256, o.rows_read, o.rows_silver, o.rows_quarantined, o.is_published) for o in found]


def schemas(platform: Platform, delivery: Delivery) -> list[Any]:
    found = platform.ledger.schemas(delivery)
    return [(s.key, s.sha256, s.delivery, s.policy, s.columns, s.differences, s.is_baseline) for s in found]


def profiles(platform: Platform, delivery: Delivery) -> list[Any]:
    after = replace(delivery, business_date=delivery.business_date + dt.timedelta(days=1))
    return [*platform.ledger.earlier_profiles(after, 10)]


def versions(platform: Platform, delivery: Delivery) -> str | None:
    return platform.ledger.rule_version(delivery)


def materialized(platform: Platform, asset: dg.AssetKey, partition: str) -> Mapping[str, Any]:
    wanted = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[partition])
    (found,) = platform.instance.fetch_materializations(wanted, limit=1).records
    made = found.asset_materialization
    assert made is not None
    return {name: value.value for name, value in made.metadata.items()}


def evaluated(platform: Platform, key: dg.AssetCheckKey, partition: str) -> Any:
    storage = platform.instance.event_log_storage
    records = storage.get_asset_check_execution_history(key, limit=100)
    for record in records:
        found = record.event.asset_check_evaluation if record.event else None
        if found is not None and found.partition == partition:
            metadata = {name: value.value for name, value in found.metadata.items() if name != "sample"}
            target = found.target_materialization_data is not None
            return found.passed, found.severity, found.description, found.blocking, metadata, target
    return None


def test_nothing_is_left_over(both: tuple[Platform, Platform], tmp_path: Path) -> None:
    for platform in both:
        assert platform.ledger.pending_partitions(10) == [] and platform.ledger.writes() == []
