"""A service that is away leaves no partition behind, whenever it goes: its partition waits, and is loaded when it is
back, within two ticks and without a row lost or doubled."""

from __future__ import annotations

import time

import pytest

from etl_platform.landing.copies import BronzeStore
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome
from etl_platform.limits import DEATHS_LIMIT, FIRST_DELAY
from etl_platform.stores.lake.store import LakeStore
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform_tests.support.flaky_http import Fault
from etl_platform_tests.support.outages import (
    SCALE,
    SLOW_DOWN,
    Clockwork,
    Point,
    Site,
    before,
    differences,
    module_site,
    new_date,
    published,
    scaled,
    site,
    undisturbed,
)

__all__ = ["module_site", "scaled", "site"]

POINTS = {
    "before its start": Point(Ledger, "start_attempts"),
    "in bronze": Point(BronzeStore, "copy"),
    "in silver": Point(LakeStore, "replace", 3),
    "after silver": Point(Ledger, "mark_loaded"),
    "in checks": Point(Ledger, "rows_of_earlier_dates"),
    "after checks": Point(Ledger, "end_checks"),
    "in gold": Point(LakeStore, "replace", 5),
    "in the warehouse": Point(PostgresStore, "replace"),
    "half published": Point(PostgresStore, "replace", 2),
}
LONG = pytest.mark.long


def case(service: str, moment: str, fault: Fault | None = None, *, long: bool = False) -> object:
    name = f"{service} {moment}{' (SlowDown)' if fault else ''}"
    return pytest.param(service, moment, fault, id=name, marks=[LONG] if long else [])


@pytest.mark.parametrize(
    ("service", "moment", "fault"),
    [
        case("landing", "before its start", long=True),
        case("landing", "in bronze", SLOW_DOWN, long=True),
        case("lake", "in bronze", long=True),
        case("lake", "in silver", SLOW_DOWN),
        case("lake", "in checks", long=True),
        case("lake", "in gold", long=True),
        case("lake", "in the warehouse", SLOW_DOWN, long=True),
        case("ledger", "before its start"),
        case("ledger", "in bronze", long=True),
        case("ledger", "in silver", long=True),
        case("ledger", "after silver"),
        case("ledger", "in checks", long=True),
        case("ledger", "after checks", long=True),
        case("ledger", "in gold", long=True),
        case("ledger", "half published", long=True),
        case("warehouse", "in the warehouse"),
        case("warehouse", "half published"),
    ],
)
def test_what_an_outage_cuts_off_is_loaded_within_two_ticks(
    service: str, moment: str, fault: Fault | None, site: Site
) -> None:
    daemon, date = Clockwork(site.platform), new_date()
    site.deliver("first", date)
    daemon.heal(1)
    assert site.left_behind() == []
    loaded = site.stored()
    site.deliver("first", date, version=1)
    (request,) = daemon.tick()
    with before(POINTS[moment], lambda: site.shut(service, fault)):
        result = daemon.start(request)

    # A step that has done its work is not undone because its success could not be put on record.
    assert not result.success or service == "ledger"
    is_checked = site.eye.attempt("prices", "first", date).outcome is Outcome.CHECKED
    assert daemon.try_tick() == [] and daemon.try_tick() == []
    assert "failed" not in site.states()
    assert moment == "half published" or differences(site.stored(), loaded) == [], "no data change meanwhile"
    if service != "ledger":
        (trouble,) = site.eye.ledger.troubles()
        assert trouble.service == service
        assert "gave up after 5 tries in " in trouble.error and "last answer: " in trouble.error, trouble.error
    site.open(service)
    copies = len(daemon.ran)
    daemon.heal(2)

    assert site.left_behind() == []
    site.platform.overview(date)
    wanted = undisturbed({("first", date): 1})
    assert differences(published(site.eye, [("first", date)]), wanted) == []
    steps = {str(e.step_key) for ran in daemon.ran[copies:] for e in ran.result.all_events if e.is_step_start}
    if is_checked:
        assert not any(step.startswith(("bronze", "silver")) for step in steps), "files are not read again"
    assert all(ran.waited_no_longer_than_it_may(SCALE) for ran in daemon.ran)


@LONG
def test_a_ledger_that_is_away_whenever_a_run_starts_is_no_death_of_the_run(site: Site) -> None:
    """The run could tell nobody. More often than runs may die at a partition, and it is loaded all the same."""
    daemon, date = Clockwork(site.platform), new_date()
    site.deliver("first", date)
    cut_off = 0
    while cut_off < DEATHS_LIMIT + 1:
        for request in daemon.tick():
            with before(POINTS["before its start"], lambda: site.shut("ledger")):
                assert not daemon.start(request).success
            cut_off += 1
            site.open("ledger")
        assert "failed" not in site.states()
    for _ in range(3):
        daemon.heal(1)
        time.sleep(FIRST_DELAY.total_seconds() * SCALE * 4)

    assert site.left_behind() == []
