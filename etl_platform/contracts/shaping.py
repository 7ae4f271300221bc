"""What a contract does to columns between casting and validation, as data: names, missing values, derived columns.

Belongs here: the description. Not here: carrying it out on frames (`transforms/`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

NameCase = Literal["lower", "upper", "capitalize"]
WriteMode = Literal["replace", "append", "fail"]

FLAG_SUFFIX = "_was_null"


def flag_column(column: str) -> str:
    """Name of the boolean column that says where `column` held no value."""
    return f"{column}{FLAG_SUFFIX}"


@dataclass(frozen=True)
class NullPolicy:
    """What happens where a value is missing, before the rules look at it. fill: `value` takes its place. flag: the
    value stays missing, and `<column>_was_null` says so. Columns without a policy keep their nulls; whether the
    contract allows them is the business of `<column>_is_present`."""

    action: Literal["fill", "flag"]
    value: Any = None


@dataclass(frozen=True)
class DerivedColumn:
    """A column that the sender does not send: `expression` over columns before it. inputs: the sender's columns that
    it rests on, also by way of other derived columns. lost: true where a cast in it made null of a value."""

    name: str
    sql: str
    expression: pl.Expr
    inputs: tuple[str, ...]
    lost: pl.Expr | None = None


@dataclass(frozen=True)
class Naming:
    """How a sender's column names are brought into one form before they are compared.

    remove_special: accents go, blanks, hyphens, dots and slashes become one underscore, all else but letters,
    digits and underscores goes.
    """

    case: NameCase = "lower"
    remove_special: bool = True

    def apply(self, name: str) -> str:
        """`name` in that form."""
        plain = name.strip()
        if self.remove_special:
            decomposed = unicodedata.normalize("NFKD", plain)
            letters = "".join(c for c in decomposed if not unicodedata.combining(c))
            plain = re.sub(r"[^\w]", "", re.sub(r"[\s./\\-]+", "_", letters)).strip("_")
        return {"lower": plain.lower(), "upper": plain.upper(), "capitalize": plain.capitalize()}[self.case]
