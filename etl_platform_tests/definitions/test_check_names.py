"""Every check has its name from a rule of its contract, or from the one list of names that no rule may take."""

from __future__ import annotations

from etl_platform.contracts.check_names import CHECK_NAMES
from etl_platform_tests.support.platform import Platform, dagster_instance, platform

__all__ = ["dagster_instance", "platform"]


def test_every_check_is_a_rule_or_one_of_the_list_and_none_of_the_list_is_unused(platform: Platform) -> None:
    keys = platform.definitions.resolve_asset_graph().asset_check_keys
    contracts = {("silver", name): contract for name, contract in platform.graph.contracts.items()}
    contracts |= {("gold", name): contract for name, contract in platform.graph.gold.contracts.items()}
    unruled = set()
    for key in keys:
        layer, name = key.asset_key.path
        if key.name not in {rule.name for rule in contracts[layer, name].rules}:
            unruled.add(key.name)
    assert unruled == CHECK_NAMES


def test_no_rule_takes_the_name_of_a_check(platform: Platform) -> None:
    for contract in (*platform.graph.contracts.values(), *platform.graph.gold.contracts.values()):
        assert not {rule.name for rule in contract.rules} & CHECK_NAMES
