"""What the steps of a run know of it, whoever launched it.

Assets, checks and runs over many dates make one (`defs/`); here nobody asks where it came from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

IsGone: TypeAlias = Callable[[str], bool]
"""Whether nobody executes the run of that id any more."""


@dataclass(frozen=True)
class Run:
    """run_id: under which attempts are on record. log: where people read what happened. look: one look at which runs
    are gone, for whoever meets another one."""

    run_id: str
    log: logging.Logger
    look: Callable[[], IsGone]
