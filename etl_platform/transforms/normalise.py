"""A sender's columns into the contract's: names, then exact casts. What does not read is a failure, not a guess."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.rules import type_rule
from etl_platform.errors import FileRefusedError
from etl_platform.transforms.cast_numbers import digits_of_bare
from etl_platform.transforms.casts import Dialect, cast_columns, shown_text
from etl_platform.transforms.failures import failures_of, no_failures


@dataclass(frozen=True)
class SenderFormat:
    """How a sender's frame maps to the contract.

    columns: sender's name -> contract's. supplied: contract's column -> text that the landing key or the
    configuration supplies. null_texts: texts that stand for "no value".
    """

    dialect: Dialect = Dialect()
    columns: Mapping[str, str] = field(default_factory=dict)
    supplied: Mapping[str, str] = field(default_factory=dict)
    null_texts: Sequence[str] = ()


@dataclass(frozen=True)
class Normalised:
    """frame: the contract's columns in its types. failures: values that did not read (FAILURE_SCHEMA). as_sent: `frame`
    with nulls for identifiers that were sent as numbers of another spelling: as sent they are of another type."""

    frame: pl.DataFrame
    failures: pl.DataFrame
    as_sent: pl.DataFrame


@dataclass(frozen=True)
class Mapped:
    """sources: contract's column -> sender's column. missing / extra: contract's and sender's leftovers.
    rivals: contract's column -> the sender's columns that claim it with equal right."""

    sources: dict[str, str]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    rivals: dict[str, tuple[str, ...]] = field(default_factory=dict)


def map_columns(names: Sequence[str], contract: Contract, sender: SenderFormat) -> Mapped:
    """Which sender column feeds which contract column: by the configured name, else by the contract's own name, both
    in the form that its naming gives (without one: ignoring case and surrounding blanks). What a configured name
    replaces is extra: a sender may use the contract's name for something else."""
    fold = contract.naming.apply if contract.naming else _folded
    wanted = [c.name for c in contract.sender_columns]
    by_folded = {fold(name): name for name in wanted} | {
        fold(name): target for name, target in contract.sources.items()
    }
    configured: dict[str, list[str]] = {}
    alike: dict[str, list[str]] = {}
    for name in names:
        target = sender.columns.get(name) or sender.columns.get(name.strip())
        if target is not None:
            configured.setdefault(target, []).append(name)
        elif (target := by_folded.get(fold(name))) is not None:
            alike.setdefault(target, []).append(name)
    claims = {target: found for target, found in (alike | configured).items() if target not in sender.supplied}
    sources = {target: found[0] for target, found in claims.items()}
    rivals = {target: tuple(found) for target, found in claims.items() if len(found) > 1}
    missing = [name for name in wanted if name not in sources and name not in sender.supplied]
    taken = set(sources.values())
    return Mapped(sources, tuple(missing), tuple(name for name in names if name not in taken), rivals)


def _folded(name: str) -> str:
    # One letter with its accent or two characters look the same, and which of them a file has depends on its system.
    return unicodedata.normalize("NFC", name).strip().casefold()


def require_unambiguous(mapped: Mapped, subject: str) -> None:
    """Refuse a file in which several columns stand for one of the contract: to pick one would be a guess."""
    for target, names in mapped.rivals.items():
        raise FileRefusedError(
            subject,
            rule="columns_are_unambiguous",
            found=f"columns {', '.join(map(repr, names))} for {target}",
            expected="one column for it",
            next_step="map the right one under `columns:` in the institution file, or ask the sender to drop the other",
        )


def require_columns(mapped: Mapped, names: Sequence[str], contract: Contract, subject: str) -> None:
    """Refuse a file that lacks a required column: every one of its rows would be wrong for the same reason."""
    lacking = [name for name in mapped.missing if name in contract.required_columns]
    if lacking:
        raise FileRefusedError(
            subject,
            rule="file_has_required_columns",
            found=f"columns {', '.join(names[:50])}",
            expected=f"also {', '.join(lacking)}",
            next_step="ask the sender, or map the sender's names under `columns:` in the institution file",
        )


def normalise(
    raw: pl.DataFrame,
    contract: Contract,
    sender: SenderFormat,
    mapped: Mapped,
    supplied: Mapping[str, pl.Series] | None = None,
    bare: Mapping[str, pl.Series] | None = None,
) -> Normalised:
    """`raw` (as received) as a frame of the sender's columns of the contract, in its types, same height and order.

    supplied: text of the columns that no file has, for each row, where it is not the same in all. bare: see `Batch`.
    """
    if supplied is None:
        supplied = supplied_columns(sender, raw.height)
    sent = {values.name: values for values in raw.get_columns()}
    columns = [
        (
            _received(sent, raw.height, column.name, sender, mapped, supplied).alias(column.name),
            column.dtype,
            column_dialect(sender.dialect, contract.formats.get(column.name)),
        )
        for column in contract.sender_columns
    ]
    typed_columns = cast_columns(columns)
    digits = _digits(typed_columns, mapped, bare or {})
    as_sent = [
        pl.select(pl.when(typed.eq_missing(digits[typed.name])).then(typed)).to_series().alias(typed.name)
        if typed.name in digits
        else typed
        for typed in typed_columns
    ]
    typed_columns = [digits.get(typed.name, typed) for typed in typed_columns]
    failures: list[pl.DataFrame] = [no_failures()]
    for (received, *_), typed in zip(columns, typed_columns, strict=True):
        # What was null stays null: more of them are values that did not read. Counts cost nothing, comparing rows does.
        if typed.null_count() > received.null_count():
            unread = typed.is_null() & received.is_not_null()
            failures.append(failures_of(unread, type_rule(typed.name), typed.name, shown_text(received)))
    return Normalised(pl.DataFrame(typed_columns), pl.concat(failures), pl.DataFrame(as_sent))


def _digits(typed: Sequence[pl.Series], mapped: Mapped, bare: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
    """The text columns that change where their bare numbers become digits."""
    found = {}
    for values in typed:
        flags = bare.get(mapped.sources[values.name]) if values.name in mapped.sources else None
        if flags is None or values.dtype != pl.String:
            continue
        digits = digits_of_bare(values, flags)
        if digits is not values:
            found[values.name] = digits
    return found


def supplied_columns(sender: SenderFormat, rows: int) -> dict[str, pl.Series]:
    """What the sender's landing key or configuration gives, for so many rows."""
    return {name: pl.Series([text], dtype=pl.String).new_from_index(0, rows) for name, text in sender.supplied.items()}


def column_dialect(dialect: Dialect, formats: tuple[str, ...] | None) -> Dialect:
    """The sender's way of writing; the contract's formats where the sender's file names none."""
    if not formats:
        return dialect
    return replace(
        dialect,
        date_formats=dialect.date_formats or formats,
        datetime_formats=dialect.datetime_formats or formats,
    )


def _received(
    sent: Mapping[str, pl.Series],
    rows: int,
    name: str,
    sender: SenderFormat,
    mapped: Mapped,
    supplied: Mapping[str, pl.Series],
) -> pl.Series:
    if name in supplied:
        return supplied[name]
    received = sent.get(mapped.sources[name]) if name in mapped.sources else None
    if received is None:
        return pl.repeat(None, rows, dtype=pl.String, eager=True)
    if received.dtype == pl.String and sender.null_texts:
        return received.to_frame("v").select(pl.when(~pl.col("v").is_in(list(sender.null_texts))).then("v")).to_series()
    return received
