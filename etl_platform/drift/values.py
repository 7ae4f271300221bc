"""Values that kept their type and changed their meaning: cents for units, a new currency, another time zone.

Each function compares the profile of a partition with those of earlier ones and says what is not as usual. They are
hints for a person, never a reason to refuse rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from etl_platform.drift.profile import HOURS, Profile
from etl_platform.limits import DRIFT_FEWEST_PARTITIONS, DRIFT_FEWEST_ROWS

NEAR = 0.15
"""How near to a power of ten a factor must be, in powers of ten: 7.1x to 14x counts as 10x."""
LARGEST_POWER = 4
NOISE = 4.0
"""A jump must be so many times the usual deviation from the median: few rows of wild amounts jump every day."""
FITS, BETTER, CLEARLY = 0.7, 0.08, 3.0
"""A shift is one when the shifted hours overlap the usual ones by FITS or more, by BETTER more than unshifted (an hour
in a working day of eight gains 0.11), and when that gain is CLEARLY times what chance gains on other days. Days that
are not ALIKE must also gain more than one over the root of the number of events. Simulated with 10 to 2,000 random
events a day: about 1 % false alarms or fewer; an hour is found from 200 events, or at once where days are alike."""
ALIKE = 0.98


@dataclass(frozen=True)
class Jump:
    """A group of a watched column whose median is `factor` (a power of ten) times the usual one."""

    column: str
    group: str
    median: float
    usual: float
    factor: float
    partitions: int


@dataclass(frozen=True)
class NewValue:
    """A value of a category that no earlier partition has."""

    column: str
    value: str
    rows: int


@dataclass(frozen=True)
class HourShift:
    """Events `hours` later than usual (negative: earlier). median, usual: hour of the day."""

    hours: int
    median: float
    usual: float


def jumps(profile: Profile, earlier: Sequence[Profile]) -> list[Jump]:
    """Groups whose values are a power of ten away from the median of the earlier partitions that have the group."""
    found = []
    for column, groups in profile.medians.items():
        for group, value in groups.items():
            trailing = [p.medians[column][group] for p in earlier if group in p.medians.get(column, {})]
            if len(trailing) >= DRIFT_FEWEST_PARTITIONS and (power := _power(value, trailing)):
                found.append(Jump(column, group, value, median(trailing), 10.0**power, len(trailing)))
    return found


def _power(value: float, trailing: Sequence[float]) -> int:
    logs = [math.log10(earlier) for earlier in trailing]
    usual = median(logs)
    delta = math.log10(value) - usual
    power = round(delta)
    noise = median(abs(earlier - usual) for earlier in logs)
    is_jump = 1 <= abs(power) <= LARGEST_POWER and abs(delta - power) <= NEAR and abs(delta) >= NOISE * noise
    return power if is_jump else 0


def new_values(profile: Profile, earlier: Sequence[Profile]) -> list[NewValue]:
    """Values of categories that appear for the first time."""
    found = []
    for column, values in profile.categories.items():
        trailing = [set(p.categories[column]) for p in earlier if column in p.categories]
        if len(trailing) >= DRIFT_FEWEST_PARTITIONS:
            known = set().union(*trailing)
            found += [NewValue(column, value, rows) for value, rows in values.items() if value not in known]
    return found


def hour_shift(profile: Profile, earlier: Sequence[Profile]) -> HourShift | None:
    """The whole hours by which the events moved around the clock, if they did.

    A day that ends early is none: its hours overlap the usual ones best where they are.
    """
    trailing = [_shares(p.hours) for p in earlier if sum(p.hours) >= DRIFT_FEWEST_ROWS]
    if len(trailing) < DRIFT_FEWEST_PARTITIONS or sum(profile.hours) < DRIFT_FEWEST_ROWS:
        return None
    usual = [sum(shares[hour] for shares in trailing) / len(trailing) for hour in range(HOURS)]
    now = _shares(profile.hours)
    best, fit, gain = _best_shift(now, usual)
    others = [_best_shift(shares, usual) for shares in trailing]
    chance = median(gain for _, _, gain in others)
    is_alike = median(fit - gain for _, fit, gain in others) > ALIKE
    noise = 0.0 if is_alike else sum(profile.hours) ** -0.5
    if best == 0 or fit < FITS or gain < max(BETTER, CLEARLY * chance, noise):
        return None
    medians = [_median_hour(p.hours) for p in earlier if sum(p.hours) >= DRIFT_FEWEST_ROWS]
    return HourShift(best, _median_hour(profile.hours), median(medians))


def _shares(hours: Sequence[int]) -> list[float]:
    total = sum(hours)
    return [count / total for count in hours]


def _best_shift(now: Sequence[float], usual: Sequence[float]) -> tuple[int, float, float]:
    """The shift that fits best, how well it fits, and how much better than none."""
    fits = {shift: _overlap(now, usual, shift) for shift in range(-HOURS // 2 + 1, HOURS // 2 + 1)}
    best = max(fits, key=lambda shift: (fits[shift], -abs(shift)))
    return best, fits[best], fits[best] - fits[0]


def _overlap(now: Sequence[float], usual: Sequence[float], shift: int) -> float:
    """0..1: how much of the day is as usual when it is taken to be `shift` hours late."""
    return sum(min(now[(hour + shift) % HOURS], usual[hour]) for hour in range(HOURS))


def _median_hour(hours: Sequence[int]) -> float:
    total, seen = sum(hours), 0
    for hour, count in enumerate(hours):
        seen += count
        if seen * 2 >= total:
            return hour
    return 0
