"""What people ask for again."""

from __future__ import annotations

import datetime as dt

import pytest

from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import begin, check, is_pending, row
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")


def test_a_replay_during_a_run_is_not_lost_when_the_run_ends(ledger: Ledger) -> None:
    begin(ledger, A)
    assert ledger.request_replay(dataset="prices", now=after(1)) == 1
    assert ledger.mark_loaded("run", [result_of(A)], now=after(2)) == 0
    check(ledger, at=2)
    assert (row(ledger).state, row(ledger).attempt) == (State.SEEN, 2)
    assert is_pending(ledger)


def test_a_replay_lets_all_current_objects_wait_again_but_no_replaced_one(ledger: Ledger) -> None:
    begin(ledger, landing_object("a.csv", etag="old"), B, landing_object("c.csv"))
    ledger.record_unrouted([(landing_object("stray.csv", partition=None), "?")], now=NOW)
    ledger.mark_loaded("run", [result_of(B)], now=NOW)
    ledger.record_seen([landing_object("a.csv", etag="new", modified=after(1))], now=NOW)
    ledger.mark_failed("run", PARTITION, "broken", now=NOW)
    assert ledger.request_replay(institution="institution_a", business_date=DATE, now=after(9)) == 3
    found = {(r.key.removeprefix("landing/"), r.identity): (r.state, r.attempt) for r in ledger.objects()}
    assert found == {
        ("a.csv", "old"): (State.SUPERSEDED, 1),
        ("a.csv", "new"): (State.SEEN, 2),
        ("b.csv", "one"): (State.SEEN, 2),
        ("c.csv", "one"): (State.SEEN, 2),
        ("stray.csv", "one"): (State.UNROUTED, 1),
    }


def test_a_replay_of_what_waits_for_a_service_does_not_wait_for_it(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_waiting("run", PARTITION, "lake", "away", now=NOW)
    assert not is_pending(ledger)
    assert ledger.request_replay(dataset="prices", now=after(1)) == 1
    assert ledger.troubles() == []
    assert (is_pending(ledger), row(ledger).reason) == (True, None)


def test_a_replay_reaches_only_what_it_names(ledger: Ledger) -> None:
    partitions = [
        Delivery(dataset, date, institution)
        for dataset in ("prices", "accounts")
        for date in (DATE, DATE + dt.timedelta(days=1))
        for institution in ("institution_a", "institution_b")
    ]
    ledger.record_seen([landing_object(f"{p}.csv", partition=p) for p in partitions], now=NOW)
    assert ledger.request_replay(dataset="prices", business_date=DATE, institution="institution_b", now=NOW) == 1
    assert ledger.request_replay(dataset="accounts", business_date=DATE, now=NOW) == 2
    assert ledger.request_replay(institution="institution_a", now=NOW) == 4
    assert ledger.request_replay(institution="nobody", now=NOW) == 0


def test_a_replay_of_everything_has_to_be_named(ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="expected at least one of them"):
        ledger.request_replay(now=NOW)
