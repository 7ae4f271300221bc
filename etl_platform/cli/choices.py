"""What people type for dates, institutions and datasets, checked against what exists, with the near matches."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from etl_platform.errors import ConfigurationError, UnknownNameError
from etl_platform.institutions.faults import require_usable

if TYPE_CHECKING:
    from etl_platform.defs.graph import Graph

_NEXT = "correct it; nothing was changed"


def parse_dates(text: str, first: dt.date, last: dt.date) -> list[dt.date]:
    """`2025-01-15`, `2025-01-13..2025-01-17` or a comma-separated list of these, inside first..last.

    Raises UnknownNameError in one line.
    """
    days: set[dt.date] = set()
    for part in text.split(","):
        start_text, separator, end_text = part.strip().partition("..")
        start = _date(start_text)
        end = _date(end_text) if separator else start
        if end < start:
            raise UnknownNameError(
                f"date {part!r}", found="an end before its start", expected=f"{end}..{start}", next_step=_NEXT
            )
        for day in (start, end):
            if not first <= day <= last:
                raise UnknownNameError(
                    f"date {day}", found="outside the partitions", expected=f"{first} to {last}", next_step=_NEXT
                )
        days.update(start + dt.timedelta(days=n) for n in range((end - start).days + 1))
    return sorted(days)


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise UnknownNameError(f"date {text!r}", found="no date", expected="e.g. 2025-01-15", next_step=_NEXT) from None


def parse_names(text: str | None, known: Iterable[str], what: str) -> list[str]:
    """A comma-separated list of names that exist; all of them for None. Raises UnknownNameError."""
    names = sorted(known)
    if text is None:
        return names
    wanted = _split(text)
    if not wanted:
        raise UnknownNameError(f"{what} {text!r}", found="no name", expected=" or ".join(names), next_step=_NEXT)
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names
            raise UnknownNameError(
                f"{what} {name!r}", found=f"no such {what}", expected=" or ".join(near), next_step=_NEXT
            )
    return wanted


def parse_institutions(text: str | None, graph: Graph) -> list[str]:
    """The same for institutions; one whose file is not well is refused with the reason, not as unknown.

    Raises ConfigurationError, also where no institution is left at all.
    """
    for name in _split(text or ""):
        if name not in graph.institutions:
            require_usable(name, graph.faults)
    if not graph.institutions:
        raise ConfigurationError(
            f"institutions folder {graph.settings.institutions_folder}",
            found=f"no institution that can be used: {' | '.join(fault.message for fault in graph.faults)}",
        )
    return parse_names(text, graph.institutions, "institution")


def _split(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
