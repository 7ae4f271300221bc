"""Who is dead by their silence, without a comparison of clocks."""

from __future__ import annotations

from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import HEARTBEAT_SILENCE
from etl_platform_tests.support.landing_objects import NOW, after
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

LONG = HEARTBEAT_SILENCE.total_seconds()


def test_who_beats_is_alive_however_late_somebody_looks(ledger: Ledger) -> None:
    for look in range(5):
        ledger.beat("run")
        assert ledger.silent(["run"], now=after(look * 10 * LONG)) == []


def test_who_is_silent_since_the_first_look_is_dead(ledger: Ledger) -> None:
    ledger.beat("run")
    assert ledger.silent(["run", "never heard of"], now=NOW) == []
    assert ledger.silent(["run", "never heard of"], now=after(LONG - 1)) == []
    assert sorted(ledger.silent(["run", "never heard of"], now=after(LONG))) == ["never heard of", "run"]


def test_one_beat_is_enough_to_live_on(ledger: Ledger) -> None:
    ledger.silent(["run"], now=NOW)
    ledger.beat("run")
    assert ledger.silent(["run"], now=after(LONG)) == []
    assert ledger.silent(["run"], now=after(2 * LONG - 1)) == []
    assert ledger.silent(["run"], now=after(2 * LONG)) == ["run"]


def test_who_is_forgotten_is_asked_about_from_the_start(ledger: Ledger) -> None:
    ledger.silent(["run"], now=NOW)
    ledger.forget_beats(["run"])
    assert ledger.silent(["run"], now=after(LONG)) == []
    assert ledger.silent([], now=after(LONG)) == []
