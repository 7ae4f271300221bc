"""One check's result, before anybody is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Verdict:
    """passed, with the numbers and the sentence that explain it. warns: a failure is shown and blocks nothing."""

    passed: bool
    numbers: Mapping[str, int | float | str]
    text: str
    sample: pl.DataFrame | None = None
    warns: bool = False
