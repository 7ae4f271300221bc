"""The fingerprint of the rules: the same for the same rules, another one for every change that decides about a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from etl_platform.contracts.prices import PRICES
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import Institution
from etl_platform.institutions.rule_version import as_text, fingerprint, rule_document


def version(**config: Any) -> str:
    sender = Institution.model_validate({"code": "a", "name": "A", "datasets": {"prices": config}})
    return fingerprint(as_text(rule_document(bind_contract(PRICES, sender), sender)))


def test_the_same_rules_have_the_same_name() -> None:
    assert version() == version() == version(key_pattern="{institution}/{dataset}/{date:%Y%m%d}/...")


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": {"symbol_pattern": "^X$"}},
        {"numbers": {"decimal": ","}},
        {"times": {"time_zone": "Europe/Zurich"}},
        {"columns": {"Kurs": "open"}},
    ],
)
def test_a_change_of_configuration_is_another_version(change: dict[str, Any]) -> None:
    assert version(**change) != version()


def test_a_change_of_the_contract_is_another_version() -> None:
    sender = Institution.model_validate({"code": "a", "name": "A", "datasets": {"prices": {}}})
    documents = [rule_document(contract, sender) for contract in (PRICES, replace(PRICES, key=("symbol",)))]
    assert len({fingerprint(as_text(document)) for document in documents}) == 2
