"""Outage after outage while deliveries arrive and ticks go on: in the end nothing is left behind, lost or doubled."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from etl_platform.landing.copies import BronzeStore
from etl_platform.limits import LONGEST_DELAY
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform_tests.support.flaky_http import Fault, LoseAnswer, Reset
from etl_platform_tests.support.outages import (
    CODES,
    SCALE,
    SERVICES,
    SLOW_DOWN,
    Clockwork,
    Point,
    Site,
    before,
    differences,
    new_date,
    run_overviews,
    run_site,
    scaled,
    undisturbed,
)
from etl_platform_tests.support.postgres import PostgresServer, run_postgres_server
from etl_platform_tests.support.s3 import S3Server

__all__ = ["scaled"]

TICK_SECONDS = 0.3
ROWS_OF_VERSION = 5


@dataclass(frozen=True)
class Outage:
    service: str
    fault: Fault
    after: float
    seconds: float


def schedule(number: int, seed: int) -> list[Outage]:
    """10 s to 10 min by a hundredth: short ones as often as long ones."""
    chosen = random.Random(seed)
    faults: list[Fault] = [Reset(), SLOW_DOWN, LoseAnswer()]
    return [
        Outage(
            chosen.choice(SERVICES),
            chosen.choice(faults),
            chosen.uniform(0.1, 0.8),
            0.1 * 60 ** chosen.random(),
        )
        for _ in range(number)
    ]


@contextmanager
def happening(site: Site, outages: list[Outage], ticked: threading.Event) -> Iterator[threading.Thread]:
    """Each begins soon after a tick: on a slow machine, too, something is going on."""

    def run() -> None:
        for outage in outages:
            ticked.wait()
            ticked.clear()
            time.sleep(outage.after)
            site.shut(outage.service, outage.fault)
            time.sleep(outage.seconds)
            site.open(outage.service)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def deliver_something(site: Site, chosen: random.Random) -> None:
    """A new date, or another version of one that was delivered before."""
    if site.delivered and chosen.random() < 0.3:
        code, date = chosen.choice(sorted(site.delivered))
        site.deliver(code, date, version=1 - site.delivered[code, date])
    else:
        date = new_date()
        for code in chosen.sample(CODES, chosen.randint(1, 2)):
            site.deliver(code, date)


def settle(site: Site, daemon: Clockwork) -> None:
    """Two ticks; and more while a partition has its next try before it: one that met outage upon outage waits longer
    each time, at most the longest delay."""
    longest = time.monotonic() + LONGEST_DELAY.total_seconds() * SCALE
    daemon.heal(2)
    while site.eye.ledger.troubles() and time.monotonic() < longest:
        time.sleep(TICK_SECONDS)
        daemon.heal(1)


@pytest.mark.parametrize(
    ("number", "seed"),
    [pytest.param(6, 7, id="6 outages"), pytest.param(60, 2025, id="60 outages", marks=pytest.mark.long)],
)
def test_no_partition_is_left_behind_and_no_row_lost_or_doubled(
    number: int, seed: int, tmp_path: Path, s3_server: S3Server, postgres_server: PostgresServer, scaled: None
) -> None:
    chosen = random.Random(seed)
    with run_site(tmp_path, s3_server, postgres_server) as site:
        daemon = Clockwork(site.platform)
        ticked = threading.Event()
        with happening(site, schedule(number, seed), ticked) as storm:
            while storm.is_alive():
                ticked.set()
                began = time.monotonic()
                deliver_something(site, chosen)
                for request in daemon.try_tick():
                    daemon.start(request)
                time.sleep(max(0.0, TICK_SECONDS - (time.monotonic() - began)))
        failed_runs = sum(not ran.result.success for ran in daemon.ran)
        settle(site, daemon)

        left, troubled = site.left_behind(), site.eye.ledger.troubles()
        print(
            f"{number} outages, {len(site.delivered)} partitions, {len(daemon.ran)} runs ({failed_runs} failed), "
            f"{len(daemon.failed_ticks)} failed ticks, {len(left)} left behind"
        )
        assert left == [], troubled
        assert run_overviews(site.platform, sorted({date for _, date in site.delivered})).success
        assert differences(site.stored(), undisturbed(site.delivered)) == []
        assert all(ran.waited_no_longer_than_it_may(SCALE) for ran in daemon.ran)


@pytest.mark.long
def test_a_postgres_that_is_really_stopped_for_12_seconds(tmp_path: Path, s3_server: S3Server) -> None:
    """Ledger and warehouse at once, with the waits of production."""
    with (
        run_postgres_server() as server,
        run_site(tmp_path, s3_server, server, retry_first_wait_seconds=5, retry_longest_wait_seconds=30) as site,
    ):
        daemon, date = Clockwork(site.platform), new_date()
        for code in CODES:
            site.deliver(code, date)
        started: list[threading.Timer] = []

        def stop() -> None:
            started.append(threading.Timer(12, server.stop()))
            started[0].start()

        with before(Point(PostgresStore, "replace"), stop):
            daemon.heal(1)
        started[0].join()
        daemon.heal(2)

        assert site.left_behind() == []
        assert site.platform.overview(date).succeeded
        assert differences(site.stored(), undisturbed(site.delivered)) == []
        assert all(ran.waited_no_longer_than_it_may() for ran in daemon.ran)


@pytest.mark.long
def test_an_s3_that_really_answers_slow_down_for_75_seconds(
    tmp_path: Path, s3_server: S3Server, postgres_server: PostgresServer
) -> None:
    """Longer than the ring of calls: the ring of partitions takes over."""
    options = {"retry_first_wait_seconds": 5, "retry_longest_wait_seconds": 30}
    with run_site(tmp_path, s3_server, postgres_server, **options) as site:
        daemon, date = Clockwork(site.platform), new_date()
        for code in CODES:
            site.deliver(code, date)
        back = threading.Timer(75, lambda: site.open("lake"))

        def throttle() -> None:
            site.shut("lake", SLOW_DOWN)
            back.start()

        with before(Point(BronzeStore, "copy"), throttle):
            for request in daemon.tick():
                daemon.start(request)
        while back.is_alive():
            for request in daemon.try_tick():
                daemon.start(request)
            time.sleep(5)
        assert "failed" not in site.states()
        daemon.heal(2)

        assert site.left_behind() == []
        assert site.platform.overview(date).succeeded
        assert differences(site.stored(), undisturbed(site.delivered)) == []
        assert all(ran.waited_no_longer_than_it_may() for ran in daemon.ran)
