"""`etl-platform run` during an outage says what waits and for what; the next one after it loads everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl_platform.landing.copies import BronzeStore
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform.stores.postgres.store import PostgresStore
from etl_platform_tests.cli.test_commands import Shell, deliver, etl, home, row_of
from etl_platform_tests.support.flaky_http import Reset, run_flaky_server
from etl_platform_tests.support.gate import Gate, run_gate
from etl_platform_tests.support.outages import QUICK, Point, before, body
from etl_platform_tests.support.platform import DATE
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store
from etl_platform_tests.support.s3 import S3Bucket

__all__ = ["etl", "home"]

CODES = ("first", "second")


@pytest.fixture
def quick(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(f"ETL_{name.upper()}", str(value))


def through(gate: Gate, database: PostgresDatabase) -> str:
    return database.url.replace(f":{database.server.port}/", f":{gate.port}/") + "?gssencmode=disable"


@pytest.fixture
def warehouse(
    quick: None, postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Gate, PostgresDatabase]]:
    new_store(postgres_database.url, institutions=CODES)
    server = postgres_database.server
    with run_gate(server.host, server.port) as gate:
        monkeypatch.setenv("ETL_WAREHOUSE", "postgres")
        monkeypatch.setenv("ETL_POSTGRES_URL", through(gate, postgres_database))
        yield gate, postgres_database


def rows(database: PostgresDatabase, code: str) -> int:
    try:
        return int(database.rows(f"SELECT count(*) FROM {code}.prices")[0][0])
    except psycopg.errors.UndefinedTable:
        return 0


def failed(home: Path) -> list[str]:
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    found = [str(one.reason) for one in ledger.objects(states=[State.FAILED])]
    ledger.close()
    return found


def test_a_run_while_the_warehouse_is_away(home: Path, etl: Shell, warehouse: tuple[Gate, PostgresDatabase]) -> None:
    gate, database = warehouse
    for code in CODES:
        deliver(home, code, DATE)
    gate.shut()

    during = etl("run", "--workers", "1")
    still = etl("run", "--workers", "1")

    waiting = f"waiting for warehouse: first prices {DATE}, second prices {DATE}"
    assert during.status == 1 and waiting in during.out, during.out + during.err
    assert still.status == 1 and waiting in still.out
    assert "away warehouse, partitions wait for it: Postgres" in still.out
    assert failed(home) == []
    shown, document, doctor = etl("status"), etl("status", "--json"), etl("doctor")
    assert shown.status == 1 and "1/0 ~" in row_of(shown.out, str(DATE))
    assert shown.out.count("waiting for warehouse, next try when it answers first prices") == 1
    found = [(p["service"], p["next_try_at"]) for p in json.loads(document.out)["partitions"]]
    assert document.status == 1 and found == [("warehouse", None)] * 2
    assert doctor.status == 1 and "2 waiting for warehouse" in doctor.out
    gate.open()
    after = etl("run", "--workers", "1")
    assert etl("status").status == etl("doctor").status == 0

    assert after.status == 0 and "waiting" not in after.out, after.out + after.err
    assert [rows(database, code) for code in CODES] == [1, 1]
    assert database.rows("SELECT institutions FROM shared.market_overview") == [(2,)]
    again = etl("run", "--workers", "1")
    assert again.status == 0 and "nothing to run" in again.out


def test_whoever_asks_after_several_short_outages_waits_for_no_delay(
    home: Path, etl: Shell, warehouse: tuple[Gate, PostgresDatabase]
) -> None:
    gate, database = warehouse
    deliver(home, "first", DATE)
    for _ in range(3):
        with before(Point(PostgresStore, "replace"), gate.shut):
            assert etl("run", "--workers", "1").status == 1
        gate.open()  # nobody has seen that it was away

    after = etl("run", "--workers", "1")

    assert after.status == 0, after.out + after.err
    assert rows(database, "first") == 1 and failed(home) == []


@pytest.mark.long
def test_a_run_while_the_landing_zone_is_away(
    home: Path, etl: Shell, quick: None, s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = s3_bucket.server
    with run_flaky_server(server.endpoint_url) as s3:
        for name, value in {
            "LANDING": s3_bucket.url, "S3_ENDPOINT_URL": s3.endpoint_url, "S3_REGION": server.region,
            "S3_ACCESS_KEY_ID": server.access_key_id, "S3_SECRET_ACCESS_KEY": server.secret_access_key,
            "S3_ALLOW_HTTP": "true",
        }.items():  # fmt: skip
            monkeypatch.setenv(f"ETL_{name}", value)
        s3_bucket.put(f"first/prices/{DATE}/a.csv", body("first"))
        away = f"/{s3_bucket.name}"
        s3.away[away] = Reset()
        unseen = etl("run", "--workers", "1")
        assert unseen.status == 1 and "not looked at landing: " in unseen.out and "nothing to run" in unseen.out
        s3.away.clear()
        with before(Point(BronzeStore, "copy"), lambda: s3.away.update({away: Reset()})):
            during = etl("run", "--workers", "1")
        assert during.status == 1 and f"waiting for landing: first prices {DATE}" in during.out, during.out
        s3.away.clear()

        after = etl("run", "--workers", "1")

        assert after.status == 0 and failed(home) == [], after.out + after.err
        assert "1 in all" in after.out


@pytest.mark.long
def test_a_run_while_the_ledger_is_away(
    home: Path, etl: Shell, quick: None, postgres_database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_database.server
    with run_gate(server.host, server.port) as gate:
        monkeypatch.setenv("ETL_LEDGER_URL", through(gate, postgres_database))
        deliver(home, "first", DATE)
        gate.shut()
        unasked = etl("run", "--workers", "1")
        assert unasked.status == 3 and "gave up after 5 tries" in unasked.err and "ledger postgresql://" in unasked.err
        gate.open()
        with before(Point(BronzeStore, "copy"), gate.shut):
            during = etl("run", "--workers", "1")
        assert during.status in (1, 3), during.out + during.err
        gate.open()

        after = etl("run", "--workers", "1")

        assert after.status == 0, after.out + after.err
        ledger = Ledger(postgres_database.url)
        assert [found.state for found in ledger.objects()] == [State.LOADED] and ledger.troubles() == []
        ledger.close()
