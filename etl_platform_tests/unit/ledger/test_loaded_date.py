"""The latest loaded business date of a dataset, without listing keys."""

from __future__ import annotations

import datetime as dt

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform_tests.support.landing_objects import DATE, NOW, landing_object, result_of
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401


def accounts(days: int, institution: str = "institution_a", dataset: str = "accounts") -> Delivery:
    return Delivery(dataset, DATE + dt.timedelta(days=days), institution)


def deliver(ledger: Ledger, partition: Delivery, *, load: bool = True) -> None:
    found = landing_object(f"{partition}.csv", partition=partition)
    ledger.record_seen([found], now=NOW)
    if load:
        ledger.start_attempts(str(partition), [partition], now=NOW)
        assert ledger.mark_loaded(str(partition), [result_of(found)], now=NOW) == 1


def test_it_is_the_last_one_on_or_before_the_date(ledger: Ledger) -> None:
    for days in (-400, -3, 0, 2):
        deliver(ledger, accounts(days))
    dates = {days: ledger.latest_loaded_date(accounts(days)) for days in (-401, -400, -4, -3, -1, 0, 1, 2, 9)}
    expected = {-401: None, -400: -400, -4: -400, -3: -3, -1: -3, 0: 0, 1: 0, 2: 2, 9: 2}
    assert dates == {
        asked: None if days is None else DATE + dt.timedelta(days=days) for asked, days in expected.items()
    }


def test_what_is_not_loaded_or_anothers_does_not_count(ledger: Ledger) -> None:
    deliver(ledger, accounts(-2, institution="institution_b"))
    deliver(ledger, accounts(-2, dataset="prices"))
    deliver(ledger, accounts(-1), load=False)
    assert ledger.latest_loaded_date(accounts(0)) is None
