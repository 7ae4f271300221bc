"""What lies at a place that the ledger knows under another identity: the bytes decide, before a run starts.

Belongs here: reading objects to compare them. Not here: what follows (`scan.py`, `defs/bronze.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject
from etl_platform.limits import CONTENTS_AT_ONCE, CONTENTS_BATCH
from etl_platform.object_store.open import ObjectMissingError, ObjectStore

_log = logging.getLogger(__name__)


def checked(
    store: ObjectStore,
    ledger: Ledger,
    objects: Sequence[LandingObject],
    *,
    is_over: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda text: None,
) -> list[tuple[LandingObject, Finding]]:
    """Each object with what it is to the ledger; fewer, from the first on, when `is_over`.

    Some are always read, however late it is, so that every call comes further. An object that cannot be read, is gone
    or changes meanwhile stays UNSURE: a moved root with wrong permissions must not be taken for new. The next listing
    asks again.
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
        found |= {number: (one, finding) for (number, one), finding in zip(told.items(), findings, strict=True)}
        done += len(batch)
    return list(found.values())


def _batches(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), CONTENTS_BATCH):
        yield numbers[start : start + CONTENTS_BATCH]


def _hash_all(store: ObjectStore, objects: Sequence[LandingObject]) -> list[LandingObject | None]:
    if len(objects) == 1:
        return [_hash(store, objects[0])]
    with ThreadPoolExecutor(max_workers=CONTENTS_AT_ONCE, thread_name_prefix="contents") as pool:
        return list(pool.map(lambda found: _hash(store, found), objects))


def _hash(store: ObjectStore, found: LandingObject) -> LandingObject | None:
    """The object with the hash of its bytes; None for one of which nothing can be said now."""
    try:
        receipt = store.digest(found.key)
    except ObjectMissingError:
        return None
    except (StorageError, StorageUnavailableError) as error:
        _log.warning("not compared, the next look at the landing zone tries again: %s", error)
        return None
    # What was read may be newer than what was listed: then the next listing has it.
    is_listed = receipt.size == found.size and (receipt.etag is None or receipt.etag == found.etag)
    return replace(found, sha256=receipt.sha256) if is_listed else None
