"""Every rule of the newer datasets: a row just inside passes, a row just outside breaks that rule and no other."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.datasets.accounts import ACCOUNT_TYPES, LIVE, RISK_CLASSES
from etl_platform.contracts.datasets.anomalies import KINDS, SEVERITIES
from etl_platform.contracts.datasets.products import PRODUCT_TYPES, STATUSES
from etl_platform.contracts.datasets.technical_indicators import BANDS, INDICATORS
from etl_platform.contracts.ddl import create_statements
from etl_platform.contracts.rules import presence_rule
from etl_platform.transforms.validate import validate
from etl_platform_tests.support.rows import DATE, GOOD, PROCESSED, broken_by, frame_of

DAY = dt.timedelta(days=1)
TICK = dt.timedelta(microseconds=1)
MIDNIGHT = dt.datetime(2025, 1, 15, tzinfo=dt.UTC)
EARLIEST, LATEST = MIDNIGHT - dt.timedelta(hours=12), PROCESSED + dt.timedelta(minutes=5)

Changes = dict[str, Any]


def up(value: float) -> float:
    return math.nextafter(value, math.inf)


def bands(*values: float | None) -> Changes:
    return dict(zip(BANDS, values, strict=True))


def closed(on: dt.date | None, **changes: Any) -> Changes:
    return {"status": "closed", "closed_date": on, "balance": Decimal(0), **changes}


# dataset, rule -> (passes, breaks)
TIMES: dict[str, tuple[Changes, Changes]] = {
    "timestamp_is_in_business_date": ({"timestamp": EARLIEST}, {"timestamp": EARLIEST - TICK}),
    "timestamp_is_not_in_future": ({"timestamp": LATEST}, {"timestamp": LATEST + TICK}),
    "symbol_is_well_formed": ({"symbol": "GOOGL"}, {"symbol": "GOOGLE"}),
}
CASES: dict[str, dict[str, tuple[Changes, Changes]]] = {
    "technical_indicators": {
        **TIMES,
        "rsi_is_in_range": ({"rsi": 100.0}, {"rsi": up(100)}),
        "macd_is_in_range": ({"macd": 1e7, "macd_signal": None}, {"macd": up(1e7), "macd_signal": None}),
        "macd_signal_is_in_range": ({"macd": None, "macd_signal": -1e7}, {"macd": None, "macd_signal": -up(1e7)}),
        "macd_histogram_is_in_range": (
            {"macd": None, "macd_histogram": 1e7}, {"macd": None, "macd_histogram": up(1e7)},
        ),
        "macd_histogram_is_difference": (
            {"macd": 0.0, "macd_signal": 0.0, "macd_histogram": 0.001},
            {"macd": 0.0, "macd_signal": 0.0, "macd_histogram": up(0.001)},
        ),
        "sma_20_is_in_range": ({"sma_20": up(0)}, {"sma_20": 0.0}),
        "sma_50_is_in_range": ({"sma_50": 1e7}, {"sma_50": up(1e7)}),
        "ema_12_is_in_range": ({"ema_12": up(0)}, {"ema_12": 0.0}),
        "ema_26_is_in_range": ({"ema_26": 1e7}, {"ema_26": up(1e7)}),
        "bollinger_lower_is_in_range": (bands(-1e7, 1, 2), bands(-up(1e7), 1, 2)),
        "bollinger_middle_is_in_range": (bands(-1, up(0), 2), bands(-1, 0, 2)),
        "bollinger_upper_is_in_range": (bands(1, 2, 1e7), bands(1, 2, up(1e7))),
        "bollinger_bands_are_in_order": (bands(2, 2, 2), bands(up(2), 2, 3)),
        "bollinger_bands_are_complete": (bands(None, None, None), bands(None, 2, 3)),
        "row_holds_an_indicator": (dict.fromkeys(INDICATORS[1:]), dict.fromkeys(INDICATORS)),
    },
    "anomalies": {
        **TIMES,
        "kind_is_known": ({"kind": KINDS[-1]}, {"kind": "Price_spike"}),
        "score_is_in_range": ({"score": 0.0}, {"score": -5e-324}),
        "severity_is_known": ({"severity": SEVERITIES[-1]}, {"severity": "severe"}),
        "observed_value_is_in_range": ({"observed_value": 1e15}, {"observed_value": up(1e15)}),
        "expected_value_is_in_range": ({"expected_value": -1e15}, {"expected_value": -up(1e15)}),
    },
    "accounts": {
        "account_id_is_well_formed": ({"account_id": "A" * 34}, {"account_id": "A" * 35}),
        "customer_id_is_not_empty": ({"customer_id": "0"}, {"customer_id": ""}),
        "customer_id_is_visible": ({"customer_id": "0 1"}, {"customer_id": " 0"}),
        "account_type_is_known": ({"account_type": ACCOUNT_TYPES[-1]}, {"account_type": "current account"}),
        "status_is_known": ({"status": LIVE[-1]}, {"status": "OPEN"}),
        "currency_is_iso_4217": ({"currency": "XAU"}, {"currency": "chf"}),
        "risk_class_is_known": ({"risk_class": RISK_CLASSES[-1]}, {"risk_class": "3"}),
        "opened_date_is_not_after_business_date": ({"opened_date": DATE}, {"opened_date": DATE + DAY}),
        "closed_date_is_not_after_business_date": (closed(DATE), closed(DATE + DAY)),
        "closed_date_is_not_before_opened_date": (
            closed(GOOD["accounts"]["opened_date"]), closed(GOOD["accounts"]["opened_date"] - DAY),
        ),
        "closed_account_has_closed_date": (closed(DATE), closed(None)),
        "live_account_has_no_closed_date": ({"status": "frozen"}, {"status": "frozen", "closed_date": DATE}),
        "closed_account_has_no_balance": (closed(DATE), closed(DATE, balance=Decimal("-0.0001"))),
    },
    "products": {
        "product_id_is_well_formed": ({"product_id": "p_1-X"}, {"product_id": "p/1"}),
        "name_is_not_empty": ({"name": "."}, {"name": ""}),
        "product_type_is_known": ({"product_type": PRODUCT_TYPES[-1]}, {"product_type": "stock"}),
        "currency_is_iso_4217": ({"currency": "JPY"}, {"currency": "YEN"}),
        "status_is_known": ({"status": STATUSES[-1]}, {"status": "live"}),
        "risk_class_is_in_range": ({"risk_class": 7}, {"risk_class": 8}),
        "maturity_is_after_issue": (
            {"issue_date": DATE - DAY, "maturity_date": DATE}, {"issue_date": DATE, "maturity_date": DATE},
        ),
        "issue_is_not_after_business_date": ({"issue_date": DATE}, {"issue_date": DATE + DAY}),
        "matured_product_has_reached_maturity": (
            {"status": "matured", "maturity_date": DATE}, {"status": "matured", "maturity_date": DATE + DAY},
        ),
        "isin_is_well_formed": ({"isin": "AU0000XVGZA3"}, {"isin": "US037833100"}),
        "isin_check_digit_is_right": ({"isin": "CH0038863350"}, {"isin": "US0378331006"}),
        "price_is_positive": ({"price": Decimal("0.00000001")}, {"price": Decimal(0)}),
    },
}  # fmt: skip
EACH = [(dataset, rule) for dataset, rules in CASES.items() for rule in rules]

# The other side of rules with two sides, and what only some rows must have: dataset, changes, rules broken.
MORE: list[tuple[str, Changes, set[str]]] = [
    ("technical_indicators", {"rsi": 0.0}, set()),
    ("technical_indicators", {"rsi": -5e-324}, {"rsi_is_in_range"}),
    ("technical_indicators", bands(1, 3, 2), {"bollinger_bands_are_in_order"}),
    ("technical_indicators", bands(1, None, 2), {"bollinger_bands_are_complete"}),
    ("anomalies", {"score": 1.0}, set()),
    ("anomalies", {"score": up(1)}, {"score_is_in_range"}),
    ("anomalies", {"observed_value": -1.0, "expected_value": 0.0}, set()),
    ("accounts", {"account_id": ""}, {"account_id_is_well_formed"}),
    ("accounts", {"customer_id": " \t"}, {"customer_id_is_not_empty", "customer_id_is_visible"}),
    ("accounts", {"balance": Decimal("-99999999999999.9999")}, set()),
    ("accounts", {"status": "dormant", "closed_date": DATE}, {"live_account_has_no_closed_date"}),
    ("products", {"risk_class": 1}, set()),
    ("products", {"risk_class": 0}, {"risk_class_is_in_range"}),
    ("products", {"status": "announced", "issue_date": DATE + DAY}, set()),
    ("products", {"status": "matured", "maturity_date": None}, {"matured_product_has_reached_maturity"}),
    ("products", {"maturity_date": None, "isin": None, "price": None}, set()),
    ("products", {"isin": "us0378331005"}, {"isin_is_well_formed"}),
    ("products", {"isin": "US0378331005\n"}, {"isin_is_well_formed"}),
]


@pytest.mark.parametrize("dataset", GOOD)
def test_the_good_row_is_good_and_every_rule_has_a_case(dataset: str) -> None:
    assert broken_by(dataset) == set()
    assert set(CASES[dataset]) == {rule.name for rule in BUILT_IN[dataset].row_rules}


@pytest.mark.parametrize(("dataset", "rule"), EACH)
def test_a_row_just_inside_the_rule_passes(dataset: str, rule: str) -> None:
    assert broken_by(dataset, **CASES[dataset][rule][0]) == set()


@pytest.mark.parametrize(("dataset", "rule"), EACH)
def test_a_row_just_outside_breaks_that_rule_alone(dataset: str, rule: str) -> None:
    assert broken_by(dataset, **CASES[dataset][rule][1]) == {rule}


@pytest.mark.parametrize(("dataset", "changes", "rules"), MORE)
def test_the_other_side_of_a_rule(dataset: str, changes: Changes, rules: set[str]) -> None:
    assert broken_by(dataset, **changes) == rules


REQUIRED = [(dataset, c.name) for dataset in GOOD for c in BUILT_IN[dataset].columns if not c.nullable]


@pytest.mark.parametrize(("dataset", "column"), REQUIRED)
def test_a_missing_required_value_breaks_its_presence_rule_and_no_other(dataset: str, column: str) -> None:
    assert broken_by(dataset, **{column: None}) == {presence_rule(column)}


FLOATS = [(dataset, c.name) for dataset in GOOD for c in BUILT_IN[dataset].columns if c.dtype == pl.Float64()]


@pytest.mark.parametrize(("dataset", "column"), FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_stored_number_is_infinite_or_not_a_number(dataset: str, column: str, value: float) -> None:
    assert f"{column}_is_in_range" in broken_by(dataset, **{column: value})
    assert f"{column}_is_in_range" in broken_by(dataset, **{**dict.fromkeys(optional(dataset)), column: value})


def optional(dataset: str) -> list[str]:
    return [c.name for c in BUILT_IN[dataset].columns if c.nullable]


def test_an_institution_may_set_how_exact_its_histogram_is() -> None:
    rough = frame_of("technical_indicators", macd_histogram=0.8)
    contract = BUILT_IN["technical_indicators"]
    assert set(validate(rough, contract)["rule"]) == {"macd_histogram_is_difference"}
    assert validate(rough, contract.bind({"histogram_tolerance": 0.06})).is_empty()


@pytest.mark.parametrize("dataset", GOOD)
@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "snowflake"])
def test_every_dataset_has_a_table_on_every_target(dataset: str, dialect: Any) -> None:
    (create, *_) = create_statements(BUILT_IN[dataset].silver, "first", dialect)
    for column in BUILT_IN[dataset].silver.columns:
        assert f'"{column.name.upper() if dialect == "snowflake" else column.name}" ' in create
