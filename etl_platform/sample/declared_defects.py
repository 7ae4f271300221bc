"""Ways to break the rules of a declared dataset, found by trying: a bad value that breaks the rule in every row.

Which further rules break with it is seen on the same rows, so that the expected counts are exact.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache

import polars as pl

from etl_platform.contracts.rules import presence_rule, type_rule
from etl_platform.sample.declared import broken, declared_rows
from etl_platform.sample.defect import FAR_AHEAD, LONG_AGO, Defect, Values, fixed
from etl_platform.sample.delivery_style import Sender

TRIAL_ROWS, TRIAL_DATE = 200, dt.date(2025, 1, 15)
BAD_TEXTS = ("?", "   ", "", "?" * 300)
BAD_NUMBERS = (-1, 0, -1_000_000, 10**7, 10**9, 10**12)
BEFORE_ALL = dt.date(1800, 1, 1)


def declared_defects(sender: Sender) -> dict[str, Defect]:
    """Rule -> defect, for the rules that some bad value breaks in every row."""
    return _found(_Known(sender))[0]


def declared_corrections(sender: Sender) -> Values:
    """A column that may hold another valid value in every row, and that value; empty where there is none."""
    return _found(_Known(sender))[1]


class _Known:
    """A sender that can be looked up: two with the same configuration send the same."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self._identity = (sender.institution.model_dump_json(), repr(sender.contract.declaration))

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and self._identity == other._identity


@cache
def _found(known: _Known) -> tuple[dict[str, Defect], Values]:
    sender = known.sender
    rows = declared_rows(sender, TRIAL_DATE, 0, TRIAL_ROWS, 1)
    defects: dict[str, Defect] = {}
    for column in sender.names:
        for value in (pl.lit(None, rows.schema[column]), *_candidates(rows.schema[column])):
            values = {column: value}
            also = _always_broken(rows.with_columns(value.alias(column)), sender)
            for rule in also:
                others = tuple(name for name in also if name != rule)
                if rule not in defects or len(others) < len(defects[rule].also):
                    defects[rule] = fixed(values, *others)
    return defects, _corrections(rows, sender)


def _candidates(dtype: pl.DataType) -> Iterator[pl.Expr]:
    if isinstance(dtype, pl.String):
        yield from (pl.lit(text) for text in BAD_TEXTS)
    elif isinstance(dtype, pl.Date | pl.Datetime):
        yield from (pl.lit(day).cast(dtype) for day in (LONG_AGO, BEFORE_ALL, FAR_AHEAD))
    elif isinstance(dtype, pl.Boolean):
        yield from (pl.lit(True), pl.lit(False))
    else:
        largest = 10 ** ((dtype.precision or 38) - dtype.scale) if isinstance(dtype, pl.Decimal) else 2**62
        yield from (pl.lit(number).cast(dtype) for number in BAD_NUMBERS if abs(number) < largest)


def _always_broken(rows: pl.DataFrame, sender: Sender) -> tuple[str, ...]:
    """The rules that every row breaks, where all rows break the same; what follows from a missing value left out."""
    found = broken(rows, sender.contract, TRIAL_DATE, sender.code)
    counts = dict(found.group_by("rule").len().iter_rows())
    for derived in sender.contract.derived:
        if any(presence_rule(name) in counts for name in derived.inputs):
            for rule in (presence_rule(derived.name), type_rule(derived.name)):
                counts.pop(rule, None)
    return tuple(counts) if all(count == rows.height for count in counts.values()) else ()


def _corrections(rows: pl.DataFrame, sender: Sender) -> Values:
    contract = sender.contract
    fixed_columns = {*contract.key, *contract.unique, *sender.supplied}
    for name in sender.names:
        if name in fixed_columns:
            continue
        for value in _other_values(pl.col(name), rows.schema[name], rows[name]):
            new = rows.with_columns(value.alias(name))
            differs = bool((new[name].ne_missing(rows[name])).all())
            if differs and broken(new, contract, TRIAL_DATE, sender.code).is_empty():
                return {name: value}
    return {}


def _other_values(value: pl.Expr, dtype: pl.DataType, seen: pl.Series) -> Iterator[pl.Expr]:
    if dtype.is_numeric():
        one = pl.lit(1).cast(dtype)
        yield (value + one).cast(dtype)
        # Where the highest value leaves no room above it.
        yield pl.when(value > one).then(value - one).otherwise(value + one).cast(dtype)
    elif isinstance(dtype, pl.String):
        known = seen.drop_nulls().unique().sort()
        if len(known) > 1:
            yield pl.when(value == known[0]).then(pl.lit(known[1])).otherwise(pl.lit(known[0]))
    elif isinstance(dtype, pl.Date | pl.Datetime):
        yield value.dt.offset_by("-1d")
    elif isinstance(dtype, pl.Boolean):
        yield ~value
