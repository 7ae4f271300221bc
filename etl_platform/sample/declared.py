"""Rows of a declared dataset, from its declaration alone: values by type and constraints, keys that differ, and only
rows that fulfil every rule.

Not here: how they are broken on purpose (`declared_defects.py`).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.declaration import ColumnDeclaration, Declaration
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION
from etl_platform.errors import ConfigurationError
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.pattern import matching_texts
from etl_platform.sample.randomness import stream
from etl_platform.transforms.casts import cast_series
from etl_platform.transforms.derive import derive
from etl_platform.transforms.validate import find_failures

POOL = 24
"""Different values of a text that is no key: customers and products come again."""
NULL_SHARE = 0.1
SPAN, DAYS_BACK = 1_000, 365
ROUNDS = 12
_KEY_TYPES = ("string", "integer", "timestamp", "decimal", "date", "float")

Numbers = np.ndarray[Any, np.dtype[np.int64]]


def declared_rows(sender: Sender, date: dt.date, day: int, rows: int, seed: int) -> pl.DataFrame:
    """`rows` rows of the columns that the sender sends. Rows that break a rule are drawn again."""
    random = stream(seed, "declared", sender.code, sender.dataset, day)
    kept: list[pl.DataFrame] = []
    numbered = missing = 0
    for _ in range(ROUNDS):
        missing = rows - sum(part.height for part in kept)
        if missing <= 0:
            break
        size = missing * 2 if kept else missing
        drawn = _draw(sender, date, np.arange(numbered, numbered + size), random)
        numbered += size
        good = np.ones(size, dtype=np.bool_)
        good[broken(drawn, sender.contract, date, sender.code)["index"].to_numpy()] = False
        kept.append(drawn.filter(pl.Series(good)).head(missing))
    else:
        raise ConfigurationError(
            f"sample of institution {sender.code} dataset {sender.dataset}",
            found=f"rules that random rows rarely fulfil: {missing} of {rows} rows could not be made",
            expected="constraints (min, max, allowed, pattern) from which rows follow",
        )
    return pl.concat(kept)


def broken(rows: pl.DataFrame, contract: Contract, date: dt.date, institution: str) -> pl.DataFrame:
    """What `rows` (typed, the sender's columns) break: `index`, `rule`."""
    derived = derive(rows, contract)
    placed = derived.frame.with_columns(pl.lit(date).alias(BUSINESS_DATE), pl.lit(institution).alias(INSTITUTION))
    found = pl.concat([derived.failures, find_failures(placed, contract)])
    return found.select("index", "rule").unique().sort("index", "rule")


def _draw(sender: Sender, date: dt.date, numbers: Numbers, random: np.random.Generator) -> pl.DataFrame:
    declaration = _declaration(sender.contract)
    differing = _differing_columns(sender)
    columns = []
    for column in declaration.columns:
        constant = sender.config.constants.get(column.name)
        if constant is not None:
            text = pl.Series([constant]).new_from_index(0, len(numbers))
            columns.append(cast_series(text, column.dtype, sender.dialect_of(column.name)).alias(column.name))
            continue
        drawn = numbers if column.name in differing else random.integers(0, POOL, len(numbers))
        values = _values(sender, column, date, drawn, random, is_key=column.name in differing)
        if column.null_action in {"keep", "flag", "fill"}:
            is_missing = pl.Series(random.random(len(numbers)) < NULL_SHARE)
            values = values.set(is_missing, None)
        columns.append(values.cast(column.dtype).alias(column.name))
    return pl.DataFrame(columns)


def _differing_columns(sender: Sender) -> set[str]:
    """The columns that get another value in each row: unique ones, and one of the key's, the one with most room.

    Without a key whole rows are compared, so that any column serves.
    """
    declaration = _declaration(sender.contract)
    key = declaration.key or tuple(column.name for column in declaration.columns)
    free = [c for c in declaration.columns if c.name in key and c.name not in sender.supplied and not c.allowed]
    ranked = sorted((c for c in free if _kind(c) in _KEY_TYPES), key=lambda c: _KEY_TYPES.index(_kind(c)))
    unique = {column.name for column in declaration.columns if column.unique}
    if not ranked and sender.contract.has_unique_key and not unique & set(key):
        raise ConfigurationError(
            f"sample of institution {sender.code} dataset {sender.dataset}",
            found=f"key {', '.join(key)}",
            expected="a key column with room for a value in each row",
        )
    return unique | {column.name for column in ranked[:1]}


def _values(
    sender: Sender,
    column: ColumnDeclaration,
    date: dt.date,
    numbers: Numbers,
    random: np.random.Generator,
    *,
    is_key: bool,
) -> pl.Series:
    """A value for each number; different ones for different numbers where `is_key`."""
    if column.allowed:
        allowed = pl.Series([column.value(v) for v in column.allowed], dtype=column.dtype)
        return allowed.gather(random.integers(0, len(allowed), len(numbers)))
    kind = _kind(column)
    if kind == "string":
        return _texts(sender, column, numbers)
    if kind == "boolean":
        return pl.Series(random.random(len(numbers)) < 0.5)
    if kind == "timestamp":
        instants = sender.instants(date)
        if is_key and int(numbers.max(initial=0)) >= len(instants):
            raise _too_few(sender, column, len(instants))
        return instants.gather(numbers if is_key else np.sort(random.integers(0, len(instants), len(numbers))))
    return _ordered_values(sender, column, date, numbers, random, is_key=is_key)


def _ordered_values(
    sender: Sender,
    column: ColumnDeclaration,
    date: dt.date,
    numbers: Numbers,
    random: np.random.Generator,
    *,
    is_key: bool,
) -> pl.Series:
    """Numbers and dates: steps of the smallest unit between the declared bounds."""
    low, high = (None if v is None else column.value(v) for v in (column.min, column.max))
    kind = _kind(column)
    if kind == "date":
        first = max(low, date - dt.timedelta(days=DAYS_BACK)) if low else date - dt.timedelta(days=DAYS_BACK)
        last = max(first, min(high or date, date))
        steps = (last - first).days + 1
        unit, base = None, first
    else:
        scale = min(2, getattr(column.dtype, "scale", 2)) if kind != "integer" else 0
        unit = Decimal(1).scaleb(-scale)
        base = Decimal(str(low)) if low is not None else min(unit, Decimal(str(high))) if high is not None else unit
        if low == 0:
            base = unit if high is None or Decimal(str(high)) >= unit else base
        room = (Decimal(str(high)) - base) / unit if high is not None else Decimal(SPAN) / unit
        steps = int(room if is_key else min(room, Decimal(SPAN) / unit)) + 1
    if is_key and high is not None and int(numbers.max(initial=0)) >= steps:
        raise _too_few(sender, column, steps)
    drawn = pl.Series(numbers if is_key else random.integers(0, steps, len(numbers)))
    if unit is None:
        return drawn.to_frame("n").select(pl.lit(base) + pl.duration(days="n")).to_series()
    exact = drawn.cast(pl.Decimal(38, 0)).to_frame("n").select(pl.col("n") * pl.lit(unit) + pl.lit(base)).to_series()
    return exact


def _too_few(sender: Sender, column: ColumnDeclaration, values: int) -> ConfigurationError:
    subject = f"sample of institution {sender.code} dataset {sender.dataset} column {column.name}"
    return ConfigurationError(subject, found=f"{values} possible values", expected="one for each row")


def _texts(sender: Sender, column: ColumnDeclaration, numbers: Numbers) -> pl.Series:
    subject = f"sample of institution {sender.code} dataset {sender.dataset} column {column.name}"
    if column.pattern:
        return matching_texts(column.pattern, numbers, subject)
    texts = (
        pl.Series(numbers)
        .cast(pl.String)
        .to_frame("n")
        .select(pl.format("{} {}", pl.lit(column.name), "n"))
        .to_series()
    )
    if column.max_length is not None and (texts.str.len_chars().max() or 0) > column.max_length:  # type: ignore[operator]
        return matching_texts(f"[0-9]{{{column.max_length}}}", numbers, subject)
    return texts.str.pad_end(column.min_length or 0, "x")


def _kind(column: ColumnDeclaration) -> str:
    return column.type.partition("(")[0]


def _declaration(contract: Contract) -> Declaration:
    assert contract.declaration is not None
    return contract.declaration
