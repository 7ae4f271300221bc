"""Checks of `silver/<dataset>` for drift: the sender's columns, and what the values mean. Thin: see `transforms/`."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.check_names import CheckName
from etl_platform.contracts.contract import Contract
from etl_platform.drift.columns import describe, differences_frame
from etl_platform.drift.profile import Profile, has_hours
from etl_platform.drift.values import hour_shift, jumps, new_values
from etl_platform.institutions.model import DriftPolicy
from etl_platform.ledger.records import DeliveredSchema
from etl_platform.limits import DRIFT_FEWEST_PARTITIONS, DRIFT_FEWEST_ROWS, DRIFT_PARTITIONS
from etl_platform.pipeline.check import Check
from etl_platform.pipeline.schema_drift import drift_of, is_tolerated
from etl_platform.pipeline.verdict import Verdict


@dataclass(frozen=True)
class DriftFacts:
    """What the drift checks of one partition look at. earlier: newest first."""

    policy: DriftPolicy
    delivered: Sequence[DeliveredSchema]
    profile: Profile
    earlier: Sequence[Profile]


def drift_checks(contract: Contract) -> tuple[Check[DriftFacts], ...]:
    """Every drift check of the dataset. Those of values never block, whatever the institution's policy."""
    trailing = f"the last {DRIFT_PARTITIONS} partitions (warning)"
    columns = "The sender's columns are as in the contract and the last delivery (by `drift_policy`)."
    checks = [Check(CheckName.DRIFT, columns, _schema)]
    if contract.watched:
        names = ", ".join(watched.column for watched in contract.watched)
        sentence = f"No median of {names} is near a power of ten times that of {trailing}."
        checks.append(Check(CheckName.MAGNITUDES, sentence, _magnitudes, blocks=False))
    if contract.categories:
        names = ", ".join(contract.categories)
        sentence = f"No value of {names} appears that is in none of {trailing}."
        checks.append(Check(CheckName.CATEGORIES, sentence, _categories, blocks=False))
    if has_hours(contract):
        sentence = f"The hours of {contract.event_time} are not moved against those of {trailing}."
        checks.append(Check(CheckName.HOURS, sentence, _hours, blocks=False))
    return tuple(checks)


def semantic_warnings(contract: Contract, profile: Profile, earlier: Sequence[Profile]) -> list[str]:
    """What the checks that compare with earlier partitions would say of `profile`."""
    facts = DriftFacts("ignore", (), profile, earlier)
    judged = {check.name: check.judge(facts) for check in drift_checks(contract) if not check.blocks}
    return [f"{name}: {verdict.text}" for name, verdict in judged.items() if not verdict.passed]


def _schema(facts: DriftFacts) -> Verdict:
    drifted = drift_of(facts.delivered)
    disturbing = [(file, difference) for file, difference in drifted if not is_tolerated(difference, facts.policy)]
    changes = [difference.change for _, difference in drifted]
    numbers = {change: changes.count(change) for change in ("new", "missing", "retyped")}
    text = f"{describe(drifted)} (policy {facts.policy})" if drifted else "no drift"
    return Verdict(not disturbing, numbers, text, differences_frame(drifted), warns=facts.policy != "fail")


def _magnitudes(facts: DriftFacts) -> Verdict:
    if not _can_compare(facts):
        return _too_few(facts)
    found = jumps(facts.profile, facts.earlier)
    sample = pl.DataFrame([vars(jump) for jump in found[:20]]) if found else None
    shown = ", ".join(f"{f'{j.column} {j.group}'.strip()}: {j.factor:g}x the usual {j.usual:g}" for j in found[:5])
    numbers = {"jumps": len(found), "groups": sum(map(len, facts.profile.medians.values()))}
    return Verdict(not found, numbers, shown or f"as in {len(facts.earlier)} partitions", sample, warns=True)


def _categories(facts: DriftFacts) -> Verdict:
    if not _can_compare(facts):
        return _too_few(facts)
    found = new_values(facts.profile, facts.earlier)
    sample = pl.DataFrame([vars(value) for value in found[:20]]) if found else None
    shown = ", ".join(f"{v.column} {v.value}: first seen, {v.rows} rows" for v in found[:5])
    return Verdict(
        not found, {"new_values": len(found)}, shown or f"as in {len(facts.earlier)} partitions", sample, warns=True
    )


def _hours(facts: DriftFacts) -> Verdict:
    if not _can_compare(facts):
        return _too_few(facts)
    found = hour_shift(facts.profile, facts.earlier)
    if found is None:
        text = f"not moved against {len(facts.earlier)} partitions"
        if sum(facts.profile.hours) < DRIFT_FEWEST_ROWS:
            text = f"{sum(facts.profile.hours)} events are too few to compare"
        return Verdict(True, {"hours_moved": 0}, text, warns=True)
    text = f"moved by {found.hours:+d} h: median hour {found.median:g}, usually {found.usual:g}; a change of time zone?"
    numbers = {"hours_moved": found.hours, "median_hour": found.median, "trailing_median_hour": found.usual}
    return Verdict(False, numbers, text, warns=True)


def _can_compare(facts: DriftFacts) -> bool:
    return len(facts.earlier) >= DRIFT_FEWEST_PARTITIONS


def _too_few(facts: DriftFacts) -> Verdict:
    return Verdict(True, {}, f"{len(facts.earlier)} earlier partitions are too few to compare with", warns=True)
