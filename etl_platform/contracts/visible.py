"""Identifiers hold only characters that can be seen: which columns are identifiers, and the one rule about them.

`T1` and `T1` with a zero-width space behind it look alike and are two keys: one movement of money would count twice.

Belongs here: the characters, and when another rule leaves no room for them. Not here: look-alikes that can be seen
(Latin A, Cyrillic А): no rule can tell which of them was meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import polars as pl

REFERENCE_SUFFIX = "_id"
"""Columns of this ending name a row of some dataset, their own or another."""

UNSEEN = r"^ | $|[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\x{2800}&&[^ ]]"
"""A blank at either end; controls, formats, private and unassigned code points; all blanks but the ordinary one between
others; letters and marks that are drawn as nothing (Hangul fillers, variation selectors, the empty Braille cell).
90 ms of CPU per million identifiers of 24 characters."""

_CLOSED = re.compile(
    r"""\^ (?![?*+{]) (?:             # repeated, as in ^*, it would hold nothing
        [\w!"\#%&',/:;<=>@`~-]         # itself
      | \\(?: d | [!-/:-@\[-`{-~])     # a digit, or a sign as itself
      | \[ [!-Z_-~]+ \]               # one of these; neither negated nor nested
      | \( (?!\?) | \(\?: | [)?*+] | \{[\d,]+\}
    )* \$""",
    re.VERBOSE | re.ASCII,
)


def leaves_no_room(pattern: str) -> bool:
    """Whether a text that matches `pattern` holds only digits and visible ASCII characters.

    False also where that is not plain to see: for alternatives (`|`), `.`, `\\w` (which takes joiners), `[^...]`.
    """
    return _CLOSED.fullmatch(pattern) is not None


def identifiers(columns: Mapping[str, pl.DataType], key: Collection[str], closed: Collection[str]) -> list[str]:
    """The text columns that tell rows apart (`key`) or refer to a dataset, without the `closed` ones."""
    return [
        name
        for name, dtype in columns.items()
        if dtype == pl.String() and (name in key or name.endswith(REFERENCE_SUFFIX)) and name not in closed
    ]


def visible_rule(column: str) -> str:
    """Name of the rule that an identifier holds only characters that can be seen."""
    return f"{column}_is_visible"


def visible_sentence(column: str) -> str:
    """The rule for people."""
    return (
        f"{column} holds only characters that can be seen: no zero-width or no-break space, no control or formatting "
        "mark, no blank at its ends."
    )


def is_visible(column: str) -> pl.Expr:
    """True where the text holds only characters that can be seen; null for null."""
    return ~pl.col(column).str.contains(UNSEEN)
