"""Declared datasets have the same assets, checks and tables as those written in Python."""

from __future__ import annotations

import dagster as dg
import pytest

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.declared.compiled import TAKEN_RULES
from etl_platform.contracts.quarantine import SUPERSEDED_RULE
from etl_platform.defs.assemble import build_defs, build_graph
from etl_platform.defs.launching import dataset_assets
from etl_platform.settings import Settings
from etl_platform.transforms.stored import checkable_rules


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_defs(Settings())


def checks_of(definitions: dg.Definitions, dataset: str) -> dict[str, bool]:
    """Check -> whether it blocks."""
    graph = definitions.resolve_asset_graph()
    keys = [key for key in graph.asset_check_keys if key.asset_key == dg.AssetKey(["silver", dataset])]
    return {key.name: graph.get(key).blocking for key in keys}


@pytest.mark.parametrize("dataset", ["orders", "employees"])
def test_a_declared_dataset_has_every_asset_with_its_schema(definitions: dg.Definitions, dataset: str) -> None:
    layers = ("bronze", "silver", "quarantine", "reconciliation", "warehouse")
    graph = definitions.resolve_asset_graph()
    assert {dg.AssetKey([layer, dataset]) for layer in layers} <= graph.get_all_asset_keys()
    schema = graph.get(dg.AssetKey(["warehouse", dataset])).metadata["dagster/column_schema"]
    named = {column.name: column.description for column in schema.columns}
    for column in built_in_contracts()[dataset].columns:
        assert named[column.name] == column.description


@pytest.mark.parametrize("dataset", ["orders", "employees"])
def test_every_declared_rule_is_a_blocking_check(definitions: dg.Definitions, dataset: str) -> None:
    checks = checks_of(definitions, dataset)
    rules = {rule.name for rule in checkable_rules(built_in_contracts()[dataset])}
    assert rules and all(checks[name] for name in rules)


def test_no_rule_can_take_the_name_of_a_check_that_every_dataset_has(definitions: dg.Definitions) -> None:
    rules = {rule.name for rule in checkable_rules(built_in_contracts()["orders"])}
    assert set(checks_of(definitions, "orders")) - rules <= TAKEN_RULES
    assert SUPERSEDED_RULE in TAKEN_RULES


def test_daily_sales_follow_orders_into_lake_and_warehouse() -> None:
    keys = dataset_assets(["orders"], build_graph(Settings()))
    assert {dg.AssetKey(["gold", "daily_sales"]), dg.AssetKey(["warehouse", "daily_sales"])} <= set(keys)
