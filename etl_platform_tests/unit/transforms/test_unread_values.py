"""A value that did not read is not a missing one: rules about missing values keep silent about it."""

from __future__ import annotations

import polars as pl
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.rules import type_rule
from etl_platform.transforms.failures import failures_of, fold
from etl_platform.transforms.validate import validate
from etl_platform_tests.support.rows import frame_of


@pytest.mark.parametrize(
    ("dataset", "column", "changes"),
    [
        ("accounts", "closed_date", {"status": "closed", "balance": 0}),
        ("products", "maturity_date", {"status": "matured"}),
        ("technical_indicators", "bollinger_upper", {}),
    ],
)
def test_a_rule_about_a_missing_value_says_nothing_where_the_value_did_not_read(
    dataset: str, column: str, changes: dict[str, object]
) -> None:
    contract = BUILT_IN[dataset]
    missing = validate(frame_of(dataset, **changes, **{column: None}), contract)
    unread = failures_of(pl.Series([True]), type_rule(column), column, pl.Series(["n/a"]))
    assert fold(missing, contract)["rules"].to_list()[0], "the rule is one about a missing value"
    assert fold(pl.concat([unread, missing]), contract)["rules"].to_list() == [[type_rule(column)]]


def test_other_findings_of_the_row_stay() -> None:
    contract = BUILT_IN["accounts"]
    broken = validate(frame_of("accounts", status="closed", balance=1, currency="X", closed_date=None), contract)
    unread = failures_of(pl.Series([True]), "closed_date_is_typed", "closed_date", pl.Series(["n/a"]))
    assert fold(pl.concat([unread, broken]), contract)["rules"].to_list() == [
        ["closed_date_is_typed", "currency_is_iso_4217", "closed_account_has_no_balance"]
    ]


def test_a_required_value_that_did_not_read_hides_no_finding_about_the_others() -> None:
    contract = BUILT_IN["products"]
    broken = validate(frame_of("products", issue_date=None, status="matured", maturity_date=None), contract)
    unread = failures_of(pl.Series([True]), "issue_date_is_typed", "issue_date", pl.Series(["n/a"]))
    assert fold(pl.concat([unread, broken]), contract)["rules"].to_list() == [
        ["issue_date_is_typed", "matured_product_has_reached_maturity"]
    ]
