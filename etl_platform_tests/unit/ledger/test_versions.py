"""Rule versions and replays on record, on SQLite and on Postgres."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, LandingObject, ObjectResult, Replay
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

NOW = dt.datetime(2025, 1, 16, 8, tzinfo=dt.UTC)
PARTITION = Delivery("prices", dt.date(2025, 1, 15), "first")


def attempt(ledger: Ledger, run_id: str, rows: int, error: str | None, *, number: int) -> None:
    now = NOW + dt.timedelta(seconds=number)
    others = {found.run_id for found in ledger.open_attempts()}
    assert ledger.start_attempts(run_id, [PARTITION], dead=others, now=now) == []
    assert ledger.end_checks(run_id, PARTITION, totals=AttemptTotals(rows_read=rows), error=error, now=now)
    if error is None:
        assert ledger.publish(run_id, PARTITION, ["t"], wanted={"t": None}, now=now)


def test_each_attempt_has_the_rules_it_was_judged_under(ledger: Ledger) -> None:
    assert ledger.rule_version(PARTITION) is None
    attempt(ledger, "run 1", 3, None, number=1)
    attempt(ledger, "run 2", 3, "a blocking check failed", number=2)
    ledger.record_version("run 1", [PARTITION], "v1", '{"rules": "é"}', now=NOW)
    for _ in range(2):  # a retried step says it again
        ledger.record_version("run 2", [PARTITION], "v2", "{}", now=NOW + dt.timedelta(hours=1))
    ledger.record_version(
        "run 3", [replace(PARTITION, institution="second")], "v3", "{}", now=NOW + dt.timedelta(days=1)
    )

    assert ledger.rule_version(PARTITION) == "v2"
    assert ledger.rule_version(PARTITION, "run 1") == "v1"
    ledger.record_version("run 4", [PARTITION], "v4", "{}", now=NOW + dt.timedelta(hours=2))
    attempt(ledger, "run 4", 0, "stopped: too many rows are bad", number=3)
    assert ledger.rule_version(PARTITION, "run 4") == "v4"
    assert ledger.rule_version(PARTITION) == "v2", "what is stored is still what run 2 judged"
    assert ledger.rule_document("v1") == '{"rules": "é"}' and ledger.rule_document("v9") is None


def test_a_replay_is_on_record_before_and_after_its_run(ledger: Ledger) -> None:
    asked = Replay("id", PARTITION, NOW, "ann", "mapping corrected", "v1", 7)
    ledger.record_replays([asked, replace(asked, partition=replace(PARTITION, institution="second"))])
    ended = replace(
        asked, run_id="run", version_after="v2", rows_quarantined_after=2, rows_moved=5, outcome="succeeded"
    )

    ledger.end_replay(ended)
    ledger.record_replays([replace(asked, replay_id="later", requested_at=NOW + dt.timedelta(hours=1))])

    later, *earlier = ledger.replays(10)
    assert later.replay_id == "later" and later.outcome is None
    assert {found.partition.institution: found.rows_moved for found in earlier} == {"first": 5, "second": None}
    assert ended in earlier
    assert len(ledger.replays(1)) == 1


def test_partitions_with_something_in_quarantine_are_found(ledger: Ledger) -> None:
    for day, quarantined in ((13, 0), (14, 2), (15, 1)):
        date = dt.date(2025, 1, day)
        found = LandingObject("first", "prices", date, "landing", f"uri/{day}", f"key/{day}", "e", None, 1, NOW)
        partition = Delivery("prices", date, "first")
        ledger.record_seen([found], now=NOW)
        ledger.start_attempts("run", [partition], now=NOW)
        ledger.mark_loaded(
            "run", [ObjectResult(found.root, found.key, found.identity, rows_quarantined=quarantined)], now=NOW
        )

    assert [p.business_date.day for p in ledger.quarantined_partitions(["first"], ["prices"], None)] == [14, 15]
    days = [dt.date(2025, 1, 13), dt.date(2025, 1, 15)]
    assert [p.business_date.day for p in ledger.quarantined_partitions(["first"], ["prices"], days)] == [15]
    assert ledger.quarantined_partitions(["second"], ["prices"], None) == []
