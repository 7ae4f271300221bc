"""One bounded look at the landing zone: what is new goes into the ledger.

New is decided by ledger membership (uri and content identity), never by clocks: keys of the same second, keys that
become visible late, and overwritten keys are all found. The cursor only says where the next look goes on listing.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from etl_platform.ledger.ledger import Ledger
from etl_platform.resources.landing import LandingZone, Routed, Unrouted

PAGE = 1_000


@dataclass(frozen=True)
class Scan:
    """listed: objects looked at. new: recorded as seen. unrouted: newly recorded as belonging to nobody.
    is_complete: every root was listed to its end. cursor: where the next scan goes on."""

    listed: int = 0
    new: int = 0
    unrouted: int = 0
    is_complete: bool = True
    cursor: str = ""
    unrouted_samples: tuple[str, ...] = field(default=())


def scan_landing(
    landing: LandingZone,
    ledger: Ledger,
    cursor: str | None,
    *,
    max_new: int,
    max_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Scan:
    """List from `cursor` on, page by page, until `max_new` new objects (routed or not) or `max_seconds`.

    What a page holds is in the ledger before the next page is asked for, so a stop loses nothing. A page with more
    news than there is room for is cut behind the last one taken; the next scan goes on there.
    """
    positions = _positions(cursor)
    deadline = clock() + max_seconds
    listed = new = unrouted = 0
    samples: list[str] = []
    for root in landing.roots:
        for page in _pages(landing.listing(root, start_after=positions.get(root.store.url))):
            news = _news(page, ledger, max_new - new - unrouted)
            taken = page if len(news) < max_new - new - unrouted else page[: page.index(news[-1]) + 1]
            now = dt.datetime.now(dt.UTC)
            new += ledger.record_seen([o.landing_object() for o in news if isinstance(o, Routed)], now=now)
            strays = [o for o in news if isinstance(o, Unrouted)]
            unrouted += ledger.record_unrouted([(o.landing_object(), o.reason) for o in strays], now=now)
            samples += [f"{o.info.uri}: {o.reason}" for o in strays]
            listed += len(taken)
            positions[root.store.url] = taken[-1].info.key
            if new + unrouted >= max_new or clock() > deadline:
                return Scan(listed, new, unrouted, False, json.dumps(positions), tuple(samples[:5]))
        positions.pop(root.store.url, None)
    return Scan(listed, new, unrouted, True, json.dumps(positions), tuple(samples[:5]))


def _pages(objects: Iterable[Routed | Unrouted]) -> Iterator[list[Routed | Unrouted]]:
    iterator = iter(objects)
    while page := list(islice(iterator, PAGE)):
        yield page


def _news(page: Sequence[Routed | Unrouted], ledger: Ledger, room: int) -> list[Routed | Unrouted]:
    """The first `room` objects of `page` that the ledger does not know as they are now."""
    unknown = set(ledger.unknown([o.landing_object() for o in page]))
    return [o for o in page if o.landing_object() in unknown][:room]


def _positions(cursor: str | None) -> dict[str, str]:
    """Root url -> last listed key. A cursor of another version or configuration means: from the start."""
    try:
        found = json.loads(cursor) if cursor else {}
    except ValueError:
        return {}
    return {str(url): str(key) for url, key in found.items()} if isinstance(found, Mapping) else {}
