"""Objects in the landing zone that are no delivery: markers of tools, and what an institution file says to ignore.

Belongs here: deciding by the key alone. Not here: whose an object is (`landing/zone.py`), what is kept of it.

Keys are taken *below the institution's prefix*: the key below the landing root, without the `<code>/` that it begins
with (`below_prefix`). A code may begin with an underscore (`_acme`), and what it delivers is no marker for that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

_NAMED = (
    ("_SUCCESS", "the mark of a finished job"),
    ("_started_*", "the mark of a begun transaction"),
    ("_committed_*", "the mark of a committed transaction"),
    ("*.crc", "a checksum that Hadoop writes beside a file"),
    (".DS_Store", "what macOS keeps about a folder"),
    ("Thumbs.db", "what Windows keeps about a folder"),
)
_ONLY_WILDCARDS = re.compile(r"[*?/.]*")
# Unlike each other in every part, so that what fits both says nothing about a name.
_ANY_KEYS = ("prices/2025-01-15/bars.csv", "Q~7/#1 (final)/Zürich!")


def below_prefix(key: str, code: str) -> str:
    """`key`, which is one below the landing root, as `ignored_reason` wants it for institution `code`."""
    return key.removeprefix(f"{code}/")


def ignored_reason(key: str, patterns: Sequence[str]) -> str | None:
    """Why the object at `key` (below the institution's prefix) is no delivery; None where it may be one.

    patterns: `ignore:` of the institution's file. Its own come last: what is a marker is one everywhere.
    """
    name = key.rpartition("/")[2]
    for pattern, meaning in _NAMED:
        if fnmatchcase(name, pattern):
            return f"{name!r} is {meaning}"
    for part in key.split("/"):
        if part.startswith(("_", ".")):
            return f"{part!r} begins with {part[0]!r}: the name of a marker or of something unfinished"
    for pattern in patterns:
        if _fits(key, pattern):
            return f"it fits {pattern!r} of `ignore:` in the institution's file"
    return None


def _fits(key: str, pattern: str) -> bool:
    """A pattern without `/` is one for the file's name, in whichever folder; one with it is for the whole key."""
    return fnmatchcase(key if "/" in pattern else key.rpartition("/")[2], pattern)


def require_ignore_pattern(pattern: str) -> str:
    """`pattern` itself where it can be meant. Raises ValueError (found, expected)."""
    if pattern.startswith("/"):
        raise ValueError(f"found a leading '/' in {pattern!r}; expected a pattern for keys below the institution's")
    if _ONLY_WILDCARDS.fullmatch(pattern) or all(_fits(key, pattern) for key in _ANY_KEYS):
        raise ValueError(f"found {pattern!r}, which would ignore everything; expected part of a name, e.g. '*.tmp'")
    return pattern
