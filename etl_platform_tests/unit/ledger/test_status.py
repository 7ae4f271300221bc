"""What people can ask the ledger."""

from __future__ import annotations

import datetime as dt

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, Outcome, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import begin, check, publish, succeed
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

OTHER = Delivery("accounts", DATE + dt.timedelta(days=1), "institution_b")
A, B, C = landing_object("a.csv"), landing_object("b.csv"), landing_object("c.csv", partition=OTHER)


def fill(ledger: Ledger) -> None:
    ledger.record_seen([A, B, C], now=NOW)
    ledger.start_attempts("first", [PARTITION], now=NOW)
    ledger.mark_failed("first", PARTITION, "bad", now=after(1))
    ledger.start_attempts("second", [PARTITION], now=after(2))
    ledger.mark_loaded(
        "second", [result_of(A, rows_read=5, rows_silver=3, rows_quarantined=1, rows_duplicate=1)], now=NOW
    )
    ledger.mark_refused("second", [result_of(B, rows_read=100, reason="empty")], now=NOW)
    check(ledger, run_id="second", totals=AttemptTotals(checks_passed=2), at=3)
    assert publish(ledger, run_id="second", at=4)


def test_the_matrix_counts_objects_by_state_and_rows_of_the_loaded_ones(ledger: Ledger) -> None:
    fill(ledger)
    cells = ledger.status_matrix(
        [DATE, OTHER.business_date], ["institution_a", "institution_b"], ["prices", "accounts"]
    )
    assert set(cells) == {PARTITION, OTHER}
    cell = cells[PARTITION]
    assert cell.objects == {State.LOADED: 1, State.REFUSED: 1}
    assert (cell.rows_read, cell.rows_silver, cell.rows_quarantined, cell.rows_duplicate) == (5, 3, 1, 1)
    assert cell.last_recorded_at == NOW
    assert cells[OTHER].objects == {State.SEEN: 1}
    assert cells[OTHER].latest_attempt is None


def test_the_matrix_shows_the_latest_attempt(ledger: Ledger) -> None:
    fill(ledger)
    attempt = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION].latest_attempt
    assert attempt is not None
    assert (attempt.run_id, attempt.outcome, attempt.error) == ("second", Outcome.SUCCEEDED, None)


def test_a_failed_attempt_hides_nothing_of_what_is_published(ledger: Ledger) -> None:
    succeed(ledger, A, run_id="first")
    begin(ledger, B, run_id="second", at=5)
    assert ledger.mark_failed("second", PARTITION, "no memory", now=after(6))
    cell = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION]
    assert cell.published is not None and cell.latest_attempt is not None
    assert (cell.published.run_id, cell.latest_attempt.run_id) == ("first", "second")
    assert (cell.latest_attempt.outcome, cell.latest_attempt.error) == (Outcome.FAILED, "no memory")
    assert cell.objects == {State.LOADED: 1, State.FAILED: 1}


def test_what_is_checked_is_not_shown_as_published(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    cell = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION]
    assert (cell.published, cell.latest_attempt) == (None, ledger.latest_attempt(PARTITION))


def test_the_matrix_says_what_a_partition_waits_for(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.mark_waiting("run", PARTITION, "lake", "the lake does not answer", now=after(1))
    cell = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION]
    assert cell.objects == {State.WAITING: 1}
    assert cell.trouble is not None
    assert (cell.trouble.service, cell.trouble.error) == ("lake", "the lake does not answer")


def test_an_attempt_without_objects_has_a_cell(ledger: Ledger) -> None:
    ledger.start_attempts("by hand", [PARTITION], now=NOW)
    cell = ledger.status_matrix([DATE], ["institution_a"], ["prices"])[PARTITION]
    assert cell.objects == {}
    assert cell.latest_attempt is not None


def test_the_matrix_holds_only_what_was_asked(ledger: Ledger) -> None:
    fill(ledger)
    assert ledger.status_matrix([DATE], ["institution_b"], ["prices", "accounts"]) == {}
    assert ledger.status_matrix([], [], []) == {}


def test_objects_are_found_by_partition_uri_and_state(ledger: Ledger) -> None:
    fill(ledger)
    assert [row.key for row in ledger.objects()] == [A.key, B.key, C.key]
    assert [row.key for row in ledger.objects(partition=PARTITION)] == [A.key, B.key]
    assert [row.key for row in ledger.objects(partition=PARTITION, states=[State.REFUSED])] == [B.key]
    assert [row.key for row in ledger.objects(uri=C.uri)] == [C.key]
    assert [row.key for row in ledger.objects(limit=2)] == [A.key, B.key]


def test_the_check_says_where_the_ledger_is_and_what_it_holds(ledger: Ledger) -> None:
    assert ledger.check().endswith(": 0 objects")
    fill(ledger)
    assert ledger.check().endswith(": 3 objects (1 seen, 1 loaded, 1 refused)")
    assert ledger.check().startswith("ledger ")


def test_the_latest_attempt_is_the_one_that_started_last(ledger: Ledger) -> None:
    assert ledger.latest_attempt(PARTITION) is None
    fill(ledger)
    latest = ledger.latest_attempt(PARTITION)
    assert latest is not None
    assert (latest.run_id, latest.totals) == ("second", AttemptTotals(checks_passed=2))
    assert ledger.latest_attempt(OTHER) is None


def test_rows_of_earlier_dates_count_loaded_objects_newest_date_first(ledger: Ledger) -> None:
    days = [Delivery("prices", DATE - dt.timedelta(days=back), "institution_a") for back in range(5)]
    for back, day in enumerate(days):
        pair = [landing_object(f"{day}{i}.csv", partition=day) for i in range(2)]
        ledger.record_seen(pair, now=NOW)
        ledger.start_attempts("run", [day], now=NOW)
        if back != 2:
            ledger.mark_loaded("run", [result_of(found, rows_silver=back) for found in pair], now=NOW)
    assert ledger.rows_of_earlier_dates(days[0], 2) == [2, 6]
    assert ledger.rows_of_earlier_dates(days[0], 10) == [2, 6, 8]
    assert ledger.rows_of_earlier_dates(days[4], 10) == []
