"""An attempt has succeeded once every table of gold and warehouse holds it, whichever run wrote them."""

from __future__ import annotations

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, State, Write
from etl_platform_tests.support.landing_objects import NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledger_runs import (
    GOLD,
    GOLD_IN_WAREHOUSE,
    WANTED,
    WAREHOUSE,
    begin,
    check,
    is_pending,
    outcome,
    publish,
    row,
    succeed,
    unpublished,
)
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

A, B = landing_object("a.csv"), landing_object("b.csv")


def test_an_attempt_succeeds_with_the_last_of_its_tables(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    for table in (GOLD, WAREHOUSE):
        assert not publish(ledger, table)
        assert (outcome(ledger), unpublished(ledger), row(ledger).is_published) == (Outcome.CHECKED, ["run"], False)
    assert publish(ledger, GOLD_IN_WAREHOUSE)
    assert (outcome(ledger), unpublished(ledger), row(ledger).is_published) == (Outcome.SUCCEEDED, [], True)


def test_a_table_that_was_written_before_its_source_does_not_count(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    assert not publish(ledger, GOLD_IN_WAREHOUSE)
    assert not publish(ledger, WAREHOUSE, GOLD)
    assert publish(ledger, GOLD_IN_WAREHOUSE)


def test_tables_told_together_count_in_the_order_of_their_sources(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    assert publish(ledger, GOLD_IN_WAREHOUSE, WAREHOUSE, GOLD)


def test_a_table_that_is_not_wanted_counts_for_nothing(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    assert not publish(ledger, "gold/of another dataset")
    assert publish(ledger)


def test_what_is_not_checked_is_not_published(ledger: Ledger) -> None:
    begin(ledger, A)
    assert not publish(ledger)
    assert outcome(ledger) is Outcome.RUNNING
    ledger.mark_failed("run", PARTITION, "bad", now=after(1))
    assert not publish(ledger)
    assert (outcome(ledger), row(ledger).is_published) == (Outcome.FAILED, False)


def test_only_what_the_run_loaded_is_published(ledger: Ledger) -> None:
    begin(ledger, A, B)
    ledger.mark_refused("run", [result_of(B, reason="empty")], now=NOW)
    check(ledger, A)
    ledger.record_seen([landing_object("late.csv")], now=after(1))
    assert publish(ledger)
    assert {found.key: found.is_published for found in ledger.objects()} == {
        A.key: True, B.key: False, "landing/late.csv": False
    }  # fmt: skip


def test_a_content_that_was_overwritten_between_its_load_and_its_publication_was_published(ledger: Ledger) -> None:
    """In write mode `append` it goes on counting."""
    begin(ledger, A, B)
    ledger.mark_loaded("run", [result_of(A, rows_silver=3)], now=NOW)
    ledger.mark_refused("run", [result_of(B, reason="empty")], now=NOW)
    check(ledger)
    newer = [landing_object(name, etag="two", modified=after(2)) for name in ("a.csv", "b.csv")]
    ledger.record_seen(newer, now=after(2))
    assert publish(ledger)
    found = {(one.key, one.identity): (one.state, one.is_published) for one in ledger.objects()}
    assert found == {
        (A.key, "one"): (State.SUPERSEDED, True),
        (B.key, "one"): (State.SUPERSEDED, False),
        (A.key, "two"): (State.SEEN, False),
        (B.key, "two"): (State.SEEN, False),
    }
    assert ledger.excluded(PARTITION) == {(B.key, "one")}


def test_tables_that_an_older_run_wrote_after_the_latest_are_to_be_written_again(ledger: Ledger) -> None:
    begin(ledger, A, run_id="older")
    check(ledger, A, run_id="older")
    begin(ledger, run_id="latest", dead={"older"}, at=2)
    check(ledger, A, run_id="latest", at=3)
    assert publish(ledger, run_id="latest", at=4)
    assert not publish(ledger, WAREHOUSE, run_id="older", at=5)
    (again,) = ledger.unpublished()
    assert (again.attempt.run_id, again.attempt.ended_at, again.attempt.seconds) == ("latest", None, None)
    assert publish(ledger, WAREHOUSE, run_id="latest", at=6)
    assert outcome(ledger, "older") is Outcome.CRASHED


def test_with_an_overwritten_table_those_that_are_written_from_it_are_to_be_written_again(ledger: Ledger) -> None:
    begin(ledger, A, run_id="older")
    begin(ledger, run_id="latest", dead={"older"}, at=2)
    check(ledger, A, run_id="latest", at=3)
    publish(ledger, run_id="latest", at=4)
    publish(ledger, GOLD, run_id="older", at=5)
    assert not publish(ledger, GOLD, run_id="latest", at=6)
    assert publish(ledger, GOLD_IN_WAREHOUSE, run_id="latest", at=7)


def slow_write(ledger: Ledger) -> Write:
    """A run is writing the warehouse's table from an attempt that a newer one took the place of meanwhile."""
    succeed(ledger, A, run_id="older")
    write = Write("slow", PARTITION, GOLD, "older")
    ledger.begin_write(write)
    begin(ledger, B, run_id="latest", at=2)
    check(ledger, B, run_id="latest", at=3)
    return write


def test_nothing_counts_as_published_while_another_run_writes_one_of_its_tables(ledger: Ledger) -> None:
    write = slow_write(ledger)
    assert not publish(ledger, run_id="latest", at=4)
    assert outcome(ledger, "latest") is Outcome.CHECKED and ledger.writes() == [write]


def test_what_the_slow_run_wrote_is_written_again_once_it_has_ended(ledger: Ledger) -> None:
    slow_write(ledger)
    publish(ledger, run_id="latest", at=4)
    ledger.publish("older", PARTITION, [GOLD], wanted=WANTED, writer="slow", now=after(5))
    assert ledger.writes() == [] and unpublished(ledger) == ["latest"]
    assert not publish(ledger, GOLD, run_id="latest", at=6)
    assert publish(ledger, GOLD_IN_WAREHOUSE, run_id="latest", at=7)


def test_what_a_killed_run_may_have_written_is_written_again(ledger: Ledger) -> None:
    write = slow_write(ledger)
    publish(ledger, run_id="latest", at=4)
    ledger.drop_write(write, wanted=WANTED)
    assert ledger.writes() == [] and unpublished(ledger) == ["latest"]
    assert not publish(ledger, GOLD, run_id="latest", at=6)
    assert publish(ledger, GOLD_IN_WAREHOUSE, run_id="latest", at=7)


def test_a_run_that_only_publishes_does_not_wait_for_itself(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    for table in (GOLD, WAREHOUSE, GOLD_IN_WAREHOUSE):
        ledger.begin_write(Write("later", PARTITION, table, "run"))
    for table in (GOLD, WAREHOUSE):
        assert not ledger.publish("run", PARTITION, [table], wanted=WANTED, writer="later", now=after(2))
    assert ledger.publish("run", PARTITION, [GOLD_IN_WAREHOUSE], wanted=WANTED, writer="later", now=after(2))
    assert ledger.writes() == []


def test_an_attempt_that_a_newer_one_took_the_place_of_is_not_waited_for(ledger: Ledger) -> None:
    begin(ledger, A)
    check(ledger, A)
    begin(ledger, B, run_id="second", dead={"run"}, at=3)
    assert unpublished(ledger) == []
    check(ledger, A, B, run_id="second", at=4)
    assert unpublished(ledger) == ["second"]


def test_the_publication_of_one_partition_says_nothing_of_another(ledger: Ledger) -> None:
    other = landing_object("o.csv", partition=type(PARTITION)("prices", PARTITION.business_date, "institution_b"))
    begin(ledger, A, other)
    where = type(PARTITION)("prices", PARTITION.business_date, "institution_b")
    begin(ledger, partition=where)
    check(ledger, A)
    check(ledger, other, partition=where)
    assert publish(ledger)
    assert [item.partition for item in ledger.unpublished()] == [where]
    assert not is_pending(ledger)
    assert set(WANTED) == {WAREHOUSE, GOLD, GOLD_IN_WAREHOUSE}


def test_a_success_ends_the_trouble(ledger: Ledger) -> None:
    begin(ledger, A)
    ledger.close_dead("run", error="killed", now=NOW)
    assert [trouble.deaths for trouble in ledger.troubles()] == [1]
    succeed(ledger, A, run_id="second", at=5)
    assert ledger.troubles() == []
