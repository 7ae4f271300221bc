"""Rules: what a good row is, each with a name, a sentence, the columns to look at, and an expression.

Belongs here: a rule, the names of those that follow from a column, and how a model writes its own. Not here: which
rules a dataset has (`contract.py`), finding rows that break one (`transforms/validate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pandera.polars as pa
import polars as pl

_Method: TypeAlias = Callable[[Any], pl.Expr]
_WRITTEN = "_etl_rule"
"""Where a method keeps that it is a rule: Pandera takes any other object in a model for a column."""


@dataclass(frozen=True)
class Rule:
    """One named rule: the sentence that explains it, and the columns that the reader of a broken row looks at first.

    expression: false for a row that breaks the rule, true for all others; None where no typed row tells (a text that
    does not read as its type, a value that comes twice).
    """

    name: str
    sentence: str
    columns: tuple[str, ...]
    expression: pl.Expr | None = field(default=None, compare=False, repr=False)

    def check(self) -> pa.Check:
        """The rule as Pandera has it."""
        expression = self.expression
        assert expression is not None

        def holds(data: Any) -> pl.LazyFrame:
            result: pl.LazyFrame = data.lazyframe.select(expression)
            return result

        return pa.Check(holds, name=self.name, description=self.sentence)


def row_rule(name: str, sentence: str, columns: tuple[str, ...], expression: pl.Expr) -> Rule:
    """A rule of rows. expression: true for a good row, null where the rule does not apply: a missing value is the
    business of the column's own `<column>_is_present`."""
    return Rule(name, sentence, columns, expression.fill_null(True))


def presence_rule(column: str) -> str:
    """Name of the derived rule that a required column holds a value."""
    return f"{column}_is_present"


def type_rule(column: str) -> str:
    """Name of the derived rule that a column's text reads as its type, exactly."""
    return f"{column}_is_typed"


def unique_rule(column: str) -> str:
    """Name of the rule that no value of a column, other than the key, comes twice in a partition."""
    return f"{column}_is_unique"


def rule(sentence: str, *columns: str) -> Callable[[_Method], _Method]:
    """Make a method `(cls) -> pl.Expr` of a model a rule named like the method, with what `row_rule` takes."""

    def write(method: _Method) -> _Method:
        vars(method)[_WRITTEN] = (sentence, columns)
        return method

    return write


def rules_of(model: type) -> Iterator[Rule]:
    """The rules that a model and its bases write, in the order in which they stand there."""
    methods: dict[str, _Method] = {}
    for one in reversed(model.__mro__):
        methods |= {name: method for name, method in vars(one).items() if _WRITTEN in getattr(method, "__dict__", {})}
    for name, method in methods.items():
        sentence, columns = vars(method)[_WRITTEN]
        yield row_rule(name, sentence, columns, method(model))
