"""Faults on purpose: for every rule of a contract a way to break it, and which further rules break with it.

Three levels: values of a typed row (rules of the contract, missing values), the text of one value (`_is_typed`;
only formats of text can hold it), and the record itself (too few or too many fields, broken JSON).
Not here: which rows (`composition.py`), the bytes (`writers.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from etl_platform.contracts.contract import Contract, presence_rule, type_rule
from etl_platform.readers.options import CsvOptions, JsonOptions
from etl_platform.sample.sender import Sender

RAGGED, BROKEN_JSON = "row_has_all_fields", "line_is_json"
"""Rules of the readers, not of a contract: a record that cannot be taken apart."""

UNREADABLE = ("n/a", "unknown", "???")
BAD_SYMBOLS = ("aapl?", "TOO LONG A SYMBOL", "-1", "")
YEARS_AHEAD = 30

Values = Mapping[str, pl.Expr]


@dataclass(frozen=True)
class Defect:
    """values: contract -> column -> the bad value, or None where the contract's parameters leave no bad value.
    also: rules that cannot but break too."""

    values: Callable[[Contract], Values | None]
    also: tuple[str, ...] = ()


def _fixed(values: Values, *also: str) -> Defect:
    return Defect(lambda contract: values, also)


def _price(text: str) -> pl.Expr:
    return pl.lit(Decimal(text)).cast(pl.Decimal(18, 8))


def _bad_symbol(contract: Contract) -> Values | None:
    candidates = pl.Series(BAD_SYMBOLS)
    bad = candidates.filter(~candidates.str.contains(str(contract.parameters["symbol_pattern"])))
    return {"symbol": pl.lit(bad[0])} if len(bad) else None


def _other_day(contract: Contract) -> Values:
    # Whole weeks, so that a working day stays one and no clock change is met; far beyond both tolerances.
    weeks = math.ceil((2 + contract.parameters["business_date_tolerance_hours"] / 24) / 7)
    return {"timestamp": pl.col("timestamp").dt.offset_by(f"-{weeks}w")}


_TIMES = {
    "timestamp_is_in_business_date": Defect(_other_day),
    "timestamp_is_not_in_future": _fixed(
        {"timestamp": pl.col("timestamp").dt.offset_by(f"{YEARS_AHEAD}y")}, "timestamp_is_in_business_date"
    ),
}
_AMOUNT = pl.col("amount").abs()

ROW_DEFECTS: dict[str, dict[str, Defect]] = {
    "prices": {
        "symbol_is_well_formed": Defect(_bad_symbol),
        "open_is_in_range": _fixed({"open": _price("0.001")}, "low_is_lowest"),
        "high_is_in_range": _fixed({"high": _price("2000000")}),
        "low_is_in_range": _fixed({"low": _price("0.001")}),
        "close_is_in_range": _fixed({"close": _price("0.001")}, "low_is_lowest"),
        "high_is_highest": _fixed({"high": pl.col("low")}),
        "low_is_lowest": _fixed({"low": pl.col("high")}),
        "volume_is_not_negative": _fixed({"volume": -pl.col("volume") - 1}),
        **_TIMES,
    },
    "transactions": {
        "transaction_id_is_not_empty": _fixed({"transaction_id": pl.lit("   ")}),
        "account_id_is_well_formed": _fixed({"account_id": pl.lit("ACC 12/3 ?")}),
        "currency_is_iso_4217": _fixed({"currency": pl.lit("EURO")}),
        "type_is_known": _fixed({"type": pl.lit("cash_back")}),
        "amount_is_not_zero": _fixed({"amount": pl.lit(0).cast(pl.Decimal(18, 4))}),
        "credit_is_positive": _fixed({"type": pl.lit("deposit"), "amount": -_AMOUNT}),
        "debit_is_negative": _fixed({"type": pl.lit("card"), "amount": _AMOUNT}),
        "adjustment_is_explained": _fixed({"type": pl.lit("adjustment"), "description": pl.lit(None, pl.String)}),
        **_TIMES,
    },
}

CORRECTIONS: dict[str, Values] = {
    "prices": {"volume": pl.col("volume") + 100},
    "transactions": {"amount": pl.col("amount") + pl.col("amount").sign() * pl.lit(Decimal("1.00"))},
}
"""What a corrected row says instead: always another value, always a valid one."""


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
        return True
    values = _row_values(sender, rule)
    return values is not None and not set(values) & sender.supplied


def _row_values(sender: Sender, rule: str) -> Values | None:
    defect = ROW_DEFECTS[sender.dataset].get(rule)
    return defect.values(sender.contract) if defect else None


def _record_kinds(sender: Sender) -> tuple[str, ...]:
    options = sender.config.format
    if isinstance(options, CsvOptions):
        return (RAGGED,)
    # In an array one broken record breaks the file.
    return (BROKEN_JSON,) if isinstance(options, JsonOptions) and options.layout != "array" else ()


def broken_rules(sender: Sender, rule: str) -> tuple[str, ...]:
    """All rules that a row made for `rule` breaks."""
    defect = ROW_DEFECTS[sender.dataset].get(rule)
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
