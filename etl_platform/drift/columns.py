"""The columns of a file against the contract and against the delivery before it: what differs, as data.

A difference is `new` (nothing in the contract takes the column), `missing` (a required column, or an optional one that
the delivery before had) or `retyped` (its values do not read as the contract's type, or it has another type than
before). Another order of columns is none. A missing and a new column that look like one are a *suggested* renaming:
both stay differences until somebody maps the new name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.limits import DIFFERENCES_LISTED, DIFFERENCES_NAMED
from etl_platform.transforms.sender_schema import UNKNOWN, SenderSchema, spell

Change = Literal["new", "missing", "retyped"]
CONTRACT, LAST = "the contract", "the last delivery"
SIMILAR = 0.6
"""difflib's ratio from which two names look alike: `close` and `close_price` do, `volume` and `venue` do not."""
_NUMBERS = {"integer", "decimal"}


@dataclass(frozen=True)
class Difference:
    """One column that differs. column: the sender's name (of a missing one: the name it was expected under).
    before, after: types. against: what it differs from. suggestion: which other column it may have become, and why."""

    change: Change
    column: str
    target: str | None
    before: str | None
    after: str | None
    against: tuple[str, ...]
    suggestion: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {**vars(self), "against": list(self.against)}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> Difference:
        """What `as_json` gave."""
        return cls(**{**line, "against": tuple(line["against"])})

    def __str__(self) -> str:
        types = {"new": self.after, "missing": self.before, "retyped": f"{self.before} -> {self.after}"}[self.change]
        hint = f", {self.suggestion}" if self.suggestion else ""
        return f"{self.change} column {self.column} ({types}; against {' and '.join(self.against)}{hint})"


def find_drift(
    found: SenderSchema, contract: Contract, supplied: Collection[str] = (), last: SenderSchema | None = None
) -> tuple[Difference, ...]:
    """Every difference of `found`. supplied: contract columns that the landing key or the configuration gives."""
    new = _new(found, last)
    missing = _missing(found, contract, supplied, last)
    return (*_with_suggestions(new, missing, found, last), *_retyped(found, contract, last))


def _new(found: SenderSchema, last: SenderSchema | None) -> list[Difference]:
    before = {column.name for column in last.columns} if last else set()
    differences = []
    for column in found.columns:
        if column.target is None:
            against = (CONTRACT, LAST) if last and column.name not in before else (CONTRACT,)
            differences.append(Difference("new", column.name, None, None, column.type, against))
    return differences


def _missing(
    found: SenderSchema, contract: Contract, supplied: Collection[str], last: SenderSchema | None
) -> list[Difference]:
    present = {column.target for column in found.columns} | set(supplied)
    before = {column.target: column for column in last.columns if column.target} if last else {}
    differences = []
    for wanted in contract.sender_columns:
        if wanted.name in present:
            continue
        was = before.get(wanted.name)
        against = (CONTRACT,) * (wanted.name in contract.required_columns) + (LAST,) * (was is not None)
        # A JSON sender leaves out what has no value: an optional key may come and go.
        if not against or (found.format == "json" and CONTRACT not in against):
            continue
        name, type_ = (was.name, was.type) if was else (wanted.name, spell(wanted.dtype))
        differences.append(Difference("missing", name, wanted.name, type_, None, against))
    names = {column.name for column in found.columns}
    gone = [c for c in (last.columns if last else ()) if c.target is None and c.name not in names]
    if found.format != "json":
        differences += [Difference("missing", c.name, None, c.type, None, (LAST,)) for c in gone]
    return differences


def _with_suggestions(
    new: Sequence[Difference], missing: Sequence[Difference], found: SenderSchema, last: SenderSchema | None
) -> list[Difference]:
    """Each missing column paired with at most one new one: the most similar name, else the same position."""
    places_now = {column.name: place for place, column in enumerate(found.columns)}
    places_before = {column.name: place for place, column in enumerate(last.columns)} if last else {}
    scored = []
    for gone in missing:
        for fresh in new:
            ratio = max(similarity(fresh.column, name) for name in (gone.column, gone.target or gone.column))
            same_place = places_before.get(gone.column) == places_now[fresh.column]
            if ratio >= SIMILAR or same_place:
                why = "a similar name" if ratio >= SIMILAR else "the same position"
                scored.append((ratio + same_place, gone, fresh, why))
    hints: dict[tuple[str, str], str] = {}
    for _, gone, fresh, why in sorted(scored, key=lambda pair: -pair[0]):
        if ("missing", gone.column) not in hints and ("new", fresh.column) not in hints:
            hints["missing", gone.column] = f"perhaps {fresh.column} now: {why}"
            hints["new", fresh.column] = f"perhaps {gone.column} before: {why}"
    return [replace(d, suggestion=hints.get((d.change, d.column))) for d in (*new, *missing)]


def similarity(one: str, other: str) -> float:
    """0..1: how alike two column names are, ignoring case and separators."""
    first, second = (re.sub(r"[\W_]+", "", name).casefold() for name in (one, other))
    return difflib.SequenceMatcher(None, first, second).ratio()


def _retyped(found: SenderSchema, contract: Contract, last: SenderSchema | None) -> list[Difference]:
    dtypes = {column.name: column.dtype for column in contract.columns}
    comparable = {c.name: c for c in last.columns} if last and last.format == found.format else {}
    differences = []
    for column in found.columns:
        dtype = dtypes.get(column.target or "")
        was = comparable.get(column.name)
        changed = was is not None and _is_other_type(was.type, column.type, dtype)
        against = (CONTRACT,) * (not column.reads) + (LAST,) * changed
        if against:
            before = was.type if was and changed else spell(dtypes[column.target or ""])
            differences.append(Difference("retyped", column.name, column.target, before, column.type, against))
    return differences


def _is_other_type(before: str, now: str, dtype: pl.DataType | None) -> bool:
    if before == now or {before, now} & UNKNOWN:
        return False
    # Whether all prices of a day happen to be whole numbers says nothing; for an identifier, "7" and "7.0" do.
    is_number = dtype is not None and dtype.is_numeric()
    return not (is_number and {before, now} <= _NUMBERS)


def describe(drifted: Sequence[tuple[str, Difference]], most: int = DIFFERENCES_NAMED) -> str:
    """Differences for people, each once however many files have it; `drifted`: file and difference."""
    texts = list(dict.fromkeys(str(difference) for _, difference in drifted))
    rest = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + rest


def differences_frame(drifted: Sequence[tuple[str, Difference]], most: int = DIFFERENCES_LISTED) -> pl.DataFrame:
    """The first differences as a table for people."""
    names = ("file", "change", "column", "contract column", "before", "after", "against", "suggestion")
    rows = [
        (file, d.change, d.column, d.target, d.before, d.after, " and ".join(d.against), d.suggestion)
        for file, d in drifted[:most]
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
