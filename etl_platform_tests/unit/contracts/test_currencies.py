"""A currency code counts on the days on which it was in use, or as an institution's file says."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.datasets.currencies import VALIDITY, active_on, is_active
from etl_platform.contracts.table import BUSINESS_DATE
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.loader import bind_contract
from etl_platform.institutions.model import Institution
from etl_platform.transforms.validate import find_failures, validate
from etl_platform_tests.support.rows import frame_of


def in_use(code: str | None, day: str, further: Any = None) -> bool:
    frame = pl.DataFrame({"currency": [code], BUSINESS_DATE: [dt.date.fromisoformat(day)]})
    return bool(frame.select(is_active(further or {})).item())


@pytest.mark.parametrize(
    ("code", "day", "expected"),
    [
        ("EUR", "2025-01-15", True), ("EUR", "1998-12-31", False), ("BGN", "2025-12-31", True),
        ("BGN", "2026-02-15", False), ("ANG", "2025-03-31", True), ("ANG", "2025-07-01", False),
        ("XCG", "2025-03-30", False), ("XCG", "2025-03-31", True), ("HRK", "2022-12-31", True),
        ("HRK", "2023-02-01", False), ("LTL", "2014-12-31", True), ("DEM", "2001-12-31", True),
        ("MRO", "2017-12-31", True), ("MRO", "2025-01-15", False), ("VES", "2018-08-20", True),
        ("XAU", "1990-01-01", True), ("CHW", "2025-01-15", True), ("SVC", "2025-01-15", True),
        ("XXX", "2025-01-15", False), ("XTS", "2025-01-15", False), ("XXY", "2025-01-15", False),
        ("eur", "2025-01-15", False), (" EUR", "2025-01-15", False), ("", "2025-01-15", False),
        (None, "2025-01-15", True),
    ],
)  # fmt: skip
def test_a_code_counts_while_it_was_in_use(code: str | None, day: str, expected: bool) -> None:
    assert in_use(code, day) is expected


def test_rows_of_many_dates_are_judged_each_by_its_own() -> None:
    dates = [dt.date(2025, 12, 31), dt.date(2026, 2, 15), dt.date(2025, 1, 15)]
    frame = pl.DataFrame({"currency": ["BGN", "BGN", "USD"], BUSINESS_DATE: dates})
    assert frame.select(is_active({})).to_series().to_list() == [True, False, True]
    assert frame.clear().select(is_active({})).height == 0


def test_todays_codes_are_those_of_the_published_list() -> None:
    today = active_on(dt.date(2026, 3, 1))
    assert {"EUR", "USD", "XCG", "SLE", "VED", "VES", "ZWG", "XDR", "XSU", "USN", "UYW"} <= set(today)
    assert not {"BGN", "ANG", "CUC", "SLL", "ZWL", "HRK", "XXX", "XTS", "CNH"} & set(today)
    assert len(today) == 171


def sender(**currencies: Any) -> Institution:
    config = {"code": "acme", "name": "Acme", "currencies": currencies, "datasets": {d: {} for d in DATASETS}}
    return Institution.model_validate(config)


DATASETS = ("accounts", "products")


@pytest.mark.parametrize("dataset", DATASETS)
def test_an_institution_may_have_codes_and_dates_of_its_own(dataset: str) -> None:
    institution = sender(USDT={}, HRK={"last": "2025-06-30"}, EUR={"first": "2025-02-01"})
    contract = bind_contract(BUILT_IN[dataset], institution)
    for code, is_good in (("USDT", True), ("HRK", True), ("EUR", False), ("USD", True), ("XXY", False)):
        frame = frame_of(dataset, currency=code)
        for failures in (find_failures(frame, contract), validate(frame, contract)):
            assert ("currency_is_iso_4217" in failures["rule"].to_list()) is not is_good, code
    assert frame_of(dataset, currency="USDT").pipe(find_failures, BUILT_IN[dataset])["rule"].to_list() == [
        "currency_is_iso_4217"
    ]


def test_datasets_without_currency_take_no_notice() -> None:
    institution = Institution.model_validate(
        {"code": "acme", "name": "Acme", "currencies": {"USDT": {}}, "datasets": {"prices": {}}}
    )
    assert "currencies" not in bind_contract(BUILT_IN["prices"], institution).parameters


@pytest.mark.parametrize(
    ("currencies", "message"),
    [
        ({"usdt": {}}, "pattern"),
        ({"USDT": {"first": "2025-02-01", "last": "2025-01-01"}}, "expected the first day first"),
        ({"USDT": {"until": "2025-01-01"}}, "until"),
    ],
)
def test_a_wrong_currency_of_an_institution_is_named(currencies: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sender(**currencies)
    with pytest.raises(ConfigurationError, match=r"currency USDT.*expected first and last day"):
        is_active({"USDT": ["soon", None]})


def test_the_table_is_the_one_of_babel() -> None:
    pytest.importorskip("babel", reason="the table's source is in the extra `dev`")
    from etl_platform_tests.support.currency_table import validity

    assert dict(VALIDITY) == validity(), "run `python -m etl_platform_tests.support.currency_table` and compare"
