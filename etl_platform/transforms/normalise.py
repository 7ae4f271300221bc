"""A sender's columns into the contract's: names, then exact casts. What does not read is a failure, not a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from etl_platform.contracts.contract import Contract, type_rule
from etl_platform.errors import FileRefusedError
from etl_platform.transforms.casts import Dialect, cast_series
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
    """frame: the contract's columns in its types. failures: values that did not read (FAILURE_SCHEMA)."""

    frame: pl.DataFrame
    failures: pl.DataFrame


@dataclass(frozen=True)
class Mapped:
    """sources: contract's column -> sender's column. missing / extra: contract's and sender's leftovers."""

    sources: dict[str, str]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def map_columns(names: Sequence[str], contract: Contract, sender: SenderFormat) -> Mapped:
    """Which sender column feeds which contract column: by the configured name, else by the same name ignoring
    case and surrounding blanks."""
    wanted = {c.name for c in contract.columns}
    by_folded = {name.strip().casefold(): name for name in wanted}
    sources: dict[str, str] = {}
    extra: list[str] = []
    for name in names:
        target = sender.columns.get(name) or sender.columns.get(name.strip()) or by_folded.get(name.strip().casefold())
        if target is None or target in sources or target in sender.supplied:
            extra.append(name)
        else:
            sources[target] = name
    missing = [c.name for c in contract.columns if c.name not in sources and c.name not in sender.supplied]
    return Mapped(sources, tuple(missing), tuple(extra))


def require_columns(mapped: Mapped, names: Sequence[str], contract: Contract, subject: str) -> None:
    """Refuse a file that lacks a required column: every one of its rows would be wrong for the same reason."""
    required = {c.name for c in contract.columns if not c.nullable}
    lacking = [name for name in mapped.missing if name in required]
    if lacking:
        raise FileRefusedError(
            subject,
            rule="file_has_required_columns",
            found=f"columns {', '.join(names[:50])}",
            expected=f"also {', '.join(lacking)}",
            next_step="ask the sender, or map the sender's names under `columns:` in the institution file",
        )


def normalise(raw: pl.DataFrame, contract: Contract, sender: SenderFormat, mapped: Mapped) -> Normalised:
    """`raw` (as received) as a frame of exactly the contract's columns and types, same height and order."""
    columns: list[pl.Series] = []
    failures: list[pl.DataFrame] = [no_failures()]
    for column in contract.columns:
        received = _received(raw, column.name, sender, mapped)
        typed = cast_series(received, column.dtype, sender.dialect).alias(column.name)
        unread = typed.is_null() & received.is_not_null()
        if unread.any():
            failures.append(failures_of(unread, type_rule(column.name), column.name, received))
        columns.append(typed)
    return Normalised(pl.DataFrame(columns), pl.concat(failures))


def _received(raw: pl.DataFrame, name: str, sender: SenderFormat, mapped: Mapped) -> pl.Series:
    if name in sender.supplied:
        return pl.repeat(sender.supplied[name], raw.height, dtype=pl.String, eager=True)
    if name not in mapped.sources:
        return pl.repeat(None, raw.height, dtype=pl.String, eager=True)
    received = raw.get_column(mapped.sources[name])
    if received.dtype == pl.String and sender.null_texts:
        return received.to_frame("v").select(pl.when(~pl.col("v").is_in(list(sender.null_texts))).then("v")).to_series()
    return received
