"""Institutions whose file cannot be used: which, why, and which keys are theirs all the same.

Belongs here: what the rest of the platform needs to know about them. Not here: finding the faults (`loader.py`,
`clashes.py`). A fault takes out its institution and nobody else: what it has in ledger, lake and warehouse stays as it
is, and what it delivers meanwhile waits in the landing zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.key_pattern import KeyPattern, compile_pattern
from etl_platform.institutions.model import DEFAULT_KEY_PATTERN, Institution


@dataclass(frozen=True)
class Fault:
    """Why one file is out of use. institution: the code that it gives, or its name without the ending where it cannot
    be read that far. message: one line with found, expected and next step. patterns: of its keys, by dataset, as far
    as they can be read."""

    institution: str
    path: Path
    message: str
    patterns: tuple[tuple[str, KeyPattern], ...] = ()

    def claims(self, key: str) -> bool:
        """Whether `key` below a landing root is likely to be this institution's."""
        if key.startswith(f"{self.institution}/"):
            return True
        return any(pattern.match(key, self.institution, dataset) for dataset, pattern in self.patterns)


class Tenants(dict[str, Institution]):
    """The institutions that can be used, by code, and the `faults` of the others.

    Asked for a faulty one it says what is wrong with it: a run that somebody starts for it must not end in a KeyError.
    """

    def __init__(self, institutions: Mapping[str, Institution], faults: Sequence[Fault] = ()) -> None:
        super().__init__(institutions)
        self.faults = tuple(faults)

    def __missing__(self, code: str) -> Institution:
        require_usable(code, self.faults)
        raise KeyError(code)


def is_of_faulty(institutions: Mapping[str, Institution], key: str) -> bool:
    """Whether an object that nobody claims waits for an institution whose file is broken today.

    Such a key (below a landing root) begins with the institution's code, or fits a key pattern that could still be
    read. It must not go on record as belonging to nobody: that would hold after the file is corrected.
    """
    faults = institutions.faults if isinstance(institutions, Tenants) else ()
    return any(fault.institution not in institutions and fault.claims(key) for fault in faults)


def require_usable(code: str, faults: Sequence[Fault]) -> None:
    """Raises ConfigurationError with the reason where `code` is a faulty institution's."""
    reasons = [fault.message for fault in faults if fault.institution == code]
    if reasons:
        raise ConfigurationError(f"institution {code!r}", found=f"out of use: {' | '.join(reasons)}")


def fault_of(path: Path, error: ConfigurationError, document: Any) -> Fault:
    """The fault of the file at `path`. document: what could be read of it."""
    code = code_in(document) or path.stem
    step = error.next_step or "correct the file and reload the code location"
    message = str(ConfigurationError(error.subject, found=error.found, expected=error.expected, next_step=step))
    return Fault(code, path, " ".join(message.split()), tuple(_patterns(document)))


def code_in(document: Any) -> str | None:
    """The code that a document gives, whatever else is wrong with it."""
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) and ALLOWED.fullmatch(code) else None


def _patterns(document: Any) -> list[tuple[str, KeyPattern]]:
    """The key patterns of a document that is no institution, as far as they are some."""
    datasets = document.get("datasets") if isinstance(document, dict) else None
    if not isinstance(datasets, dict):
        return []
    found = []
    for dataset, config in datasets.items():
        own = config.get("key_pattern") if isinstance(config, dict) else None
        pattern = _pattern(own or document.get("key_pattern", DEFAULT_KEY_PATTERN))
        if isinstance(dataset, str) and pattern is not None:
            found.append((dataset, pattern))
    return found


def _pattern(text: Any) -> KeyPattern | None:
    try:
        return compile_pattern(text) if isinstance(text, str) else None
    except ValueError:
        return None
