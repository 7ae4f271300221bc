"""Dates and times written without separators: digits that stand for one value only.

The parser takes one or two digits for a month, a day or an hour. Where numbers touch (`%Y%m%d`) that is a guess:
`2025115` would be 5 November, though 15 January is written so too. There each number has all its digits, or none reads.
Belongs here: what a format with touching numbers demands. Not here: parsing (`time_formats.py`).
"""

from __future__ import annotations

import re
from functools import cache
from itertools import groupby

import polars as pl

_DIGITS = {"Y": 4, "G": 4, "j": 3, "u": 1, "w": 1, "3f": 3, "6f": 6, "9f": 9, **dict.fromkeys("CdgHImMSUVWy", 2)}
_NUMBERS = {name: f"[0-9]{{{width}}}" for name, width in _DIGITS.items()}
_NUMBERS |= dict.fromkeys("ekl", "[ 0-9][0-9]") | {"f": "[0-9]+"}
_WORDS = tuple("aAbBhpPtn")
_PIECE = re.compile(r"%[-_0]?(?P<spec>[369]?f|[A-Za-z])|%(?P<other>[^A-Za-z]*[A-Za-z])|(?P<text>%%|.)", re.DOTALL)


def with_all_digits(text: pl.Series, fmt: str) -> pl.Series:
    """`text`, null where numbers that touch in `fmt` have not all their digits."""
    wanted = _touching(fmt)
    if wanted is None:
        return text
    return text.to_frame("v").select(pl.when(pl.col("v").str.contains(wanted)).then("v")).to_series()


@cache
def _touching(fmt: str) -> str | None:
    """A pattern that demands all digits of the numbers that touch; None where none do."""
    pieces = [_pattern(piece) for piece in _PIECE.finditer(fmt)]
    runs = [(is_number, list(run)) for is_number, run in groupby(pieces, lambda piece: piece.startswith("["))]
    if not any(is_number and len(run) > 1 for is_number, run in runs):
        return None
    # A number by itself may have fewer digits: it ends where its separator begins.
    parts = ["[0-9]+" if is_number and len(run) == 1 else "".join(run) for is_number, run in runs]
    return rf"(?s)^\D*{''.join(parts)}\D*$"


def _pattern(piece: re.Match[str]) -> str:
    """A number's digits in brackets; what may stand for anything else."""
    if piece["text"]:
        return ".*" if piece["text"].isdigit() else r"\D*"
    return _NUMBERS.get(piece["spec"], r"\D*" if piece["spec"] in _WORDS else ".*")
