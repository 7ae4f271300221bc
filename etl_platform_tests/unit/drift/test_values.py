"""Cents for units, a new currency, a moved clock: found by comparing profiles, and not seen where nothing changed."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Sequence
from decimal import Decimal

import polars as pl
import pytest

from etl_platform.contracts import BUILT_IN
from etl_platform.drift.profile import Profile, Profiler
from etl_platform.drift.values import hour_shift, jumps, new_values
from etl_platform.limits import PROFILE_GROUPS, PROFILE_VALUES

TRANSACTIONS = BUILT_IN["transactions"]


def movements(amounts: Sequence[float | None], currency: str = "CHF", hours: Sequence[int] = (10,)) -> pl.DataFrame:
    times = [dt.datetime(2025, 1, 15, hours[n % len(hours)], tzinfo=dt.UTC) for n in range(len(amounts))]
    return pl.DataFrame(
        {"amount": [None if a is None else Decimal(str(a)) for a in amounts], "currency": currency, "timestamp": times},
        schema={"amount": pl.Decimal(18, 4), "currency": pl.String, "timestamp": pl.Datetime("us", "UTC")},
    )


def profile(*frames: pl.DataFrame, zone: str = "UTC") -> Profile:
    profiler = Profiler(TRANSACTIONS, zone)
    assert [frame.height for frame in profiler.watch(frames)] == [frame.height for frame in frames]
    return profiler.profile()


def days(*levels: float) -> list[Profile]:
    return [Profile(rows=1, medians={"amount": {"CHF": level}}) for level in levels]


def day(level: float) -> Profile:
    return days(level)[0]


def test_a_profile_holds_medians_of_absolute_values_by_group_over_all_frames() -> None:
    found = profile(movements([100, -200]), movements([300]), movements([7], "EUR"))
    assert found.rows == 4
    assert found.medians["amount"]["CHF"] == pytest.approx(200, rel=0.025)
    assert found.medians["amount"]["EUR"] == pytest.approx(7, rel=0.025)
    assert found.categories == {"currency": {"CHF": 3, "EUR": 1}}


def test_missing_values_and_zero_have_no_magnitude() -> None:
    assert profile(movements([None, 0, 50])).medians["amount"]["CHF"] == pytest.approx(50, rel=0.025)
    assert profile(movements([0])).medians["amount"] == {}


def test_hours_are_those_of_the_institutions_zone() -> None:
    frame = movements([1, 1], hours=[23, 10])
    assert profile(frame, zone="Europe/Zurich").hours == [1, *[0] * 10, 1, *[0] * 12]


def test_a_profile_is_bounded_and_survives_json() -> None:
    many = pl.concat([movements([1], f"C{n:05}") for n in range(PROFILE_GROUPS + 50)])
    found = profile(many, movements([1, 1], "C01049"))
    assert len(found.medians["amount"]) == PROFILE_GROUPS and "C01049" in found.medians["amount"]
    assert PROFILE_VALUES < PROFILE_GROUPS and "currency" not in found.categories
    assert Profile.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_frames_of_another_schema_and_contracts_without_watched_columns_are_let_through() -> None:
    assert profile(pl.DataFrame({"amount": ["x"]})).medians == {}
    profiler = Profiler(BUILT_IN["products"], "UTC")
    assert list(profiler.watch([pl.DataFrame({"currency": ["CHF"]})])) and profiler.profile().hours == []


@pytest.mark.parametrize("power", [-4, -2, -1, 1, 2, 4])
def test_a_factor_near_a_power_of_ten_is_a_jump(power: int) -> None:
    (jump,) = jumps(day(105 * 10.0**power), days(90, 100, 110))
    assert (jump.column, jump.group, jump.usual, jump.partitions) == ("amount", "CHF", 100, 3)
    assert jump.factor == pytest.approx(10.0**power)


@pytest.mark.parametrize("level", [100, 50, 300, 40_000, 1e7])
def test_other_factors_are_none(level: float) -> None:
    assert jumps(day(level), days(90, 100, 110)) == []


def test_two_days_are_too_few_and_a_new_group_has_nothing_to_compare_with() -> None:
    assert jumps(day(10_000), days(100, 100)) == []
    assert jumps(Profile(medians={"amount": {"EUR": 1e4}}), days(100, 100, 100)) == []


def test_a_group_that_jumps_every_day_does_not_jump() -> None:
    assert jumps(day(1_000), days(10, 1_000, 100, 10_000, 100)) == []


def test_a_jump_is_still_one_on_the_day_after() -> None:
    assert len(jumps(day(10_000), days(10_000, 100, 100, 100))) == 1


def test_random_amounts_of_many_days_raise_no_alarm() -> None:
    dice = random.Random(7)
    history = [profile(movements([dice.lognormvariate(5, 1) for _ in range(40)])) for _ in range(60)]
    alarms = [jump for n in range(3, 60) for jump in jumps(history[n], history[max(0, n - 30) : n])]
    assert alarms == []


def test_a_value_that_appears_for_the_first_time_is_named_with_its_rows() -> None:
    before = [profile(movements([1], c)) for c in ("CHF", "EUR", "CHF")]
    now = profile(movements([1, 2], "PLN"), movements([1], "EUR"))
    assert [(v.column, v.value, v.rows) for v in new_values(now, before)] == [("currency", "PLN", 2)]
    assert new_values(now, before[:2]) == []


OFFICE = [9, 10, 10, 11, 11, 12, 13, 14, 15, 16]


def at(hours: Sequence[int]) -> Profile:
    return profile(movements([1] * len(hours), hours=hours))


@pytest.mark.parametrize("shift", [-8, -1, 1, 2, 9])
def test_events_that_move_by_whole_hours_are_seen(shift: int) -> None:
    found = hour_shift(at([(hour + shift) % 24 for hour in OFFICE]), [at(OFFICE)] * 4)
    assert found is not None and found.hours == shift and found.usual == 11


@pytest.mark.parametrize(
    "hours",
    [OFFICE, OFFICE[:1] * 3 + OFFICE, [9, 10, 10, 11, 11] * 2, list(range(24)), [20] * 5 + [3] * 5, [12] * 9],
    ids=["the same", "more early", "the morning only", "all day", "another pattern", "few"],
)
def test_what_is_no_shift_is_not_called_one(hours: list[int]) -> None:
    assert hour_shift(at(hours), [at(OFFICE)] * 4) is None


def test_hours_need_earlier_days() -> None:
    assert hour_shift(at([12] * 10), [at([10] * 10)] * 2) is None
