"""Faults on purpose: for every rule of a contract a way to break it, and which further rules break with it.

Three levels: values of a typed row (rules of the contract, missing values), the text of one value (`_is_typed`;
only formats of text can hold it), and the record itself (too few or too many fields, broken JSON).
Not here: the bad values of each dataset (`market_defects.py`, `master_defects.py`), which rows (`composition.py`),
the bytes (`writers.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.rules import presence_rule, type_rule
from etl_platform.readers.options import CsvOptions, JsonOptions
from etl_platform.sample import market_defects, master_defects
from etl_platform.sample.declared_defects import declared_corrections, declared_defects
from etl_platform.sample.defect import Defect, Values
from etl_platform.sample.delivery_style import Sender

RAGGED, BROKEN_JSON = "row_has_all_fields", "line_is_json"
"""Rules of the readers, not of a contract: a record that cannot be taken apart."""

UNREADABLE = ("n/a", "unknown", "???")

ROW_DEFECTS: dict[str, Mapping[str, Defect]] = {
    "prices": market_defects.PRICES,
    "technical_indicators": market_defects.TECHNICAL_INDICATORS,
    "anomalies": market_defects.ANOMALIES,
    "transactions": master_defects.TRANSACTIONS,
    "accounts": master_defects.ACCOUNTS,
    "products": master_defects.PRODUCTS,
}

_CORRECTIONS: dict[str, Values] = {**market_defects.CORRECTIONS, **master_defects.CORRECTIONS}


def row_defects(sender: Sender) -> Mapping[str, Defect]:
    """Rule -> way to break it by the values of a row."""
    return ROW_DEFECTS[sender.dataset] if sender.contract.declaration is None else declared_defects(sender)


def corrections(sender: Sender) -> Values:
    """What a corrected row says instead: always another value, always a valid one. Empty where there is none."""
    return _CORRECTIONS[sender.dataset] if sender.contract.declaration is None else declared_corrections(sender)


@dataclass(frozen=True)
class Kinds:
    """made: rules that this sender's files can break, in the contract's order. skipped: those they cannot."""

    made: tuple[str, ...]
    skipped: tuple[str, ...]


def kinds_for(sender: Sender) -> Kinds:
    """Which faults the sender's format and configuration can hold."""
    made: list[str] = []
    skipped: list[str] = []
    for rule in sender.contract.rules:
        (made if _is_possible(sender, rule.name) else skipped).append(rule.name)
    return Kinds((*made, *_record_kinds(sender)), tuple(skipped))


def _is_possible(sender: Sender, rule: str) -> bool:
    typed = {type_rule(c): c for c in sender.names}
    present = {presence_rule(c): c for c in sender.names}
    if rule in typed:
        return sender.is_text
    if rule in present:
        return present[rule] not in sender.contract.nulls
    values = _row_values(sender, rule)
    return values is not None and not set(values) & sender.supplied


def _row_values(sender: Sender, rule: str) -> Values | None:
    defect = row_defects(sender).get(rule)
    return defect.values(sender.contract) if defect else None


def _record_kinds(sender: Sender) -> tuple[str, ...]:
    options = sender.config.format
    if isinstance(options, CsvOptions):
        return (RAGGED,)
    # In an array one broken record breaks the file.
    return (BROKEN_JSON,) if isinstance(options, JsonOptions) and options.layout != "array" else ()


def broken_rules(sender: Sender, rule: str) -> tuple[str, ...]:
    """All rules that a row made for `rule` breaks."""
    defect = row_defects(sender).get(rule)
    return (rule, *(defect.also if defect else ()))


def spoil(rows: pl.DataFrame, sender: Sender, rule: str) -> pl.DataFrame:
    """`rows` with values that break `rule`; unchanged where the fault is one of text or record."""
    missing = {presence_rule(c): c for c in sender.names}
    if rule in missing:
        return rows.with_columns(pl.lit(None, rows.schema[missing[rule]]).alias(missing[rule]))
    values = _row_values(sender, rule)
    return rows.with_columns(expression.alias(column) for column, expression in (values or {}).items())


def unreadable(sender: Sender) -> str:
    """A text that is neither a number nor a time, nor one of the sender's words for "no value"."""
    return next(text for text in UNREADABLE if text not in sender.config.null_texts)
