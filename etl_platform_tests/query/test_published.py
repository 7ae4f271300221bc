"""What each view shows: what is published under the institution, all that the lake holds under `stored`."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow.parquet as pq
import pytest

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.clock import now
from etl_platform.contracts.ddl import sql_type
from etl_platform.contracts.table import PartitionKey
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.loader import load_institutions
from etl_platform.query import Lake, open_lake, query
from etl_platform.settings import Settings
from etl_platform_tests.support.platform import DATE, HEADER, Platform, bar, plain_senders
from etl_platform_tests.support.s3 import S3Bucket

PARTITION = Delivery.of("prices", PartitionKey(DATE, "first"))


def rows(platform: Platform, sql: str) -> list[tuple[Any, ...]]:
    found = query(sql, platform.settings).rows
    return [tuple(row.values()) for row in found.to_pylist()]


def count(platform: Platform, view: str) -> int:
    ((number,),) = rows(platform, f"SELECT count(*) FROM {view}")
    assert isinstance(number, int)
    return number


def deliver(platform: Platform, code: str, bars: int, date: dt.date = DATE, name: str = "a.csv") -> None:
    lines = "".join(bar(f"{code[:2].upper()}{chr(65 + n)}", n, date=date) for n in range(bars))
    platform.put(f"{code}/prices/{date}/{name}", HEADER + lines)


def make_older(platform: Platform, layer: str, name: str, seconds: float = 3600) -> None:
    """As if the object of the partition had been written so long ago."""
    moment = time.time() - seconds
    os.utime(platform.lake_object(layer, name, "first"), (moment, moment))


@pytest.fixture
def held_back(plain: Platform) -> Platform:
    """Three rows of `first` were published; the next delivery, of five, is held back by a failed check."""
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    make_older(plain, "gold", "daily_bars")
    deliver(plain, "first", 5)
    plain.put(f"first/prices/{DATE}/note.csv", b"\xff\xfe\x00 not a delivery")
    assert "every_file_is_readable" in plain.ingest("first").failed_checks
    return plain


def test_what_a_failed_check_holds_back_is_under_stored_alone(held_back: Platform) -> None:
    assert count(held_back, "stored.prices") == 5
    assert count(held_back, "first.prices") == 0
    assert held_back.table("warehouse", "prices", "first").height == 3, "the warehouse has what was published before"


def test_gold_that_was_not_written_again_stays_published(held_back: Platform) -> None:
    assert count(held_back, "first.daily_bars") == count(held_back, "stored.daily_bars") == 3
    held_back.replace("gold", "daily_bars", "first", held_back.table("gold", "daily_bars", "first"))
    assert count(held_back, "first.daily_bars") == 0, "written after the attempt had begun that is not published"


def test_a_new_delivery_that_passes_is_published_again(held_back: Platform) -> None:
    deliver(held_back, "first", 0, name="note.csv")
    assert held_back.ingest("first").succeeded
    assert count(held_back, "first.prices") == count(held_back, "stored.prices") == 5
    assert count(held_back, "first.daily_bars") == 5


def test_what_is_checked_and_in_no_warehouse_is_not_published(plain: Platform) -> None:
    plain.settings.duckdb_file.parent.mkdir(parents=True)
    plain.settings.duckdb_file.write_bytes(b"no database" * 1_000)
    deliver(plain, "first", 3)
    assert not plain.ingest("first").succeeded
    assert count(plain, "first.prices") == count(plain, "first.daily_bars") == 0
    assert count(plain, "stored.prices") == 3


def test_a_run_that_has_stored_nothing_yet_hides_nothing(plain: Platform) -> None:
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    make_older(plain, "silver", "prices")
    assert plain.ledger.start_attempts("another run", [PARTITION], now=now()) == []
    assert count(plain, "first.prices") == 3
    plain.replace("silver", "prices", "first", plain.table("silver", "prices", "first"))
    assert count(plain, "first.prices") == 0, "what is there now is that run's, and nobody has checked it"
    plain.ledger.mark_failed("another run", PARTITION, "for a reason", now=now())
    assert count(plain, "first.prices") == 0 and count(plain, "stored.prices") == 3


def test_a_clock_that_differs_a_little_shows_nothing_that_is_not_published(plain: Platform) -> None:
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    assert plain.ledger.start_attempts("another run", [PARTITION], now=now()) == []
    make_older(plain, "silver", "prices", seconds=5)  # by a server whose clock is behind
    assert count(plain, "first.prices") == 0


def test_the_view_of_an_institution_shows_its_rows_only(plain: Platform) -> None:
    for code, bars in (("first", 3), ("second", 4)):
        deliver(plain, code, bars)
        assert plain.ingest(code).succeeded
    assert plain.overview().succeeded
    for code, bars in (("first", 3), ("second", 4)):
        assert rows(plain, f"SELECT DISTINCT institution FROM {code}.prices") == [(code,)]
        assert count(plain, f"{code}.prices") == bars
    assert count(plain, "stored.prices") == 7 and count(plain, "shared.market_overview") == 7
    assert rows(plain, "SELECT count(*) FROM first.prices a, second.prices b") == [(12,)]


def test_a_schema_of_another_name_than_the_code_is_the_views_too(
    tmp_path: Path, dagster_instance: dg.DagsterInstance
) -> None:
    senders = plain_senders(tmp_path / "institutions", "first", settings="warehouse_schema: lakeside")
    platform = Platform(Settings(home=tmp_path / "home", institutions_path=senders), dagster_instance)
    deliver(platform, "first", 3)
    assert platform.ingest("first").succeeded
    assert count(platform, "lakeside.prices") == 3


def test_nobody_may_have_the_schema_of_what_is_stored(tmp_path: Path) -> None:
    senders = plain_senders(tmp_path / "institutions", "first", settings="warehouse_schema: stored")
    lake = Lake(Settings(home=tmp_path / "home", institutions_path=senders))
    assert {view.schema for view in lake.views} == {"stored", "shared"}, "the institution is out of use"
    (fault,) = load_institutions(senders, built_in_contracts()).faults
    assert "field warehouse_schema: 'stored', which belongs to what the lake holds" in fault.message


def test_rows_and_types_are_those_of_the_warehouse(platform: Platform) -> None:
    platform.generate(rows=60)
    assert platform.ingest("institution_a").succeeded
    names = {view.table for view in Lake(platform.settings).views if view.institution == "institution_a"}
    assert {"prices", "transactions", "daily_bars", "transaction_summary"} <= {table.name for table in names}
    with duckdb.connect(platform.settings.duckdb_file, read_only=True) as warehouse:
        for table in names:
            described = dict(row[:2] for row in rows(platform, f"DESCRIBE institution_a.{table.name}"))
            spelled = {c.name: sql_type(c.dtype, "duckdb") for c in table.columns}
            assert described == {n: t.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for n, t in spelled.items()}
            if table.name == "daily_sales":
                continue  # of a dataset that has not arrived
            sql = f"SELECT * FROM institution_a.{table.name} ORDER BY ALL"
            warehouse.execute("SET TimeZone = 'UTC'")
            expected = warehouse.sql(sql).to_arrow_table()
            found = query(sql, platform.settings).rows
            assert found.num_rows and found.equals(expected.cast(found.schema))


def test_a_column_that_an_older_object_lacks_is_null(plain: Platform) -> None:
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    path = plain.lake_object("silver", "prices", "first")
    pq.write_table(pq.read_table(path).drop_columns(["_extra", "volume"]), path)
    assert rows(plain, "SELECT DISTINCT _extra, volume FROM first.prices") == [(None, None)]
    assert count(plain, "first.prices") == 3


def test_nothing_is_there_before_the_first_run_and_nothing_is_made(plain: Platform) -> None:
    assert count(plain, "first.prices") == count(plain, "stored.prices") == 0
    assert not Path(plain.settings.lake_root).exists() and not (plain.settings.root / "ledger.db").exists()


def test_a_stray_file_in_the_lake_is_no_rows(plain: Platform) -> None:
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    place = plain.lake_object("silver", "prices", "first")
    for stray in (place.with_name("copy.parquet"), place.parent.with_name("date=someday") / "data.parquet"):
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(place.read_bytes())
    assert count(plain, "stored.prices") == 3


@pytest.mark.parametrize("name", ["it's [a] lake*", "plain lake"])
def test_the_name_of_the_lake_is_no_pattern_and_no_sql(
    tmp_path: Path, dagster_instance: dg.DagsterInstance, name: str
) -> None:
    senders = plain_senders(tmp_path / "institutions", "first")
    settings = Settings(home=tmp_path / "home", lake=str(tmp_path / name), institutions_path=senders)
    platform = Platform(settings, dagster_instance)
    deliver(platform, "first", 3)
    assert platform.ingest("first").succeeded
    assert count(platform, "first.prices") == 3


def test_a_connection_of_ones_own_has_every_view(plain: Platform) -> None:
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    with open_lake(plain.settings) as connection:
        assert connection.execute("SELECT count(*) FROM first.prices").fetchall() == [(3,)]
        assert connection.execute("SELECT count(*) FROM second.prices").fetchall() == [(0,)]
        connection.execute("CREATE TABLE mine AS SELECT * FROM stored.daily_bars")
        comments = connection.execute("SELECT DISTINCT comment FROM duckdb_views() WHERE view_name = 'prices'")
        assert comments.fetchall() == [(plain.graph.catalog.table("silver", "prices").description,)]


def on_s3(tmp_path: Path, bucket: S3Bucket, instance: dg.DagsterInstance) -> Platform:
    server = bucket.server
    return Platform(
        Settings.model_validate({
            "home": tmp_path / "home",
            "lake": f"{bucket.url}/some/lake",
            "institutions_path": plain_senders(tmp_path / "institutions", "first", "second"),
            "s3_endpoint_url": server.endpoint_url,
            "s3_region": server.region,
            "s3_access_key_id": server.access_key_id,
            "s3_secret_access_key": server.secret_access_key,
            "s3_allow_http": True,
        }),
        instance,
    )  # fmt: skip


def test_a_lake_in_s3_is_read_alike(tmp_path: Path, s3_bucket: S3Bucket, dagster_instance: dg.DagsterInstance) -> None:
    platform = on_s3(tmp_path, s3_bucket, dagster_instance)
    days = [DATE + dt.timedelta(days=n) for n in range(2)]
    for day in days:
        deliver(platform, "first", 3, day)
        assert platform.ingest("first", day).succeeded
    deliver(platform, "first", 5, days[0])
    platform.put(f"first/prices/{days[0]}/note.csv", b"\xff\xfe\x00 not a delivery")
    assert not platform.ingest("first", days[0]).succeeded
    assert count(platform, "stored.prices") == 8 and count(platform, "first.prices") == 3
    assert rows(platform, "SELECT DISTINCT business_date FROM first.prices") == [(days[1],)]
    s3_bucket.put(f"some/lake/silver/prices/institution=first/date={days[0]}/data.parquet", b"no longer there")
    found = f"SELECT sum(volume), max(timestamp) FROM first.prices WHERE business_date = '{days[1]}'"
    assert rows(platform, found) == [(300, dt.datetime(2025, 1, 16, 10, 2, tzinfo=dt.UTC))]


def published_of(platform: Platform, partitions: Sequence[Delivery]) -> list[dt.datetime | None]:
    found = platform.ledger.published({"prices"}, {"first"})
    return [found[partition] for partition in partitions if partition in found]


def test_the_ledger_tells_what_was_published_and_when_the_next_attempt_began(plain: Platform) -> None:
    assert published_of(plain, [PARTITION]) == []
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    assert published_of(plain, [PARTITION]) == [None]
    moments = [now() + dt.timedelta(minutes=n) for n in range(2)]
    for number, moment in enumerate(moments):
        assert plain.ledger.start_attempts(f"run {number}", [PARTITION], dead=["run 0"], now=moment) == []
    assert published_of(plain, [PARTITION]) == [moments[0]], "of the first one after it"
    assert plain.ledger.published({"orders"}, {"first"}) == {}


def test_a_wrong_setting_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="institutions folder"):
        query("SELECT 1", Settings(home=tmp_path, institutions_path=tmp_path / "nowhere"))
