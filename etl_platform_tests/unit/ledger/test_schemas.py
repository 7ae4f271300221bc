"""Sender schemas and profiles on record: repeatable, in order, and readable without leaving a trace."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from etl_platform.delivery import Delivery
from etl_platform.errors import StorageError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import DeliveredSchema
from etl_platform_tests.support.landing_objects import NOW, landing_object
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

DRIFT = [{"change": "new", "column": "ve\0nue \ud800 é"}]


def partition(day: int = 15, institution: str = "first") -> Delivery:
    return Delivery("prices", dt.date(2025, 1, day), institution)


def delivered(uri: str, day: int = 15, delivery: int = 1, sha256: str = "s", **more: Any) -> DeliveredSchema:
    columns = [{"name": uri, "type": "text"}]
    return DeliveredSchema(
        partition(day), "landing", uri, sha256, f"key of {uri}", delivery, "csv", "warn", columns, [], **more
    )


def with_drift(found: DeliveredSchema) -> DeliveredSchema:
    return DeliveredSchema(**{**vars(found), "differences": DRIFT})


def uris(found: list[DeliveredSchema]) -> list[tuple[str, bool]]:
    return [(one.uri, one.is_current) for one in found]


def test_recording_twice_is_recording_once_and_loses_nothing(ledger: Ledger) -> None:
    wanted = [delivered("b", delivery=2), with_drift(delivered("a"))]
    for run in ("run 1", "run 2"):
        ledger.record_schemas(run, partition(), wanted, now=NOW)
    first, second = ledger.schemas(partition())
    assert (first.uri, first.differences, first.recorded_at) == ("a", DRIFT, NOW)
    assert (second.uri, second.columns, second.key) == ("b", [{"name": "b", "type": "text"}], "key of b")


def test_an_overwritten_object_stays_on_record_as_not_current(ledger: Ledger) -> None:
    ledger.record_schemas("run 1", partition(), [with_drift(delivered("a"))], now=NOW)
    ledger.record_schemas("run 2", partition(), [delivered("a", sha256="corrected")], now=NOW)
    assert [(s.sha256, s.differences) for s in ledger.schemas(partition())] == [("corrected", [])]
    assert uris(ledger.drifted(["first"], ["prices"])) == [("a", False)]


def test_drift_is_listed_by_institution_dataset_and_date(ledger: Ledger) -> None:
    for day in (15, 14):
        ledger.record_schemas("run", partition(day), [with_drift(delivered(f"d{day}", day))], now=NOW)
    ledger.record_schemas("run", partition(16), [delivered("d16", 16)], now=NOW)
    assert uris(ledger.drifted(["first"], ["prices"])) == [("d14", True), ("d15", True)]
    assert uris(ledger.drifted(["first"], ["prices"], [dt.date(2025, 1, 15)])) == [("d15", True)]
    assert ledger.drifted(["second"], ["prices"]) == [] and ledger.drifted(["first"], ["accounts"]) == []
    assert ledger.drifted(["first"], ["prices"], []) == []


def test_the_last_delivery_is_the_latest_good_one_before(ledger: Ledger) -> None:
    def last(day: int, **options: Any) -> str | None:
        found = ledger.last_schema(partition(day), **options)
        return found.uri if found else None

    assert last(15) is None
    ledger.record_schemas("run", partition(13), [delivered("a", 13), delivered("b", 13, 2)], now=NOW)
    ledger.record_schemas("run", partition(14), [delivered("stopped", 14, is_baseline=False)], now=NOW)
    ledger.record_schemas("run", partition(16), [delivered("later", 16)], now=NOW)
    assert last(15) == "b" and last(13) is None
    assert last(13, before_key="key of new") == "b" and last(13, before_key="key of b") == "a"
    assert ledger.last_schema(partition(15, "second")) is None


def test_profiles_come_newest_first_and_only_of_earlier_dates_with_rows(ledger: Ledger) -> None:
    for day, rows in ((12, 5), (13, 5), (14, 0), (15, 5), (16, 5)):
        for turn in (1, 2):
            ledger.record_profile(partition(day), rows, {"day": day, "turn": turn, "é\0": None}, now=NOW)
    found = ledger.earlier_profiles(partition(16), 2)
    assert [(p["day"], p["turn"]) for p in found] == [(15, 2), (13, 2)]
    assert [p["day"] for p in ledger.earlier_profiles(partition(15), 30)] == [13, 12]
    assert ledger.earlier_profiles(partition(16, "second"), 30) == []


def test_a_read_only_ledger_sees_what_is_there_and_refuses_to_write(ledger: Ledger, ledger_url: str) -> None:
    ledger.record_seen([landing_object("a.csv")], now=NOW)
    ledger.record_schemas("run", partition(), [delivered("a")], now=NOW)
    reader = Ledger(ledger_url, read_only=True)
    assert uris(reader.schemas(partition())) == [("a", True)] and len(reader.objects()) == 1
    with pytest.raises(StorageError, match="reads only"):
        reader.record_schemas("run", partition(), [], now=NOW)
    ledger.record_schemas("run", partition(), [delivered("a"), delivered("b", delivery=2)], now=NOW)
    assert len(reader.schemas(partition())) == 2
    reader.close()


def test_a_read_only_ledger_that_is_not_there_yet_is_empty_and_stays_away(ledger_url: str, tmp_path: Path) -> None:
    reader = Ledger(ledger_url, read_only=True)
    assert reader.schemas(partition()) == [] and reader.last_schema(partition()) is None and reader.objects() == []
    reader.close()
    assert list(tmp_path.iterdir()) == []
    again = Ledger(ledger_url, read_only=True)
    assert again.objects() == []
    again.close()


def test_reading_leaves_no_file_beside_a_quiet_sqlite_ledger(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger #1?.db".replace("?", "%3F")
    writer = Ledger(url)
    writer.record_schemas("run", partition(), [delivered("a")], now=NOW)
    writer.close()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    reader = Ledger(url, read_only=True)
    assert len(reader.schemas(partition())) == 1
    reader.close()
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before and len(before) == 1
