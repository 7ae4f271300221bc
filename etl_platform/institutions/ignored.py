"""Names that are no delivery: markers of programs that write files, and what an institution file lists.

Belongs here: which names. Not here: whose an object is (`key_pattern.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

MARKERS = ("_*", ".*", "*.crc")
"""`_SUCCESS`, `_started_…`, `_committed_…` (Spark), `.DS_Store` (macOS), `.part-0000.crc` (Hadoop)."""


def ignored_reason(key: str, patterns: Sequence[str]) -> str | None:
    """Why the object at `key` is nobody's by its name; None where it may be a delivery."""
    name = key.rsplit("/", 1)[-1]
    for marker in MARKERS:
        if fnmatchcase(name, marker):
            return f"a marker by its name ({marker})"
    for pattern in patterns:
        if fnmatchcase(name, pattern) or fnmatchcase(key, pattern):
            return f"the institution file ignores {pattern!r}"
    return None
