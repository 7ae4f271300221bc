"""One way to break a rule: the bad values, and which further rules cannot but break with it.

Not here: the ways themselves (`market_defects.py`, `master_defects.py`), which of them a sender's files can hold
(`defects.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.contract import Contract

Values = Mapping[str, pl.Expr]

LONG_AGO, FAR_AHEAD = dt.date(1990, 1, 2), dt.date(2999, 1, 1)
"""Before and after every business date."""


@dataclass(frozen=True)
class Defect:
    """values: contract -> column -> the bad value, or None where the contract's parameters leave no bad value.
    also: rules that cannot but break too."""

    values: Callable[[Contract], Values | None]
    also: tuple[str, ...] = ()


def fixed(values: Values, *also: str) -> Defect:
    """The same bad values whatever the contract's parameters."""
    return Defect(lambda contract: values, also)
