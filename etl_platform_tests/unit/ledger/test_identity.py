"""An object is a place and a content: what a move, a restore or a copy changes is no news."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject, State
from etl_platform_tests.support.landing_objects import NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401


def load(ledger: Ledger, *objects: LandingObject, sha256: str = "one", run: str = "run") -> None:
    ledger.record_seen(objects, now=NOW)
    ledger.start_attempts(run, [PARTITION], now=NOW)
    results = [result_of(found, sha256=sha256) for found in objects]
    ledger.mark_received(run, results, now=NOW)
    ledger.mark_loaded(run, results, now=NOW)


def rows(ledger: Ledger) -> list[tuple[str, State]]:
    return [(row.identity, row.state) for row in ledger.objects()]


def test_another_address_is_no_news_and_is_noted(ledger: Ledger) -> None:
    load(ledger, landing_object())
    moved = replace(landing_object(), uri="file:///elsewhere/landing/bars.csv")
    assert ledger.compare([moved]) == [Finding.MOVED] and ledger.unknown([moved]) == []
    assert ledger.record_seen([moved], now=after(1)) == 0
    (row,) = ledger.objects()
    assert (row.uri, row.state) == (moved.uri, State.LOADED)
    assert ledger.compare([moved]) == [Finding.KNOWN]


def test_the_same_bytes_under_another_identity_are_no_news(ledger: Ledger) -> None:
    load(ledger, landing_object())
    restored = landing_object(etag="two", modified=after(9))
    assert ledger.compare([restored]) == [Finding.UNSURE]
    read = replace(restored, sha256="one")
    assert ledger.compare([read]) == [Finding.MOVED]
    assert ledger.record_seen([read], now=after(10)) == 0
    (row,) = ledger.objects()
    assert (row.identity, row.etag, row.last_modified, row.state) == ("two", "two", after(9), State.LOADED)
    assert row.attempt == 1 and ledger.pending_partitions(10) == []
    assert ledger.compare([restored]) == [Finding.KNOWN]


def test_other_bytes_of_the_same_size_are_news(ledger: Ledger) -> None:
    load(ledger, landing_object())
    other = landing_object(etag="two", modified=after(9), sha256="two")
    assert ledger.compare([other]) == [Finding.NEWS]
    assert ledger.record_seen([other], now=after(10)) == 1
    assert rows(ledger) == [("one", State.SUPERSEDED), ("two", State.SEEN)]


@pytest.mark.parametrize("facts", [{"size": 999}, {"root": "first"}])
def test_another_size_or_another_root_is_news_without_reading(ledger: Ledger, facts: dict[str, Any]) -> None:
    load(ledger, landing_object())
    assert ledger.compare([landing_object(etag="two", **facts)]) == [Finding.NEWS]


def test_what_no_run_has_read_is_replaced(ledger: Ledger) -> None:
    ledger.record_seen([landing_object()], now=NOW)
    newer = landing_object(etag="two", modified=after(1))
    assert ledger.compare([newer]) == [Finding.NEWS]
    ledger.record_seen([newer], now=after(1))
    assert rows(ledger) == [("one", State.SUPERSEDED), ("two", State.SEEN)]


def test_what_has_failed_is_known_by_its_bytes_too(ledger: Ledger) -> None:
    ledger.record_seen([landing_object()], now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.mark_received("run", [result_of(landing_object(), sha256="one")], now=NOW)
    ledger.mark_failed("run", PARTITION, "too bad", now=NOW)
    ledger.record_seen([landing_object(etag="two", sha256="one")], now=after(1))
    assert rows(ledger) == [("two", State.FAILED)]


def test_a_replaced_content_that_is_put_back_under_another_identity_is_news(ledger: Ledger) -> None:
    load(ledger, landing_object(etag="good"), sha256="good")
    ledger.record_seen([landing_object(etag="bad", modified=after(5), size=7)], now=after(5))
    back = landing_object(etag="good again", modified=after(9), sha256="good")
    assert ledger.record_seen([back], now=after(9)) == 1
    assert rows(ledger) == [("good again", State.SEEN), ("bad", State.SUPERSEDED)]


def test_an_institution_of_a_shared_root_finds_what_was_nobodys_there(ledger: Ledger) -> None:
    stray = landing_object(partition=None, root="first", also=("first", "second"))
    ledger.record_unrouted([(stray, "?")], now=NOW)
    claimed = landing_object(root="second", also=("first", "second"))
    assert ledger.record_seen([claimed], now=after(1)) == 1
    (row,) = ledger.objects()
    assert (row.root, row.state) == ("second", State.SEEN)


def test_a_moved_object_of_nobody_is_no_news(ledger: Ledger) -> None:
    ledger.record_unrouted([(landing_object(partition=None), "?")], now=NOW)
    moved = landing_object(partition=None, etag="two")
    assert ledger.compare([moved]) == [Finding.MOVED]
    assert ledger.record_unrouted([(moved, "?")], now=after(1)) == 0
    assert rows(ledger) == [("two", State.UNROUTED)]


def test_a_moved_root_is_told_once(ledger: Ledger) -> None:
    assert ledger.note_roots({"landing": "file:///a", "second": "s3://b"}, now=NOW) == []
    (moved,) = ledger.note_roots({"landing": "file:///c", "second": "s3://b"}, now=after(1))
    assert (moved.name, moved.url_before, moved.url) == ("landing", "file:///a", "file:///c")
    assert ledger.note_roots({"landing": "file:///c"}, now=after(2)) == []
