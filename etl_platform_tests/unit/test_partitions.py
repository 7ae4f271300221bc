"""Partitions: today is one of them wherever a sender sits, and keys read back as what they name."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import UnknownNameError
from etl_platform.institutions.model import DatasetConfig, Institution
from etl_platform.partitions import build_partitions, format_key, parse_key


def institution(code: str, time_zone: str) -> Institution:
    return Institution(code=code, name=code, time_zone=time_zone, datasets={"prices": DatasetConfig()})


@pytest.mark.parametrize("zones", [("America/New_York", "Pacific/Kiritimati"), ("UTC",), ("Pacific/Pago_Pago",)])
def test_today_of_the_institution_furthest_ahead_is_a_partition_and_its_tomorrow_is_not(zones: tuple[str, ...]) -> None:
    senders = {f"i{n}": institution(f"i{n}", zone) for n, zone in enumerate(zones)}
    partitions = build_partitions(dt.date(2025, 1, 1), senders)
    before = max(dt.datetime.now(zoneinfo.ZoneInfo(zone)).date() for zone in zones)
    last = dt.date.fromisoformat(partitions.date.get_last_partition_key() or "")
    after = max(dt.datetime.now(zoneinfo.ZoneInfo(zone)).date() for zone in zones)
    assert before <= last <= after
    assert partitions.date.get_first_partition_key() == "2025-01-01"
    assert partitions.institution.get_partition_keys() == sorted(senders)
    assert partitions.both.has_partition_key(format_key(PartitionKey(last, "i0")))


@given(st.dates(dt.date(1000, 1, 1)), st.none() | st.from_regex(r"\A[a-z][a-z0-9_]{0,20}\Z"))
def test_keys_read_back_as_what_they_name(date: dt.date, code: str | None) -> None:
    key = PartitionKey(date, code)
    assert parse_key(format_key(key)) == key


def test_keys_are_date_then_institution() -> None:
    assert format_key(PartitionKey(dt.date(2025, 1, 15), "acme")) == "2025-01-15|acme"
    assert format_key(PartitionKey(dt.date(2025, 1, 15))) == "2025-01-15"


@pytest.mark.parametrize(
    "key", ["", "acme|2025-01-15", "2025-02-30|acme", "15.01.2025|acme", "20250115|acme", "2025-W03-3"]
)
def test_what_is_no_key_is_told_with_an_example(key: str) -> None:
    with pytest.raises(UnknownNameError, match=r"2025-01-15\|institution_a") as failure:
        parse_key(key)
    assert repr(key) in str(failure.value)
