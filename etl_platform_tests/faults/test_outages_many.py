"""A run over many dates, and tables across institutions, during an outage: what was not begun is not touched, what was
waits, and all of it is published when the service is back."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from etl_platform.errors import StorageUnavailableError
from etl_platform.landing.copies import BronzeStore
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import OVERDUE_TRIES
from etl_platform.stores.lake.store import LakeStore
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform_tests.support.outages import (
    Clockwork,
    Point,
    Site,
    before,
    differences,
    module_site,
    new_date,
    published,
    run_many,
    scaled,
    site,
    undisturbed,
)

__all__ = ["module_site", "scaled", "site"]

LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("service", "point"),
    [
        pytest.param("landing", Point(BronzeStore, "copy", 2), id="landing in bronze", marks=LONG),
        pytest.param("lake", Point(LakeStore, "replace", 7), id="lake in silver", marks=LONG),
        pytest.param("lake", Point(LakeStore, "replace", 14), id="lake in gold", marks=LONG),
        pytest.param("ledger", Point(Ledger, "mark_received", 2), id="ledger in silver"),
        pytest.param("ledger", Point(Ledger, "end_checks", 2), id="ledger after checks", marks=LONG),
        pytest.param("ledger", Point(Ledger, "publish", 2), id="ledger at the end", marks=LONG),
        pytest.param("warehouse", Point(PostgresStore, "replace"), id="warehouse"),
        pytest.param("warehouse", Point(PostgresStore, "replace", 2), id="warehouse half", marks=LONG),
    ],
)
def test_a_run_over_many_dates_leaves_none_behind(service: str, point: Point, site: Site) -> None:
    daemon = Clockwork(site.platform)
    dates = [new_date() for _ in range(3)]
    for date in dates:
        site.deliver("second", date)
    with before(point, lambda: site.shut(service)) as calls:
        assert not run_many(site.platform, "second", [date.isoformat() for date in dates]).success
    assert len(calls) >= point.number

    for request in daemon.try_tick():  # a date that was not begun: it comes no further
        daemon.start(request)
    assert "failed" not in site.states()
    site.open(service)
    daemon.heal(2)

    assert site.left_behind() == []
    for date in dates:
        site.platform.overview(date)
    wanted = undisturbed({("second", date): 0 for date in dates})
    assert differences(published(site.eye, [("second", date) for date in dates]), wanted) == []


def overviews(requests: list[dg.RunRequest]) -> list[dg.RunRequest]:
    return [request for request in requests if request.job_name == "overview"]


def loaded(site: Site, daemon: Clockwork) -> dt.date:
    date = new_date()
    site.deliver("first", date)
    daemon.heal(1)
    assert site.left_behind() == []
    return date


@pytest.mark.parametrize(
    ("service", "point"),
    [
        pytest.param("warehouse", Point(PostgresStore, "replace"), id="warehouse"),
        pytest.param("lake", Point(LakeStore, "replace"), id="lake", marks=LONG),
        pytest.param("lake", Point(LakeStore, "read"), id="lake at its start", marks=LONG),
    ],
)
def test_a_table_across_institutions_is_asked_for_again_when_its_service_answers(
    service: str, point: Point, site: Site
) -> None:
    daemon = Clockwork(site.platform)
    date = loaded(site, daemon)
    with before(point, lambda: site.shut(service)):
        assert not site.platform.overview(date).succeeded

    assert overviews(daemon.try_tick()) == [], "not while it is away"
    site.open(service)
    (request,) = overviews(daemon.tick())
    assert request.partition_key == date.isoformat()
    assert daemon.start(request).success

    assert overviews(daemon.tick()) == []
    wanted = undisturbed({("first", date): 0})
    assert differences(published(site.eye, [("first", date)]), wanted) == []


def test_a_table_across_institutions_that_fails_again_and_again_is_asked_for_a_few_times(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Clockwork(site.platform)
    date = loaded(site, daemon)

    def fails(*_: object, **__: object) -> None:
        raise StorageUnavailableError("Postgres", found="as ordered", service="warehouse")

    with monkeypatch.context() as patched:
        patched.setattr(PostgresStore, "replace", fails)
        assert not site.platform.overview(date).succeeded
        asked = 0
        for _ in range(OVERDUE_TRIES + 2):
            for request in overviews(daemon.tick()):
                asked += 1
                assert not daemon.start(request).success
    assert asked == OVERDUE_TRIES
    assert overviews(daemon.tick()) == [], "the same rows are for a person now"

    site.deliver("first", date, version=1)
    with monkeypatch.context() as patched:
        daemon.heal(1)
        patched.setattr(PostgresStore, "replace", fails)
        assert not site.platform.overview(date).succeeded
    (request,) = overviews(daemon.tick())
    assert daemon.start(request).success, "other rows are asked for anew"
