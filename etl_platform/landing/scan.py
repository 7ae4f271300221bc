"""One bounded look at the landing zone: what is new goes into the ledger, and what is gone is no longer waited for.

New is decided by ledger membership (place and content), never by clocks: keys of the same second, keys that become
visible late, and overwritten keys are all found. The cursor only says where the next look goes on listing.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from etl_platform.errors import EtlError
from etl_platform.landing.contents import checked
from etl_platform.landing.zone import LandingZone, Root, Routed, Unrouted
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject, MovedRoot
from etl_platform.ledger.tables import storable
from etl_platform.limits import LISTING_PAGE, LISTING_SAMPLES
from etl_platform.object_store.folder import not_there


@dataclass(frozen=True)
class Scan:
    """listed: objects looked at. new: recorded as seen. unrouted: newly recorded as belonging to nobody. ignored: the
    same by their names. gone: deleted from landing, and no longer waited for. unread: known by their place, and could
    not be read to tell whether they changed; the log says why. moved_roots: landing roots that have another address
    than at the last look, each told once. away: service and error of each root that could not be listed to its end;
    the next scan goes on there. cursor: where that is."""

    listed: int = 0
    new: int = 0
    unrouted: int = 0
    ignored: int = 0
    gone: int = 0
    unread: int = 0
    cursor: str = ""
    unrouted_samples: tuple[str, ...] = field(default=())
    moved_roots: tuple[MovedRoot, ...] = field(default=())
    away: tuple[tuple[str, str], ...] = field(default=())

    @property
    def recorded(self) -> int:
        """News of every kind."""
        return self.new + self.unrouted + self.ignored


def scan_landing(
    landing: LandingZone,
    ledger: Ledger,
    cursor: str | None,
    *,
    max_new: int | None,
    max_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], None] = lambda text: None,
) -> Scan:
    """List from `cursor` on, page by page, until `max_new` new objects (routed or not; None: any) or `max_seconds`.

    What a page holds is in the ledger before the next page is asked for, so a stop loses nothing. A page with more
    news than there is room for, or with more objects to compare byte by byte than there is time for, is cut behind the
    last one taken; the next scan goes on there. A root that does not answer, or refuses, holds back no other one.
    """
    positions = _positions(cursor)
    deadline = clock() + max_seconds
    urls = {name: root.store.url for root in landing.roots for name in landing.names_of(root)}
    scan = Scan(moved_roots=tuple(ledger.note_roots(urls, landing.root_names, now=_now())))
    for root in landing.roots:
        url = root.store.url
        error = not_there(root.store)
        if error is not None and ledger.has_objects(landing.names_of(root)):
            scan = replace(scan, away=(*scan.away, (root.store.service, str(error))))
            continue
        stuck = ledger.stuck(landing.names_of(root))
        errors: list[EtlError] = []
        for page in _pages(landing.listing(root, start_after=positions.get(url)), errors):
            listed = [found.landing_object() for found in page]
            told = checked(root.store, ledger, listed, is_over=lambda: clock() > deadline, tell=tell)
            taken = told if max_new is None else _with_room(told, max_new - scan.recorded)
            scan = _record(scan, page, taken, ledger)
            last = page[len(taken) - 1].info.key
            keys = {storable(found.key) for found, _ in taken}
            scan = _count_gone(scan, root, stuck, keys, (positions.get(url), last), ledger)
            positions[url] = last
            is_full = max_new is not None and scan.recorded >= max_new
            if len(taken) < len(page) or is_full or clock() > deadline:
                return replace(scan, cursor=json.dumps(positions))
        if errors:
            scan = replace(scan, away=(*scan.away, (root.store.service, str(errors[0]))))
            continue
        scan = _count_gone(scan, root, stuck, set(), (positions.pop(url, None), None), ledger)
    return replace(scan, cursor=json.dumps(positions))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _pages(objects: Iterable[Routed | Unrouted], errors: list[EtlError]) -> Iterator[list[Routed | Unrouted]]:
    """Full pages until the end, or until the store fails: then what it said is in `errors`."""
    iterator = iter(objects)
    while True:
        try:
            page = list(islice(iterator, LISTING_PAGE))
        except EtlError as error:
            errors.append(error)
            return
        if not page:
            return
        yield page


def _with_room(told: list[tuple[LandingObject, Finding]], room: int) -> list[tuple[LandingObject, Finding]]:
    """`told` up to the last news there is room for."""
    news = [number for number, (_, finding) in enumerate(told) if finding is Finding.NEWS]
    return told if len(news) < room else told[: news[room - 1] + 1]


def _record(
    scan: Scan, page: Sequence[Routed | Unrouted], taken: Sequence[tuple[LandingObject, Finding]], ledger: Ledger
) -> Scan:
    seen: list[LandingObject] = []
    strays: list[tuple[LandingObject, str]] = []
    ignored: list[tuple[LandingObject, str]] = []
    samples: list[str] = []
    for listed, (found, finding) in zip(page, taken, strict=False):
        if finding in (Finding.KNOWN, Finding.UNSURE):
            continue
        if isinstance(listed, Routed):
            seen.append(found)
        elif listed.is_ignored:
            ignored.append((found, listed.reason))
        else:
            strays.append((found, listed.reason))
            samples += [f"{found.uri}: {listed.reason}"] if finding is Finding.NEWS else []
    now = _now()
    return replace(
        scan,
        listed=scan.listed + len(taken),
        new=scan.new + ledger.record_seen(seen, now=now),
        unrouted=scan.unrouted + ledger.record_unrouted(strays, now=now),
        ignored=scan.ignored + ledger.record_ignored(ignored, now=now),
        unread=scan.unread + sum(finding is Finding.UNSURE for _, finding in taken),
        unrouted_samples=(*scan.unrouted_samples, *samples)[:LISTING_SAMPLES],
    )


def _count_gone(
    scan: Scan,
    root: Root,
    stuck: Sequence[tuple[str, int]],
    listed: set[str],
    span: tuple[str | None, str | None],
    ledger: Ledger,
) -> Scan:
    """What the ledger waits for, between two keys of the listing (the first not included), and is there no more.

    The listing says which few to ask for, so no tick asks the store for every open object.
    """
    after, last = span
    missing = [
        (key, number)
        for key, number in stuck
        if key not in listed and (after is None or key > after) and (last is None or key <= last)
    ]
    if not missing or not_there(root.store):
        return scan
    gone = [number for key, number in missing[:LISTING_PAGE] if _is_gone(root, key)]
    return replace(scan, gone=scan.gone + ledger.mark_gone(gone, now=_now()))


def _is_gone(root: Root, key: str) -> bool:
    try:
        return root.store.head(key) is None
    except EtlError:
        return False  # something is there, if no object, or nobody can say


def _positions(cursor: str | None) -> dict[str, str]:
    """Root url -> last listed key. A cursor of another version or configuration means: from the start."""
    try:
        found = json.loads(cursor) if cursor else {}
    except ValueError:
        return {}
    return {str(url): str(key) for url, key in found.items()} if isinstance(found, Mapping) else {}
