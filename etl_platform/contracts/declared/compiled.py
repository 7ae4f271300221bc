"""A declaration compiled to the same `Contract` as the Pandera models: constraints and SQL expressions become rules.

Every mistake that needs more than one field to be seen is found here, when the file is loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from etl_platform.contracts.check_names import CHECK_NAMES
from etl_platform.contracts.contract import (
    PARTITION_COLUMNS,
    TOLERANCE,
    Contract,
    Watched,
    visible_rules,
)
from etl_platform.contracts.datasets.timing import within_business_date
from etl_platform.contracts.declared.column_types import literal
from etl_platform.contracts.declared.declaration import ColumnDeclaration, Declaration, whole_text
from etl_platform.contracts.declared.expressions import compile_expression, compile_losses, compile_rule, evaluate
from etl_platform.contracts.declared.watches import require_watches
from etl_platform.contracts.document import near, parse_document, read_text
from etl_platform.contracts.quarantine import SUPERSEDED_RULE
from etl_platform.contracts.rules import Rule, row_rule
from etl_platform.contracts.shaping import DerivedColumn, Naming, NullPolicy, flag_column
from etl_platform.contracts.table import Column
from etl_platform.contracts.visible import leaves_no_room
from etl_platform.errors import ConfigurationError, UnknownNameError

TAKEN_RULES = CHECK_NAMES | {SUPERSEDED_RULE}
"""Checks that are no rule, and the rule of superseded rows."""
_T = TypeVar("_T")
_PARTITION = {column.name: column.dtype for column in PARTITION_COLUMNS}


def load_declaration(path: Path) -> Contract:
    """The contract that a file declares. Raises ConfigurationError with file, field, found and expected."""
    return _declared(path, read_text(path))


@lru_cache(maxsize=32)
def _declared(path: Path, text: str) -> Contract:
    """Once for each text: a command asks twice, and a thousand columns take a quarter of a second."""
    return compile_declaration(parse_document(path, text, Declaration), str(path))


def compile_declaration(declaration: Declaration, origin: str) -> Contract:
    """The contract of `declaration`; `origin` names it in messages."""
    columns = _stored_columns(declaration, origin)
    _check_names(declaration, columns, origin)
    require_watches(declaration, {column.name: column.dtype for column in columns}, origin)
    dtypes = {column.name: column.dtype for column in columns}
    rules_for = DeclaredRules(declaration, origin)
    parameters = _parameters(declaration, columns, origin)
    naming = Naming(declaration.naming.case, declaration.naming.remove_special)
    contract = Contract(
        dataset=declaration.name,
        title=declaration.title,
        description=f"{declaration.title.rstrip('.')}. {declaration.description}".strip(),
        columns=tuple(columns),
        rules_for=rules_for,
        key=declaration.key,
        event_time=declaration.event_time,
        parameters=parameters,
        nulls={c.name: _null_policy(c) for c in declaration.columns if c.null_action in {"fill", "flag"}},
        derived=tuple(_derived_columns(declaration, dtypes, origin)),
        unique=_unique(declaration),
        required=tuple(c.name for c in declaration.columns if c.required),
        naming=naming,
        sources={c.source: c.name for c in declaration.columns if c.source},
        formats={c.name: formats for c in declaration.columns if (formats := _formats(c, declaration))},
        deduplicates=declaration.deduplicate != "off",
        by_occurrence=declaration.deduplicate == "occurrence",
        write_mode=declaration.write_mode,
        declaration=declaration,
        watched=tuple(Watched(w.column, w.by) for w in declaration.watched),
        categories=declaration.categories,
    )
    _check_rules(contract, origin)
    _check_sources(declaration, naming, origin)
    return contract


class DeclaredRules:
    """The rules that a declaration writes, for parameters. Pickled as the declaration, from which they are made again:
    one that is an SQL expression calls Python."""

    def __init__(self, declaration: Declaration, origin: str) -> None:
        self._declaration, self._origin = declaration, origin
        dtypes = {column.name: column.dtype for column in _stored_columns(declaration, origin)}
        rules = [rule for column in declaration.columns for rule in _constraints(column)]
        rules += _declared_rules(declaration, dtypes, origin)
        closed = [c.name for c in declaration.columns if _is_closed(c)]
        self._rules = (*rules, *visible_rules(dtypes, (*declaration.key, *_unique(declaration)), closed))

    def __call__(self, parameters: Mapping[str, Any]) -> tuple[Rule, ...]:
        return (*self._rules, *_event_rules(self._declaration, parameters))

    def __reduce__(self) -> tuple[type[DeclaredRules], tuple[Declaration, str]]:
        return DeclaredRules, (self._declaration, self._origin)


def _unique(declaration: Declaration) -> tuple[str, ...]:
    return tuple(c.name for c in declaration.columns if c.unique)


def _stored_columns(declaration: Declaration, origin: str) -> list[Column]:
    sent = [Column(c.name, c.dtype, c.nullable, c.description) for c in declaration.columns]
    flags = [
        Column(flag_column(c.name), pl.Boolean(), False, f"True where the sender gave no {c.name}.")
        for c in declaration.columns
        if c.null_action == "flag"
    ]
    derived = [Column(d.name, d.dtype, not d.required, d.description) for d in declaration.derived]
    columns = [*sent, *flags, *derived]
    for name, times in Counter([c.name for c in columns] + list(_PARTITION)).items():
        if times > 1:
            raise ConfigurationError(
                f"{origin} field columns",
                found=f"column {name!r} twice",
                expected="names that differ, also from "
                f"{', '.join(_PARTITION)} and the <name>_was_null of flagged columns",
            )
    return columns


def _check_names(declaration: Declaration, columns: list[Column], origin: str) -> None:
    by_name = {column.name: column for column in columns}
    for field, names in (("key", declaration.key), ("event_time", (declaration.event_time,))):
        for name in names:
            if name is not None and name not in by_name:
                raise UnknownNameError(
                    f"{origin} field {field}", found=f"column {name!r}", expected=near(name, by_name)
                )
    for name, times in Counter(declaration.key).items():
        if times > 1:
            raise ConfigurationError(f"{origin} field key", found=f"column {name!r} twice", expected="each column once")
        if by_name[name].nullable:
            raise ConfigurationError(
                f"{origin} field key", found=f"column {name!r}, which may be null", expected="columns with nulls: drop"
            )
    if declaration.event_time and not isinstance(by_name[declaration.event_time].dtype, pl.Datetime):
        found = by_name[declaration.event_time].dtype
        raise ConfigurationError(
            f"{origin} field event_time", found=f"a column of type {found}", expected="a timestamp"
        )


def _parameters(declaration: Declaration, columns: list[Column], origin: str) -> dict[str, Any]:
    """What an institution may set: nothing, but for events, which belong to a date of its time zone."""
    hours = declaration.business_date_tolerance_hours
    if hours is None:
        return {}
    nullable = {column.name for column in columns if column.nullable}
    missing = {
        "an event_time that is never null": declaration.event_time is None or declaration.event_time in nullable,
        "a key": not declaration.key,
        "deduplicate: latest": declaration.deduplicate != "latest",
        # What is final cannot be left to another date later.
        "write_mode: replace or append": declaration.write_mode == "fail",
    }
    if any(missing.values()):
        raise ConfigurationError(
            f"{origin} field {TOLERANCE}",
            found=f"{hours} without {' and '.join(what for what, is_missing in missing.items() if is_missing)}",
            expected=" and ".join(missing),
        )
    return {"time_zone": "UTC", TOLERANCE: hours}


def _event_rules(declaration: Declaration, parameters: Mapping[str, Any]) -> Iterator[Rule]:
    if parameters and (name := declaration.event_time):
        sentence = "The event lies on the business date, give or take the tolerance."
        yield row_rule(f"{name}_is_in_business_date", sentence, (name,), within_business_date(name, parameters))


def _null_policy(column: ColumnDeclaration) -> NullPolicy:
    if column.null_action == "fill":
        return NullPolicy("fill", column.value(column.fill))
    return NullPolicy("flag")


def _formats(column: ColumnDeclaration, declaration: Declaration) -> tuple[str, ...]:
    defaults = {"date": declaration.date_formats, "timestamp": declaration.timestamp_formats}
    return column.formats or defaults.get(column.type, ())


def _constraints(column: ColumnDeclaration) -> Iterator[Rule]:
    for name, sentence, expression in _constraint_expressions(column):
        yield row_rule(name, sentence, (column.name,), expression)


def _constraint_expressions(column: ColumnDeclaration) -> Iterator[tuple[str, str, pl.Expr]]:
    name, dtype, value = column.name, column.dtype, pl.col(column.name)
    if column.min is not None or column.max is not None:
        low, high = (None if v is None else literal(column.value(v), dtype) for v in (column.min, column.max))
        bounds = [e for e in (low is not None and value >= low, high is not None and value <= high) if e is not False]
        yield f"{name}_is_in_range", f"{name} {_range_sentence(column)}.", pl.all_horizontal(bounds)
    if column.allowed is not None:
        allowed = pl.Series([column.value(v) for v in column.allowed], dtype=dtype)
        shown = ", ".join(str(v) for v in column.allowed)
        yield f"{name}_is_allowed", f"{name} is one of {shown}.", value.is_in(pl.lit(allowed).implode())
    if column.pattern is not None:
        sentence = f"{name} matches {column.pattern}."
        yield f"{name}_is_well_formed", sentence, value.str.contains(whole_text(column.pattern))
    if column.min_length is not None or column.max_length is not None:
        shortest, longest = column.min_length or 0, column.max_length
        sentence = f"{name} has {f'{shortest} to {longest}' if longest else f'at least {shortest}'} characters."
        yield f"{name}_has_valid_length", sentence, value.str.len_chars().is_between(shortest, longest or 2**31)


def _is_closed(column: ColumnDeclaration) -> bool:
    """Whether its constraints leave no room for a character that cannot be seen."""
    return column.allowed is not None or (column.pattern is not None and leaves_no_room(whole_text(column.pattern)))


def _range_sentence(column: ColumnDeclaration) -> str:
    if column.max is None:
        return f"is at least {column.min}"
    return f"is at most {column.max}" if column.min is None else f"lies in {column.min}..{column.max}"


def _declared_rules(declaration: Declaration, dtypes: Mapping[str, pl.DataType], origin: str) -> Iterator[Rule]:
    known = {**dtypes, **_PARTITION}
    for number, rule in enumerate(declaration.rules):
        field = f"{origin} field rules.{number}.expression (rule {rule.name})"
        expression = _compiled(field, compile_rule, rule.expression, known)
        looked_at = tuple(dict.fromkeys(expression.meta.root_names()))
        yield row_rule(rule.name, rule.sentence, looked_at, _row_by_row(expression, looked_at))


def _row_by_row(expression: pl.Expr, columns: tuple[str, ...]) -> pl.Expr:
    """True, false, or null where a value is missing; false where the expression cannot be computed."""

    def judge(rows: pl.Series) -> pl.Series:
        result = evaluate(rows.struct.unnest(), expression)
        return result.select(pl.when("failed").then(False).otherwise("value")).to_series()

    return pl.struct(columns).map_batches(judge, return_dtype=pl.Boolean, is_elementwise=True)


def _derived_columns(
    declaration: Declaration, dtypes: Mapping[str, pl.DataType], origin: str
) -> Iterator[DerivedColumn]:
    own = [d.name for d in declaration.derived]
    known = {name: dtype for name, dtype in dtypes.items() if name not in own}
    rests_on: dict[str, tuple[str, ...]] = {}
    for number, derived in enumerate(declaration.derived):
        field = f"{origin} field derived.{number}.expression (column {derived.name})"
        expression, dtype = _compiled(field, compile_expression, derived.expression, known)
        if not _can_become(dtype, derived.dtype):
            raise ConfigurationError(field, found=f"an expression of type {dtype}", expected=f"type {derived.type}")
        inputs = [name for used in expression.meta.root_names() for name in rests_on.get(used, (used,))]
        rests_on[derived.name] = tuple(dict.fromkeys(inputs))
        lost = compile_losses(derived.expression, known) if derived.required else None
        yield DerivedColumn(derived.name, derived.expression, expression, rests_on[derived.name], lost)
        known[derived.name] = derived.dtype


def _can_become(found: pl.DataType, declared: pl.DataType) -> bool:
    """Whether values may be kept exactly: numbers as exact numbers, all else as the same type."""
    if isinstance(declared, pl.Float64):
        return found.is_numeric()
    if declared.is_numeric():
        return found.is_integer() or found.is_decimal()
    return found == declared or (isinstance(found, pl.Datetime) and isinstance(declared, pl.Datetime))


def _compiled(
    field: str, compile_it: Callable[[str, Mapping[str, pl.DataType]], _T], sql: str, known: Mapping[str, pl.DataType]
) -> _T:
    try:
        return compile_it(sql, known)
    except ValueError as error:
        found, _, expected = str(error).removeprefix("found ").rpartition("; expected ")
        raise ConfigurationError(field, found=found, expected=expected) from None


def _check_rules(contract: Contract, origin: str) -> None:
    """Rules are asset checks: their names must be their own, and not those of the checks that every dataset has."""
    for name, times in Counter([*(rule.name for rule in contract.rules), *TAKEN_RULES]).items():
        if times > 1:
            expected = "names that differ, also from the rules of columns and the checks that every dataset has"
            raise ConfigurationError(f"{origin} field rules", found=f"rule {name!r} twice", expected=expected)


def _check_sources(declaration: Declaration, naming: Naming, origin: str) -> None:
    given = [(column.source or column.name, column.name) for column in declaration.columns]
    owners: dict[str, str] = {}
    for name, column in given:
        form = naming.apply(name)
        if not form or form in owners:
            found = f"{name!r}, which is {form!r} in the declared naming"
            other = f" as the name of {owners[form]!r} is" if form else ""
            raise ConfigurationError(
                f"{origin} field columns ({column})", found=f"{found}{other}", expected="a name that stays its own"
            )
        owners[form] = column
