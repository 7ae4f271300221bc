"""A tick while a landing root or the ledger is away: nobody else waits for it, and the next one goes on from there."""

from __future__ import annotations

import json
import time

import dagster as dg
import pytest

from etl_platform.errors import StorageUnavailableError
from etl_platform.retries import Retries, within
from etl_platform_tests.support.outages import OWN, SLOW_DOWN, Clockwork, Site, module_site, new_date, scaled, site

__all__ = ["module_site", "scaled", "site"]


def starts(requests: list[dg.RunRequest]) -> list[str]:
    return sorted(str(request.partition_key) for request in requests)


def test_a_senders_own_bucket_that_is_away_holds_back_nobody_else(site: Site) -> None:
    daemon, date = Clockwork(site.platform), new_date()
    site.deliver("first", date)
    site.deliver(OWN, date)
    site.shut("own", SLOW_DOWN)

    requests = daemon.tick()

    assert starts(requests) == [f"{date}|first"]
    assert daemon.start(requests[0]).success
    said = str(daemon.evaluate().skip_message)
    assert f"landing {OWN} is not looked at: object s3://" in said and "gave up after" in said
    site.open("own")
    requests = daemon.tick()
    assert starts(requests) == [f"{date}|{OWN}"]
    assert daemon.start(requests[0]).success and site.left_behind() == []


def test_the_shared_landing_zone_that_is_away_holds_back_no_bucket_of_its_own(site: Site) -> None:
    daemon, date = Clockwork(site.platform), new_date()
    site.deliver("first", date)
    site.deliver(OWN, date)
    site.shut("landing")

    requests = daemon.tick()
    assert starts(requests) == [f"{date}|{OWN}"] and daemon.start(requests[0]).success
    site.open("landing")
    requests = daemon.tick()
    assert starts(requests) == [f"{date}|first"] and daemon.start(requests[0]).success
    assert site.left_behind() == []


def test_the_cursor_of_a_root_that_goes_away_stays_where_it_was(site: Site) -> None:
    daemon, dates = Clockwork(site.platform), [new_date(), new_date()]
    for date in dates:
        site.deliver(OWN, date)
    position = {f"s3://{site.bucket.name}-own": f"{OWN}/prices/{dates[0]}/a.csv"}
    daemon.cursor = json.dumps(position)
    site.shut("own")

    assert daemon.tick() == []
    assert json.loads(str(daemon.cursor)) == position
    site.open("own")
    assert starts(daemon.tick()) == [f"{dates[1]}|{OWN}"], "goes on behind the first"
    requests = daemon.tick()
    assert starts(requests) == [f"{dates[0]}|{OWN}"], "and then from the beginning"
    for date in dates:
        site.platform.ingest(OWN, date)


def test_a_tick_without_its_ledger_fails_by_name_and_the_next_one_goes_on(site: Site) -> None:
    daemon, date = Clockwork(site.platform), new_date()
    site.deliver("first", date)
    cursor = daemon.cursor
    site.shut("ledger")
    for _ in range(2):
        with pytest.raises((StorageUnavailableError, dg.DagsterError)) as caught:
            daemon.tick()
        error = caught.value if isinstance(caught.value, StorageUnavailableError) else caught.value.__cause__
        assert isinstance(error, StorageUnavailableError) and error.service == "ledger"
    assert daemon.cursor == cursor
    site.open("ledger")

    (request,) = daemon.tick()
    assert daemon.start(request).success and site.left_behind() == []


def test_within_a_tick_no_call_waits_beyond_its_time() -> None:
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise StorageUnavailableError("a service", found="no answer")

    begun = time.monotonic()
    with within(0.2), pytest.raises(StorageUnavailableError, match="gave up after"):
        Retries(attempts=50, first_wait_seconds=0.05, longest_wait_seconds=30).call(refuse)
    assert time.monotonic() - begun < 2 and 1 <= len(asked) < 50
    with pytest.raises(StorageUnavailableError):
        Retries(attempts=3, first_wait_seconds=0.01).call(refuse)
