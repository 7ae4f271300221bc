"""Texts that match a regular expression, as many different ones as asked for: identifiers for sample files.

Python's own parser takes the pattern apart; of alternatives the first is taken, of open repetitions a few. What a
dataset's pattern can say beyond that (look-around, back references) is refused with a message.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from etl_platform.errors import ConfigurationError

_LETTERS = string.ascii_uppercase + string.digits + string.ascii_lowercase + "-_. "
_CLASSES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_WORD": string.ascii_uppercase + string.digits + string.ascii_lowercase + "_",
    "CATEGORY_SPACE": " ",
}
_OPEN_REPETITIONS = 8


def matching_texts(pattern: str, numbers: np.ndarray[Any, np.dtype[np.int64]], subject: str) -> pl.Series:
    """One text for each number, different texts for different numbers. Raises ConfigurationError."""
    try:
        places = list(_places(re._parser.parse(pattern)))  # type: ignore[attr-defined]
    except (re.error, LookupError, ValueError):
        raise ConfigurationError(
            subject, found=f"pattern {pattern!r}", expected="for sample files, letters, classes and repetitions only"
        ) from None
    left = numbers.copy()
    columns = []
    # The last place changes fastest, as people number things.
    for letters in reversed(places):
        columns.append(pl.Series(list(letters), dtype=pl.String).gather(left % len(letters)))
        left //= len(letters)
    if left.any():
        raise ConfigurationError(subject, found=f"pattern {pattern!r}", expected=f"room for {numbers.max() + 1} texts")
    if not columns:
        return pl.Series(["" for _ in numbers], dtype=pl.String)
    return pl.select(pl.concat_str(reversed(columns))).to_series()


def _places(parsed: Any) -> Iterator[str]:
    """The letters that each place of the text may hold."""
    for code, argument in parsed:
        match str(code):
            case "LITERAL":
                yield chr(argument)
            case "IN":
                yield _class(argument)
            case "ANY":
                yield _CLASSES["CATEGORY_WORD"]
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high, part = argument
                for _ in range(min(int(high), max(int(low), _OPEN_REPETITIONS))):
                    yield from _places(part)
            case "SUBPATTERN":
                yield from _places(argument[-1])
            case "BRANCH":
                yield from _places(argument[1][0])
            case "AT":
                pass
            case other:
                raise LookupError(other)


def _class(members: Any) -> str:
    """The letters of `[...]`, digits first so that numbered texts look like numbers."""
    found: set[str] = set()
    is_negated = False
    for code, argument in members:
        match str(code):
            case "NEGATE":
                is_negated = True
            case "LITERAL":
                found.add(chr(argument))
            case "RANGE":
                found.update(letter for letter in _LETTERS if argument[0] <= ord(letter) <= argument[1])
            case "CATEGORY":
                found.update(_CLASSES[str(argument)])
            case other:
                raise LookupError(other)
    letters = set(_LETTERS) - found if is_negated else found
    digits = letters & set(string.digits)
    chosen = digits or letters & set(string.ascii_uppercase) or letters
    if not chosen:
        raise LookupError("an empty class")
    return "".join(sorted(chosen))
