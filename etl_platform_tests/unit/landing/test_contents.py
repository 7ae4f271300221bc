"""Which objects are read to be compared, and what is said of those that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from typing_extensions import override

from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.landing.contents import checked
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LandingObject
from etl_platform.object_store.folder import FolderObjectStore
from etl_platform.object_store.open import Downloaded
from etl_platform_tests.support.landing_objects import NOW, PARTITION, landing_object, result_of


@dataclass(frozen=True)
class Watched(FolderObjectStore):
    """A folder that does something before it reads an object, and remembers which it read."""

    before: Callable[[Path], None] = lambda path: None
    read: tuple[list[str], ...] = ([],)

    @override
    def digest(self, key: str) -> Downloaded:
        self.before(self.root / key)
        self.read[0].append(key)
        return super().digest(key)


def fails(error: Exception) -> Callable[[Path], None]:
    def fail(path: Path) -> None:
        raise error

    return fail


def store_with(folder: Path, before: Callable[[Path], None] = lambda path: None) -> Watched:
    store = Watched(folder, before=before, read=([],))
    for name in ("a", "b"):
        store.put_bytes(f"landing/{name}", name.encode())
    return store


def listed(store: FolderObjectStore) -> list[LandingObject]:
    return [
        replace(
            landing_object(info.key.removeprefix("landing/"), modified=info.last_modified),
            etag=info.etag,
            size=info.size,
            uri=info.uri,
        )
        for info in store.list("landing/")
    ]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """It has loaded `a` and `b` when they had other identities."""
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.db")
    store = store_with(tmp_path / "before")
    found = listed(store)
    ledger.record_seen(found, now=NOW)
    ledger.start_attempts("run", [PARTITION], now=NOW)
    results = [result_of(one, sha256=store.digest(one.key).sha256) for one in found]
    ledger.mark_loaded("run", results, now=NOW)
    return ledger


def test_what_is_known_is_not_read_and_the_same_bytes_are_moved(ledger: Ledger, tmp_path: Path) -> None:
    store = store_with(tmp_path / "after")
    found = checked(store, ledger, listed(store))
    assert [finding for _, finding in found] == [Finding.MOVED, Finding.MOVED]
    ledger.record_seen([one for one, _ in found], now=NOW)
    store.read[0].clear()
    assert [finding for _, finding in checked(store, ledger, listed(store))] == [Finding.KNOWN, Finding.KNOWN]
    assert store.read == ([],)


def test_other_bytes_of_the_same_size_are_news_and_carry_their_hash(ledger: Ledger, tmp_path: Path) -> None:
    store = store_with(tmp_path / "after")
    store.put_bytes("landing/a", b"x")
    (one, finding), _ = checked(store, ledger, listed(store))
    assert finding is Finding.NEWS and one.sha256 == store.digest("landing/a").sha256


@pytest.mark.parametrize(
    "before",
    [
        Path.unlink,
        lambda path: path.write_bytes(b"longer"),
        fails(StorageUnavailableError("object", found="it changed")),
        fails(StorageError("object", found="no permission")),
    ],
    ids=["deleted meanwhile", "overwritten meanwhile", "away", "unreadable"],
)
def test_what_cannot_be_compared_stays_as_it_is(ledger: Ledger, tmp_path: Path, before: Callable[[Path], None]) -> None:
    store = store_with(tmp_path / "after", before)
    assert [found for _, found in checked(store, ledger, listed(store))] == [Finding.UNSURE] * 2


def test_progress_is_told(ledger: Ledger, tmp_path: Path) -> None:
    told: list[str] = []
    store = store_with(tmp_path / "after")
    checked(store, ledger, listed(store), tell=told.append)
    assert told == ["checking contents: 0 of 2 objects"]
