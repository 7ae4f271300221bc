"""The contract of a dataset: columns, rules, key, event time and parameters.

Belongs here: how a contract is written (`ContractModel`) and what can be asked of it (`Contract`). Not here: rules
(`rules.py`), the datasets themselves (`datasets/`), derived forms (`ddl.py`, `page.py`).

A contract is bound to an institution's parameters (`symbol_pattern`, tolerances) by `Contract.bind`; unbound, the
model's defaults hold.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import pandera.polars as pa
import polars as pl

from etl_platform.contracts.rules import Rule, presence_rule, row_rule, rules_of, type_rule, unique_rule
from etl_platform.contracts.shaping import DerivedColumn, Naming, NullPolicy, WriteMode, flag_column
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, Column, Table
from etl_platform.contracts.visible import identifiers, is_visible, visible_rule, visible_sentence
from etl_platform.errors import ConfigurationError, UnknownNameError

if TYPE_CHECKING:
    from etl_platform.contracts.declared.declaration import Declaration

UTC_MICROSECONDS = pl.Datetime("us", "UTC")
TOLERANCE = "business_date_tolerance_hours"

HOUSEKEEPING: tuple[Column, ...] = (
    Column("_source_file", pl.String(), False, "Landing key of the file that this row came from."),
    Column("_source_row", pl.Int64(), False, "Line (CSV, JSON lines) or record number in that file, from 1."),
    Column("_row_hash", pl.Int64(), False, "XXH3-64 of the contract's columns in canonical text, as signed integer."),
    Column("_processed_at", UTC_MICROSECONDS, False, "When the platform wrote this row (UTC)."),
    Column(
        "_extra", pl.String(), True, "Columns that the contract lacks, as JSON text; only under `drift_policy: add`."
    ),
)
PARTITION_COLUMNS: tuple[Column, ...] = (
    Column(BUSINESS_DATE, pl.Date(), False, "Business date of the delivery, from the landing key."),
    Column(INSTITUTION, pl.String(), False, "Code of the institution that sent the row."),
)


def visible_rules(columns: Mapping[str, pl.DataType], key: Collection[str], closed: Collection[str]) -> list[Rule]:
    """The rule of every identifier (`visible.py`) but the `closed` ones, whose own rule leaves no room for more."""
    return [
        row_rule(visible_rule(name), visible_sentence(name), (name,), is_visible(name))
        for name in identifiers(columns, key, closed)
    ]


class ContractModel(pa.DataFrameModel):
    """Base of all dataset models. `_parameters` are what an institution may set, with their defaults."""

    _parameters: ClassVar[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class ModelRules:
    """The rules of a model, for parameters. further: rules that no parameter changes."""

    model: type[ContractModel]
    further: tuple[Rule, ...] = ()

    def __call__(self, parameters: Mapping[str, Any]) -> tuple[Rule, ...]:
        name, own = self.model.__name__, {"_parameters": dict(parameters), "__module__": self.model.__module__}
        return (*rules_of(type(name, (self.model,), own)), *self.further)


@dataclass(frozen=True)
class Watched:
    """A numeric column whose usual magnitude is known per group: a jump by a power of ten is another unit."""

    column: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """One dataset: what a valid row is. Everything else about the dataset is derived from this object.

    dataset: its name, as in landing keys. key: columns that identify a row inside a partition.
    event_time: the timestamp column by which rows are ordered, if any. columns: the contract's own, in order, without
    housekeeping. rules_for: the rules that the dataset writes itself, for parameters; no closure, since contracts go
    to other processes.

    Beyond that, mostly for declared datasets: nulls, derived: columns filled, flagged and computed between casting and
    validation. unique: columns whose values come once in a partition. required: columns that every file must have
    (None: those that hold no null). naming, sources (sender's name -> column), formats (column -> how its dates are
    written): what holds where an institution's file says nothing.
    deduplicates: whether the latest row of a key wins, or all rows stay. by_occurrence: whether the rows of a key in
    one file are told apart by their number there, so that equal lines of a file all stay. declaration: the file it was
    compiled from.
    watched, categories: numeric columns whose magnitude, and text columns whose set of values, is held against earlier
    partitions (warnings).
    """

    dataset: str
    title: str
    description: str
    columns: tuple[Column, ...]
    rules_for: Callable[[Mapping[str, Any]], tuple[Rule, ...]]
    key: tuple[str, ...]
    event_time: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    nulls: Mapping[str, NullPolicy] = field(default_factory=dict)
    derived: tuple[DerivedColumn, ...] = ()
    unique: tuple[str, ...] = ()
    required: tuple[str, ...] | None = None
    naming: Naming | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deduplicates: bool = True
    by_occurrence: bool = False
    write_mode: WriteMode = "replace"
    declaration: Declaration | None = None
    watched: tuple[Watched, ...] = ()
    categories: tuple[str, ...] = ()

    @classmethod
    def from_model(
        cls,
        dataset: str,
        model: type[ContractModel],
        *,
        key: tuple[str, ...],
        closed: tuple[str, ...] = (),
        **further: Any,
    ) -> Contract:
        """Compile a Pandera model; its docstring is the description, first line the title. further: other fields.

        closed: identifiers whose own rule allows none but certain visible characters; all others get one that does.
        """
        lines = (model.__doc__ or "").strip().splitlines() or [dataset]
        description = " ".join(line.strip() for line in lines if line.strip())

        columns = tuple(
            Column(name, _instance(column.dtype.type), bool(column.nullable), column.description or "")
            for name, column in model.to_schema().columns.items()
        )
        visible = visible_rules({column.name: column.dtype for column in columns}, key, closed)
        return cls(
            dataset=dataset,
            title=lines[0].strip(),
            description=description,
            columns=columns,
            rules_for=ModelRules(model, tuple(visible)),
            key=key,
            parameters=dict(model._parameters),
            **further,
        )

    def __getstate__(self) -> dict[str, Any]:
        # Without what follows from the fields: it is made again, and the Pandera schema does not pickle.
        return {own.name: getattr(self, own.name) for own in fields(self)}

    def bind(self, parameters: Mapping[str, Any]) -> Contract:
        """This contract with an institution's parameters. Raises UnknownNameError for one it does not have."""
        if not parameters:
            return self
        for name, value in parameters.items():
            if name not in self.parameters:
                near = difflib.get_close_matches(name, self.parameters, n=3) or sorted(self.parameters)
                raise UnknownNameError(
                    f"dataset {self.dataset} parameter {name!r}", found="no such parameter", expected=" or ".join(near)
                )
            if type(value) is not type(self.parameters[name]):
                raise ConfigurationError(
                    f"dataset {self.dataset} parameter {name}",
                    found=f"{value!r} ({type(value).__name__})",
                    expected=f"a value like {self.parameters[name]!r}",
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigurationError(
                    f"dataset {self.dataset} parameter {name}",
                    found=str(value),
                    expected="a number: NaN bounds nothing",
                )
        merged = {**self.parameters, **parameters}
        return replace(self, parameters=merged)

    @cached_property
    def row_rules(self) -> tuple[Rule, ...]:
        """The rules that the dataset writes itself, in their order. Made at their first use: making some asks Polars,
        and whoever only imports a contract must not start its threads (a process that has them cannot be forked)."""
        return self.rules_for(self.parameters)

    @cached_property
    def schema(self) -> pa.DataFrameSchema:
        """Columns and row rules as Pandera has them, in this order."""
        columns = {c.name: pa.Column(c.dtype, nullable=c.nullable, description=c.description) for c in self.columns}
        return pa.DataFrameSchema(columns, checks=[rule.check() for rule in self.row_rules])

    @cached_property
    def sender_columns(self) -> tuple[Column, ...]:
        """The columns that a sender sends: all but derived and flag columns."""
        own = {derived.name for derived in self.derived} | self.flag_columns
        return tuple(column for column in self.columns if column.name not in own)

    @property
    def has_unique_key(self) -> bool:
        """Whether no two stored rows of a partition have the same key, or without one are alike."""
        return self.deduplicates and not self.by_occurrence

    @cached_property
    def flag_columns(self) -> frozenset[str]:
        """The columns that say where another one held no value. They are ours: no rule looks at them."""
        return frozenset(flag_column(name) for name, policy in self.nulls.items() if policy.action == "flag")

    @cached_property
    def required_columns(self) -> frozenset[str]:
        """The columns without which a file is refused."""
        if self.required is not None:
            return frozenset(self.required)
        return frozenset(column.name for column in self.sender_columns if not column.nullable)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """All row rules: derived type and presence rules first, then the dataset's own."""
        derived: list[Rule] = []
        for column in self.columns:
            if column.name in self.flag_columns:
                continue
            if column.dtype != pl.String():
                derived.append(
                    Rule(type_rule(column.name), f"{column.name} reads as {column.dtype}, exactly.", (column.name,))
                )
            if not column.nullable:
                is_there = pl.col(column.name).is_not_null()
                sentence = f"{column.name} holds a value."
                derived.append(Rule(presence_rule(column.name), sentence, (column.name,), is_there))
        unique = [Rule(unique_rule(name), f"{name} comes once in a partition.", (name,)) for name in self.unique]
        return (*derived, *self.row_rules, *unique)

    def rule(self, name: str) -> Rule:
        """The rule of that name. Raises UnknownNameError."""
        for candidate in self.rules:
            if candidate.name == name:
                return candidate
        near = difflib.get_close_matches(name, [r.name for r in self.rules], n=3)
        raise UnknownNameError(
            f"dataset {self.dataset} rule {name!r}", found="no such rule", expected=" or ".join(near)
        )

    @cached_property
    def tolerance_hours(self) -> int | None:
        """How far outside its business date a row's event time may lie; None: the contract does not say."""
        return self.parameters.get(TOLERANCE)

    @property
    def lives_once(self) -> bool:
        """Whether a key that two dates deliver is kept by one of them alone (`transforms/overlap.py`).

        True of events: the contract says which date an event belongs to. A snapshot has one row per key and date.
        """
        return bool(self.key and self.event_time and self.has_unique_key and self.tolerance_hours is not None)

    @cached_property
    def silver(self) -> Table:
        """The silver table: contract columns, lineage and housekeeping, partition columns."""
        return Table(
            layer="silver",
            name=self.dataset,
            description=self.description,
            columns=(*self.columns, *HOUSEKEEPING, *PARTITION_COLUMNS),
            key=self.key if self.has_unique_key else (),
        )


def _instance(dtype: pl.DataType | type[pl.DataType]) -> pl.DataType:
    """Pandera keeps some Polars types as classes (`pl.Int64`), others as instances."""
    return dtype() if isinstance(dtype, type) else dtype
