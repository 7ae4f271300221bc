"""The fingerprint of the rules: the same for the same rules, another one for every change that decides about a row."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.contract import Contract, ContractModel
from etl_platform.contracts.datasets.prices import PRICES
from etl_platform.contracts.rules import rule
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import Institution
from etl_platform.institutions.rule_version import as_text, fingerprint, rule_document

SENDER = Institution.model_validate({"code": "a", "name": "A", "datasets": {"prices": {}}})


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
    changes: list[dict[str, Any]] = [{}, {"key": ("symbol",)}, {"deduplicates": False}, {"by_occurrence": True}]
    changed = [replace(PRICES, **change) for change in changes]
    documents = [rule_document(contract, SENDER) for contract in changed]
    assert len({fingerprint(as_text(document)) for document in documents}) == 4


def judged_by(judge: Callable[[pl.Expr], pl.Expr]) -> str:
    """The version of a contract whose one rule is `judge`; all but the expression is the same for every `judge`."""

    class Things(ContractModel):
        """Things."""

        value: pl.Int64

        @rule("The value is as agreed.", "value")
        def value_is_good(cls) -> pl.Expr:
            return judge(pl.col("value"))

    contract = Contract.from_model("things", Things, key=("value",))
    return fingerprint(as_text(rule_document(contract, SENDER)))


def test_a_rule_that_judges_otherwise_under_the_same_name_and_sentence_is_another_version() -> None:
    judges: list[Callable[[pl.Expr], pl.Expr]] = [
        lambda v: v > 0, lambda v: v >= 0, lambda v: v > 1, lambda v: v.is_in([1, 2]), lambda v: v.is_in([1, 3]),
    ]  # fmt: skip
    versions = [judged_by(judge) for judge in judges]
    assert len(set(versions)) == len(judges)
    assert versions == [judged_by(judge) for judge in judges]


def test_the_code_of_a_function_inside_an_expression_is_no_part_of_it() -> None:
    functions: list[Callable[[pl.Series], pl.Series]] = [lambda s: s > 0, lambda s: s > 1]
    versions = {judged_by(lambda v, f=f: v.map_batches(f, return_dtype=pl.Boolean)) for f in functions}  # type: ignore[misc]
    assert len(versions) == 1


ALL_VERSIONS = """
from etl_platform.catalog.registry import built_in_contracts
from etl_platform.institutions.model import Institution
from etl_platform.institutions.rule_version import as_text, fingerprint, rule_document
sender = Institution.model_validate({"code": "a", "name": "A", "datasets": {"prices": {}}})
print({name: fingerprint(as_text(rule_document(c, sender))) for name, c in sorted(built_in_contracts().items())})
"""


def test_every_process_gives_the_same_contract_the_same_version() -> None:
    def elsewhere(seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", ALL_VERSIONS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    assert elsewhere("1") == elsewhere("2")
    assert len(built_in_contracts()) == elsewhere("3").count(":")
