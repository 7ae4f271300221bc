"""One check before anybody has run it: its name, what it says, and how it judges.

Not here: what came of it (`verdict.py`), the names of checks (`contracts/check_names.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from etl_platform.pipeline.verdict import Verdict

Seen = TypeVar("Seen")
Wider = TypeVar("Wider")


@dataclass(frozen=True)
class Check(Generic[Seen]):
    """judge: from everything it looks at to a verdict. blocks: whether a failure may keep the partition out of gold and
    warehouse."""

    name: str
    sentence: str
    judge: Callable[[Seen], Verdict]
    blocks: bool = True

    def within(self, part: Callable[[Wider], Seen]) -> Check[Wider]:
        """The same check for those who have more at hand. part: what it looks at of that."""
        judge = self.judge
        return Check(self.name, self.sentence, lambda seen: judge(part(seen)), self.blocks)
