"""A dataset as its YAML or TOML file declares it, validated by pydantic: an unknown field is an error.

Belongs here: the shape of a declaration and the mistakes that one field shows. Not here: what needs several columns
at once, and the contract that it becomes (`declared.py`); reading files (`document.py`, `registry.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import polars as pl
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from etl_platform.contracts.declared.column_types import format_type, parse_type, parse_value
from etl_platform.contracts.declared.time_formats import require_formats
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.contracts.shaping import NameCase, WriteMode

Nulls = Literal["drop", "keep", "fill", "flag"]


def _portable_name(name: str) -> str:
    if not ALLOWED.fullmatch(name) or name.startswith("_"):
        raise ValueError(f"found {name!r}; expected lower-case letters, digits and underscores, at most 62")
    return name


def _known_type(text: str) -> str:
    return format_type(parse_type(text))


def whole_text(pattern: str) -> str:
    """The expression that the whole text must match."""
    return f"^(?:{pattern})$"


def _regular_expression(pattern: str) -> str:
    try:
        # Also as it is used: a comment at its end (?x) would swallow what follows.
        for used in (pattern, whole_text(pattern)):
            pl.Series(["a"]).str.contains(used)
    except pl.exceptions.ComputeError as error:
        what = str(error).strip().splitlines()[-1]
        raise ValueError(f"found {pattern!r} ({what}); expected a regular expression (Rust syntax)") from None
    return pattern


def _date_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    require_formats(formats, are_dates=True)
    return formats


def _timestamp_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    require_formats(formats, are_dates=False)
    return formats


def _off(value: Any) -> Any:
    # YAML reads a bare `off` as false.
    return "off" if value is False else value


Name = Annotated[str, AfterValidator(_portable_name)]
Type = Annotated[str, AfterValidator(_known_type)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ColumnDeclaration(_Strict):
    """One column that senders send.

    source: what senders call it, where not by its name. required: whether a file without the column is refused.
    nulls: what becomes of a row without a value: `drop` (to quarantine, never silently), `keep`, `fill` (with the value
    of `fill`), `flag` (keep, and say so in `<name>_was_null`). formats: how its dates are written (strftime).
    """

    name: Name
    type: Type
    description: str = Field(min_length=1)
    source: str | None = Field(default=None, min_length=1)
    required: bool = True
    nulls: Nulls | None = None
    fill: Any = None
    min: Any = None
    max: Any = None
    allowed: tuple[Any, ...] | None = Field(default=None, min_length=1)
    pattern: Annotated[str, AfterValidator(_regular_expression)] | None = None
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=1)
    unique: bool = False
    formats: tuple[str, ...] = ()

    @property
    def dtype(self) -> pl.DataType:
        """The Polars type."""
        return parse_type(self.type)

    @property
    def null_action(self) -> Nulls:
        """`nulls`, or what follows from `required`."""
        return self.nulls or ("drop" if self.required else "keep")

    @property
    def nullable(self) -> bool:
        """Whether stored rows may hold no value."""
        return self.null_action in {"keep", "flag"}

    def value(self, given: Any) -> Any:
        """A constraint's or fill's value in the column's type."""
        return parse_value(given, self.dtype)

    @model_validator(mode="after")
    def _nulls_fit(self) -> ColumnDeclaration:
        if (self.nulls == "fill") != (self.fill is not None):
            found = "nulls: fill without fill" if self.nulls == "fill" else f"fill: {self.fill} without nulls: fill"
            raise ValueError(f"found {found}; expected both or neither")
        if self.nulls == "drop" and not self.required:
            raise ValueError(
                "found required: false with nulls: drop; expected required: true, or nulls: keep, fill or flag "
                "(a file without the column would lose every row)"
            )
        return self

    @model_validator(mode="after")
    def _constraints_fit(self) -> ColumnDeclaration:
        is_text, has_order = self.type == "string", self.type not in {"string", "boolean"}
        self._only("pattern, min_length and max_length", is_text, self.pattern, self.min_length, self.max_length)
        self._only("min and max", has_order, self.min, self.max)
        self._only("formats", self.type in {"date", "timestamp"}, self.formats or None)
        require_formats(self.formats, are_dates=self.type == "date")
        for field in ("min", "max", "fill"):
            self._read(field, getattr(self, field))
        for value in self.allowed or ():
            self._read("allowed", value)
        for low, high in (("min", "max"), ("min_length", "max_length")):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and self._ordered(first) > self._ordered(last):
                raise ValueError(f"found {low} {first} above {high} {last}; expected {low} at most {high}")
        return self

    def _only(self, fields: str, fits: bool, *values: Any) -> None:
        if not fits and any(value is not None for value in values):
            raise ValueError(f"found {fields} of a column of type {self.type}; expected a type that has them")

    def _read(self, field: str, value: Any) -> None:
        if value is not None:
            try:
                self.value(value)
            except ValueError as error:
                raise ValueError(f"found {field}: {str(error).removeprefix('found ')}") from None

    def _ordered(self, value: Any) -> Any:
        return value if self.type == "string" else self.value(value)


class DerivedDeclaration(_Strict):
    """A column computed from the columns before it, by an SQL expression. required: whether it must have a value."""

    name: Name
    type: Type
    description: str = Field(min_length=1)
    expression: str = Field(min_length=1)
    required: bool = True

    @property
    def dtype(self) -> pl.DataType:
        """The Polars type."""
        return parse_type(self.type)


class RuleDeclaration(_Strict):
    """A row rule: an SQL expression that is true for a good row, and the sentence that explains it."""

    name: Name
    sentence: str = Field(min_length=1)
    expression: str = Field(min_length=1)


class WatchedDeclaration(_Strict):
    """A numeric column whose usual magnitude is known, for each combination of values of `by`: a jump warns."""

    column: Name
    by: tuple[Name, ...] = ()


class NamingDeclaration(_Strict):
    """The form in which senders' column names are compared."""

    case: NameCase = "lower"
    remove_special: bool = True


class Declaration(_Strict):
    """A whole dataset. date_formats, timestamp_formats: of columns without `formats` of their own. watched, categories:
    what is held against earlier partitions (warnings).

    business_date_tolerance_hours: how far outside its business date an event may lie; then a key that several dates
    deliver lives once. None: a delivery is a snapshot, with one row for each key and date.
    """

    name: Name
    title: str = Field(min_length=1)
    description: str = ""
    columns: tuple[ColumnDeclaration, ...] = Field(min_length=1)
    derived: tuple[DerivedDeclaration, ...] = ()
    rules: tuple[RuleDeclaration, ...] = ()
    key: tuple[Name, ...] = ()
    event_time: Name | None = None
    business_date_tolerance_hours: int | None = Field(default=None, ge=0, le=24 * 31)
    naming: NamingDeclaration = NamingDeclaration()
    date_formats: Annotated[tuple[str, ...], AfterValidator(_date_formats)] = ()
    timestamp_formats: Annotated[tuple[str, ...], AfterValidator(_timestamp_formats)] = ()
    deduplicate: Annotated[Literal["latest", "occurrence", "off"], BeforeValidator(_off)] = "latest"
    write_mode: WriteMode = "replace"
    watched: tuple[WatchedDeclaration, ...] = ()
    categories: tuple[Name, ...] = ()
