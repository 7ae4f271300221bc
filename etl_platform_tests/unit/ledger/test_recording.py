"""What counts as news, and how objects enter the ledger."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject, State
from etl_platform_tests.support.landing_objects import DATE, NOW, PARTITION, after, landing_object, result_of
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401


def states(ledger: Ledger, name: str = "bars.csv") -> dict[str, State]:
    return {row.identity: row.state for row in ledger.objects(uri=landing_object(name).uri)}


def test_an_object_is_unknown_until_it_is_recorded(ledger: Ledger) -> None:
    first, second = landing_object("a.csv"), landing_object("b.csv")
    assert ledger.unknown([first, second]) == [first, second]
    assert ledger.record_seen([first], now=NOW) == 1
    assert ledger.unknown([first, second]) == [second]


def test_recording_twice_changes_nothing(ledger: Ledger) -> None:
    found = landing_object()
    ledger.record_seen([found, found], now=NOW)
    before = ledger.objects()
    assert ledger.record_seen([found, found], now=after(60)) == 0
    assert ledger.objects() == before
    assert len(before) == 1


def test_what_was_listed_comes_back_with_times_in_utc(ledger: Ledger) -> None:
    zone = dt.timezone(dt.timedelta(hours=9))
    modified = dt.datetime(2025, 1, 15, 8, 30, 0, 123456, tzinfo=zone)
    ledger.record_seen([landing_object(modified=modified, version="v7")], now=NOW.astimezone(zone))
    (row,) = ledger.objects()
    assert row.landing_object() == landing_object(modified=modified, version="v7")
    assert (row.identity, row.state, row.attempt, row.rows_read) == ("v7", State.SEEN, 1, None)
    assert row.last_modified.tzinfo is row.first_seen_at.tzinfo is row.updated_at.tzinfo is dt.UTC
    assert (row.first_seen_at, row.updated_at) == (NOW, NOW)


def test_a_time_without_zone_is_not_guessed(ledger: Ledger) -> None:
    with pytest.raises(sa.exc.StatementError, match="without a zone"):
        ledger.record_seen([landing_object()], now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("version", "etag", "identity"),
    [
        ("v1", '"abc"', "v1"),
        (None, '"abc"', "abc"),
        (None, "abc", "abc"),
        ("null", '"abc"', "abc"),
        (None, None, "1000-1736920800000000"),
        ("", "", "1000-1736920800000000"),
    ],
)
def test_identity_is_version_then_etag_then_size_and_time(version: str | None, etag: str | None, identity: str) -> None:
    assert landing_object(version=version, etag=etag).identity == identity


def test_a_newer_version_supersedes_the_earlier_ones_in_any_state(ledger: Ledger) -> None:
    first, second, third = (landing_object(etag=f"e{i}", modified=after(i)) for i in (1, 2, 3))
    ledger.record_seen([first], now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.mark_refused("run", [result_of(first, reason="not a CSV file")], now=NOW)
    ledger.record_seen([second], now=after(10))
    ledger.record_seen([third], now=after(20))
    assert states(ledger) == {"e1": State.SUPERSEDED, "e2": State.SUPERSEDED, "e3": State.SEEN}
    reasons = {row.identity: row.reason for row in ledger.objects()}
    assert reasons == {"e1": "not a CSV file", "e2": "a newer version of this object was recorded", "e3": None}


def test_an_older_version_that_is_recorded_late_never_replaces_the_newer_one(ledger: Ledger) -> None:
    older, newer = landing_object(etag="old", modified=NOW), landing_object(etag="new", modified=after(1))
    ledger.record_seen([newer], now=NOW)
    assert ledger.record_seen([older], now=after(5)) == 1
    assert states(ledger) == {"new": State.SEEN, "old": State.SUPERSEDED}


def test_versions_of_one_listing_are_ordered_by_their_time(ledger: Ledger) -> None:
    older, newer = landing_object(etag="old", modified=NOW), landing_object(etag="new", modified=after(1))
    ledger.record_seen([newer, older], now=NOW)
    assert states(ledger) == {"new": State.SEEN, "old": State.SUPERSEDED}


def test_of_two_versions_of_the_same_second_the_later_recorded_one_is_current(ledger: Ledger) -> None:
    ledger.record_seen([landing_object(etag="first")], now=NOW)
    ledger.record_seen([landing_object(etag="second")], now=after(1))
    assert states(ledger) == {"first": State.SUPERSEDED, "second": State.SEEN}


def test_a_content_that_the_sender_put_back_is_news_again(ledger: Ledger) -> None:
    ledger.record_seen([landing_object(etag="good")], now=NOW)
    ledger.record_seen([landing_object(etag="wrong", modified=after(10))], now=after(10))
    restored = landing_object(etag="good", modified=after(20))
    assert ledger.unknown([restored]) == [restored]
    assert ledger.record_seen([restored], now=after(20)) == 1
    assert states(ledger) == {"good": State.SEEN, "wrong": State.SUPERSEDED}
    assert ledger.objects(states=[State.SEEN])[0].attempt == 2
    assert ledger.unknown([restored]) == []


def test_a_content_that_was_put_back_with_its_old_time_is_news_once_its_place_says_so(ledger: Ledger) -> None:
    """`cp -p`, `rsync -t`, `mv`: or a listing that is late, which must replace nothing."""
    ledger.record_seen([landing_object(etag="good", sha256="good")], now=NOW)
    ledger.record_seen([landing_object(etag="wrong", modified=after(10))], now=after(10))
    listed = landing_object(etag="good")

    assert ledger.compare([listed]) == [Finding.UNSURE]
    assert ledger.record_seen([replace(listed, sha256="good")], now=after(20)) == 1

    assert states(ledger) == {"good": State.SEEN, "wrong": State.SUPERSEDED}
    assert ledger.compare([listed]) == [Finding.KNOWN]
    # Nothing turns the order round again: not its next address either.
    moved = landing_object(etag="moved", sha256="good")
    assert ledger.record_seen([moved], now=after(30)) == 0
    assert states(ledger) == {"moved": State.SEEN, "wrong": State.SUPERSEDED}


def test_the_same_content_sent_again_is_not_loaded_again(ledger: Ledger) -> None:
    ledger.record_seen([landing_object()], now=NOW)
    again = landing_object(modified=after(3600))
    assert ledger.unknown([again]) == []
    assert ledger.record_seen([again], now=after(3600)) == 0


def test_an_unrouted_object_is_kept_with_its_reason_and_comes_back_once_claimed(ledger: Ledger) -> None:
    stray = landing_object(partition=None)
    assert ledger.record_unrouted([(stray, "no institution has the prefix landing/")], now=NOW) == 1
    assert ledger.record_unrouted([(stray, "another")], now=after(1)) == 0
    assert ledger.unknown([stray]) == []
    (row,) = ledger.unrouted(10)
    assert (row.reason, row.institution, row.dataset) == ("no institution has the prefix landing/", None, None)

    claimed = landing_object()
    assert ledger.unknown([claimed]) == [claimed]
    assert ledger.record_seen([claimed], now=after(60)) == 1
    assert ledger.unrouted(10) == []
    (row,) = ledger.objects(partition=PARTITION)
    assert (row.state, row.reason) == (State.SEEN, None)


def test_a_version_that_nobody_claims_leaves_the_loaded_one_in_place(ledger: Ledger) -> None:
    claimed = landing_object(etag="claimed")
    ledger.record_seen([claimed], now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.mark_loaded("run", [result_of(claimed)], now=NOW)
    ledger.record_unrouted([(landing_object(etag="stray", modified=after(9), partition=None), "?")], now=after(9))
    assert states(ledger) == {"claimed": State.LOADED, "stray": State.UNROUTED}


@pytest.mark.parametrize(
    "claimed", [landing_object(etag="claimed"), landing_object(etag="claimed", modified=after(99))]
)
def test_a_stray_version_is_replaced_once_the_claimed_one_lies_there_again(
    ledger: Ledger, claimed: LandingObject
) -> None:
    ledger.record_seen([landing_object(etag="claimed")], now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    ledger.mark_loaded("run", [result_of(landing_object(etag="claimed"))], now=NOW)
    ledger.record_unrouted([(landing_object(etag="stray", modified=after(9), partition=None), "?")], now=after(9))

    assert ledger.compare([claimed]) == [Finding.MOVED]
    assert ledger.record_seen([claimed], now=after(99)) == 0

    assert states(ledger) == {"claimed": State.LOADED, "stray": State.SUPERSEDED}
    assert ledger.compare([claimed]) == [Finding.KNOWN]


def test_a_stray_version_with_a_later_clock_is_replaced_by_what_lies_there_now(ledger: Ledger) -> None:
    ledger.record_unrouted([(landing_object(etag="stray", modified=after(9), partition=None), "?")], now=after(9))
    ledger.record_seen([landing_object(etag="claimed")], now=after(10))
    assert states(ledger) == {"claimed": State.SEEN, "stray": State.SUPERSEDED}


def test_what_is_put_back_while_no_pattern_claims_it_is_loaded_once_one_does(ledger: Ledger) -> None:
    """Its place is brought up to date meanwhile, and the time with which it came back must not be forgotten."""
    ledger.record_seen([landing_object(etag="good", sha256="good")], now=NOW)
    ledger.record_seen([landing_object(etag="wrong", modified=after(10))], now=after(10))
    back = landing_object(etag="back", modified=after(20), sha256="good")

    ledger.record_unrouted([(replace(back, institution=None, dataset=None, business_date=None), "?")], now=after(20))
    assert states(ledger) == {"back": State.SUPERSEDED, "wrong": State.UNROUTED}
    assert ledger.record_seen([back], now=after(30)) == 1

    assert states(ledger) == {"back": State.SEEN, "wrong": State.SUPERSEDED}


def test_unrouted_objects_are_paged_newest_first(ledger: Ledger) -> None:
    strays = [(landing_object(f"{i}.csv", partition=None), "?") for i in range(5)]
    ledger.record_unrouted(strays, now=NOW)
    first = ledger.unrouted(3)
    second = ledger.unrouted(3, before_id=first[-1].id)
    assert [row.key for row in first + second] == [f"landing/{i}.csv" for i in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "name", ["nul\0.csv", "surrogate\udc80.csv", "quote'\"--;.csv", "%s%(x)s:y?.csv", "日本😀.csv"]
)
def test_no_key_of_a_sender_stops_the_others(ledger: Ledger, name: str) -> None:
    objects = [landing_object(name), landing_object("plain.csv")]
    assert ledger.record_seen(objects, now=NOW) == 2
    assert ledger.unknown(objects) == []
    assert ledger.objects(uri=objects[0].uri)[0].state is State.SEEN


def test_versions_differ_by_case_and_keys_by_every_character(ledger: Ledger) -> None:
    ledger.record_seen([landing_object("a.csv", etag="x")], now=NOW)
    others = [landing_object("A.csv", etag="x"), landing_object("a.csv ", etag="x"), landing_object("a.csv", etag="X")]
    assert ledger.unknown(others) == others


def test_more_objects_than_one_statement_takes_are_all_recorded(ledger: Ledger) -> None:
    objects = [landing_object(f"{i}.csv", partition=Delivery("prices", DATE, f"i_{i % 7}")) for i in range(5_100)]
    assert ledger.record_seen(objects, now=NOW) == 5_100
    assert ledger.unknown([*objects, landing_object("new.csv")]) == [landing_object("new.csv")]
    newer = [landing_object(f"{i}.csv", etag="two", modified=after(1)) for i in range(5_100)]
    assert ledger.record_seen(newer, now=after(1)) == 5_100
    assert len(ledger.objects(states=[State.SUPERSEDED])) == 5_100


def test_nothing_listed_is_nothing_asked(ledger: Ledger) -> None:
    assert ledger.unknown([]) == []
    assert ledger.record_seen([], now=NOW) == 0
    assert ledger.record_unrouted([], now=NOW) == 0


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a running process cannot be changed on Windows")
def test_times_do_not_depend_on_the_zone_of_the_machine(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        ledger.record_seen([landing_object()], now=NOW)
        (row,) = ledger.objects()
    time.tzset()
    assert (row.last_modified, row.first_seen_at) == (NOW, NOW)
