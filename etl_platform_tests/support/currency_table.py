"""The validity of currency codes as Babel (Unicode CLDR) knows it, in the form of `contracts/datasets/currencies.py`.

`python -m etl_platform_tests.support.currency_table` prints the table of the Babel that is installed (extra `dev`).
"""

from __future__ import annotations

import datetime as dt

from babel.core import get_global

FIRST_EDITION = dt.date(1978, 2, 1)
"""ISO 4217 is that old: what was gone before has no code."""
NOT_ISO = frozenset("ARL BAN CNH MCF MKN MVP VNN XAD XBA XBB XBC XBD XTS XXX YUR".split())  # noqa: SIM905
"""Codes of CLDR alone, and those for no currency, for tests and for units of account that nobody books."""
STILL_LISTED = frozenset({"SVC"})
"""No legal tender any more, but active in the published list."""

Span = tuple[dt.date | None, dt.date | None]


def validity() -> dict[str, Span]:
    """First and last day of each code wherever it was used; None: open."""
    spans: dict[str, list[Span]] = {}
    for used in get_global("territory_currencies").values():
        for code, first, last, _ in used:
            spans.setdefault(code, []).append((_day(first), _day(last)))
    found = {code: _whole(code, own) for code, own in sorted(spans.items()) if code not in NOT_ISO}
    return {code: span for code, span in found.items() if span[1] is None or span[1] >= FIRST_EDITION}


def _whole(code: str, spans: list[Span]) -> Span:
    firsts, lasts = [first for first, _ in spans if first], [last for _, last in spans if last]
    is_open = code in STILL_LISTED or len(lasts) < len(spans)
    return (min(firsts) if len(firsts) == len(spans) else None, None if is_open else max(lasts))


def _day(parts: tuple[int, int, int] | None) -> dt.date | None:
    return dt.date(*parts) if parts else None


if __name__ == "__main__":
    for code, (first, last) in validity().items():
        print(f"    {code} {first or '-'} {last or '-'}")
