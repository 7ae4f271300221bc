"""Dagster's own storage away for a moment: no partition fails for good by it, whoever can say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa

from etl_platform.defs.endings import DAGSTER
from etl_platform.ledger.records import State
from etl_platform_tests.support.outages import QUICK, Clockwork
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, dagster_instance, open_instance, plain

__all__ = ["dagster_instance", "plain"]
AWAY = sa.exc.OperationalError("insert", {}, psycopg.OperationalError("server closed the connection unexpectedly"))
Kind = dg.DagsterEventType


@pytest.fixture
def site(plain: Platform) -> Iterator[Platform]:
    settings = plain.settings.model_copy(update=QUICK)
    with open_instance(plain.settings.root.parent / "dagster of its own") as instance:
        yield Platform(settings, instance)


def refuse(platform: Platform, monkeypatch: pytest.MonkeyPatch, step: str, kinds: set[Kind]) -> list[str]:
    """The storage takes no event of these kinds of the step, once from the first on. Returns those it refused."""
    storage = platform.instance.event_log_storage
    store, refused = storage.store_event, list[str]()

    def store_event(event: dg.EventLogEntry) -> None:
        found = event.dagster_event if event.is_dagster_event else None
        if found is not None and found.step_key == step and found.event_type in kinds:
            kinds.discard(found.event_type)
            refused.append(found.event_type.value)
            raise AWAY
        store(event)

    monkeypatch.setattr(storage, "store_event", store_event)
    return refused


@pytest.mark.parametrize(
    "step",
    ["bronze__prices", *(pytest.param(s, marks=pytest.mark.long) for s in ("silver_prices", "warehouse__prices"))],
)
@pytest.mark.parametrize(
    "kinds",
    [{Kind.STEP_OUTPUT}, {Kind.STEP_OUTPUT, Kind.STEP_FAILURE}, {Kind.STEP_START}],
    ids=["back at once", "away when the step fails", "before the step begins"],
)
def test_two_ticks_heal_it(site: Platform, monkeypatch: pytest.MonkeyPatch, step: str, kinds: set[Kind]) -> None:
    site.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    refused = refuse(site, monkeypatch, step, set(kinds))
    daemon = Clockwork(site)
    for request in daemon.tick():
        with suppress(sa.exc.OperationalError):
            daemon.start(request)
    assert refused
    assert State.FAILED not in {found.state for found in site.ledger.objects()}

    daemon.heal(2)

    assert [found.state for found in site.ledger.objects()] == [State.LOADED]
    assert site.table("warehouse", "prices", "first").height == 1
    assert site.ledger.open_attempts() == [] and site.ledger.troubles() == []


def test_what_waits_for_it_says_so(site: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put(f"first/prices/{DATE}/a.csv", HEADER + bar("AAA"))
    refuse(site, monkeypatch, "silver_prices", {Kind.STEP_OUTPUT})
    daemon = Clockwork(site)
    for request in daemon.tick():
        daemon.start(request)
    [waiting] = site.ledger.troubles()
    assert waiting.service == DAGSTER
    assert "OperationalError: server closed the connection unexpectedly; expected an answer" in waiting.error
