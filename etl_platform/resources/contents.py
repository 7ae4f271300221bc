"""What lies at a place that the ledger knows under another identity: the bytes decide, before a run starts.

Belongs here: reading objects to compare them. Not here: what follows (`scan.py`, `defs/bronze.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from etl_platform.errors import StorageError, TransientError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject
from etl_platform.resources.object_store import ObjectMissingError, ObjectStore

_log = logging.getLogger(__name__)

AT_ONCE = 8
_BATCH = 32
"""Objects between two looks at the clock."""


def checked(
    store: ObjectStore,
    ledger: Ledger,
    objects: Sequence[LandingObject],
    *,
    is_over: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda text: None,
) -> list[tuple[LandingObject, Finding]]:
    """Each object with what it is to the ledger, none of them UNSURE; fewer, from the first on, when `is_over`.

    Some are always read, however late it is, so that every call comes further. Of an object that is gone or changes
    while it is read nothing is said: it is KNOWN until the next listing.
    """
    found = dict(enumerate(zip(objects, ledger.compare(objects), strict=True)))
    unsure = [number for number, (_, finding) in found.items() if finding is Finding.UNSURE]
    done = 0
    for batch in _batches(unsure):
        if done and is_over():
            return [found[number] for number in range(unsure[done])]
        tell(f"checking contents: {done:,} of {len(unsure):,} objects")
        hashed = _hash_all(store, [found[number][0] for number in batch])
        told = {number: one for number, one in zip(batch, hashed, strict=True) if one is not None}
        findings = ledger.compare(list(told.values()))
        found |= {number: (found[number][0], Finding.KNOWN) for number in batch}
        found |= {number: (one, finding) for (number, one), finding in zip(told.items(), findings, strict=True)}
        done += len(batch)
    return list(found.values())


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _BATCH):
        yield numbers[start : start + _BATCH]


def _hash_all(store: ObjectStore, objects: Sequence[LandingObject]) -> list[LandingObject | None]:
    if len(objects) == 1:
        return [_hash(store, objects[0])]
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="contents") as pool:
        return list(pool.map(lambda found: _hash(store, found), objects))


def _hash(store: ObjectStore, found: LandingObject) -> LandingObject | None:
    """The object with the hash of its bytes; None for one of which nothing can be said now."""
    try:
        receipt = store.digest(found.key)
    except ObjectMissingError:
        return None
    except TransientError as error:
        _log.warning("not compared, the next look at the landing zone tries again: %s", error)
        return None
    except StorageError as error:
        _log.warning("taken for new, its run says why it cannot be read: %s", error)
        return replace(found, sha256="")
    # What was read may be newer than what was listed: then the next listing has it.
    is_listed = receipt.size == found.size and (receipt.etag is None or receipt.etag == found.etag)
    return replace(found, sha256=receipt.sha256) if is_listed else None
