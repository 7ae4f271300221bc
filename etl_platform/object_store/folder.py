"""A folder as an object store.

Belongs here: keys as paths, listing in S3's order, atomic writes on a local (or mounted) file system.
A key is a path of ordinary names: `..`, empty and `.` segments are refused. Symlinks to files inside the folder
are objects; what leaves the folder is refused, and symlinked folders are not listed (they may form a circle).
A folder that does not exist is an empty store.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

from typing_extensions import override

from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.limits import PROBE_SECONDS, STAGED_SECONDS, TRANSFER_CHUNK_BYTES
from etl_platform.object_store.folder_walk import STAGING, Child, walk
from etl_platform.object_store.probe import look_at
from etl_platform.object_store.transfer import collect, file_errors, receive, weigh
from etl_platform.object_store.types import Downloaded, ObjectInfo, ObjectMissingError, ObjectStore
from etl_platform.retries import Retries, asking

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class NotAnObjectError(StorageError):
    """A directory entry that this store does not serve: a link that leaves the folder, a pipe, a device."""


@dataclass(frozen=True)
class FolderObjectStore(ObjectStore):
    """Objects are the files below `root` (absolute). What the file system answers may pass, as on a mount (see
    `transfer.py`), and is asked again like any service."""

    root: Path
    retries: Retries = Retries()
    service: str = "object store"

    @cached_property
    @override
    def url(self) -> str:
        return self.root.as_uri()

    @override
    def uri(self, key: str) -> str:
        return f"{self.url.rstrip('/')}/{_quoted(key)}"

    @override
    def list(self, prefix: str = "", *, start_after: str | None = None) -> Iterator[ObjectInfo]:
        for child in walk(self.root, prefix, start_after or "", self._ask):
            if (info := self._listed(child)) is not None:
                yield info

    @override
    def head(self, key: str) -> ObjectInfo | None:
        def attempt() -> ObjectInfo | None:
            with file_errors(self._subject(key)):
                try:
                    path = self._existing(key)
                    return self._info(key, path.stat())
                except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    return None

        return self._ask(attempt)

    @override
    def download(self, key: str, target: Path, *, version: str | None = None) -> Downloaded:
        if version is not None:
            raise StorageError(
                self._subject(key), found=f"version {version!r} asked for", expected="none: a folder keeps no versions"
            )

        def attempt() -> Downloaded:
            with self._opened(key) as (file, info):
                return receive(self._chunks(file, info), target, info.etag)

        return self._ask(attempt)

    @override
    def digest(self, key: str) -> Downloaded:
        def attempt() -> Downloaded:
            with self._opened(key) as (file, info):
                return weigh(self._chunks(file, info), info.etag)

        return self._ask(attempt)

    @override
    def obtain(self, key: str, target: Path, *, in_memory: int) -> Downloaded:
        def attempt() -> Downloaded:
            with self._opened(key) as (file, info):
                chunks = self._chunks(file, info)
                return collect(chunks, info.etag) if info.size <= in_memory else receive(chunks, target, info.etag)

        return self._ask(attempt)

    @override
    def read_bytes(self, key: str) -> bytes:
        def attempt() -> bytes:
            with self._opened(key) as (file, info):
                return b"".join(self._chunks(file, info))

        return self._ask(attempt)

    @override
    def put_file(self, key: str, source: Path, *, settles: bool = True) -> ObjectInfo:
        def attempt() -> ObjectInfo:
            with file_errors(f"upload source {source}"):
                reading = source.open("rb")
            with reading:
                return self._put(key, iter(lambda: reading.read(TRANSFER_CHUNK_BYTES), b""), settles=settles)

        return self._ask(attempt)

    @override
    def put_bytes(self, key: str, data: bytes, *, settles: bool = True) -> ObjectInfo:
        return self._ask(lambda: self._put(key, iter((data,)), settles=settles))

    @override
    def settle(self, key: str) -> None:
        def attempt() -> None:
            with file_errors(self._subject(key)):
                _sync_folder(self._place(key).parent)

        self._ask(attempt)

    @override
    def delete(self, key: str) -> None:
        def attempt() -> None:
            with (
                file_errors(self._subject(key)),
                contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError),
            ):
                self._place(key).unlink()

        self._ask(attempt)

    @override
    def probe(self) -> None:
        with asking(self.service):
            look_at(self.root, PROBE_SECONDS)

    def _ask(self, action: Callable[[], _T]) -> _T:
        return self.retries.call(action, service=self.service)

    def _put(self, key: str, chunks: Iterator[bytes], *, settles: bool = True) -> ObjectInfo:
        with file_errors(self._subject(key)):
            place = self._place(key)
            staging = self.root / STAGING
            try:
                _sweep(staging)
            except FileNotFoundError:
                staging.mkdir(parents=True, exist_ok=True)
            staged = staging / uuid.uuid4().hex
            try:
                with staged.open("xb") as file:
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                    _move(staged, place)
                    info = self._info(key, os.fstat(file.fileno()))  # ours, whoever replaces the object next
            except BaseException:  # an interrupt, too, must leave no half file behind
                with contextlib.suppress(FileNotFoundError):
                    staged.unlink()
                raise
            if settles:
                _sync_folder(place.parent)
        return info

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[BinaryIO, ObjectInfo]]:
        with file_errors(self._subject(key)):
            try:
                # The resolved path, not followed once more: a symlink swapped in after the check is not opened.
                descriptor = os.open(self._existing(key), os.O_RDONLY | os.O_NOFOLLOW)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise ObjectMissingError(
                    self._subject(key), found="no such object", next_step="list the store; it may have been removed"
                ) from error
        with os.fdopen(descriptor, "rb") as file:
            yield file, self._info(key, os.fstat(descriptor))

    def _chunks(self, file: BinaryIO, expected: ObjectInfo) -> Iterator[bytes]:
        """The file's bytes. Raises StorageUnavailableError at the end when it was written to meanwhile."""
        received = 0
        with file_errors(expected.uri):
            while chunk := file.read(TRANSFER_CHUNK_BYTES):
                received += len(chunk)
                yield chunk
            found = self._info(expected.key, os.fstat(file.fileno()))
        if (received, found.etag) != (expected.size, expected.etag):
            raise StorageUnavailableError(
                f"object {expected.uri}",
                found=f"it changed while it was read: {received} bytes, etag {found.etag}",
                expected=f"{expected.size} bytes, etag {expected.etag}",
                next_step="try again when the sender has finished writing; senders should write aside and rename",
            )

    def _place(self, key: str) -> Path:
        """Where `key` is written: its folder, symlinks resolved, lies inside the root. The name may be a symlink."""
        names = key.split("/")
        if any(name in {"", ".", ".."} or "\0" in name for name in names) or names[0] == STAGING:
            raise StorageError(
                f"object key {key!r} of {self.url}",
                found="a key that is no path inside the folder",
                expected=f"names separated by single slashes, none of them '.' or '..', not below {STAGING}/",
                next_step="rename the object",
            )
        if self._has_link(names[:-1]):
            return self._inside(self.root.joinpath(*names[:-1]), key) / names[-1]
        return self.root.joinpath(*names)

    def _has_link(self, folders: Sequence[str]) -> bool:
        """Whether one of these folders, each inside the one before, is a symlink: to follow all is dear, few are."""
        path = os.fspath(self.root)
        for name in folders:
            path = f"{path}{os.sep}{name}"
            with contextlib.suppress(OSError):  # what is not there is no link
                if stat.S_ISLNK(os.lstat(path).st_mode):
                    return True
        return False

    def _existing(self, key: str) -> Path:
        """The regular file that holds `key`, symlinks resolved. Raises FileNotFoundError or IsADirectoryError."""
        path = self._place(key)
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            path = self._inside(path, key)
            mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):  # what is still a link after all were followed leads in a circle
            raise NotAnObjectError(self._subject(key), found="a symlink that leads to itself", expected="a file")
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(path)
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise NotAnObjectError(self._subject(key), found="a device, pipe or socket", expected="a regular file")
        return path

    def _inside(self, path: Path, key: str) -> Path:
        resolved = Path(os.path.realpath(path))  # Path.resolve raises on circles, and differently in each Python
        if not resolved.is_relative_to(os.path.realpath(self.root)):
            raise NotAnObjectError(
                self._subject(key),
                found="a symlink that leads out of the folder",
                expected=f"a file inside {self.root}",
                next_step="copy the file into the folder instead of linking it",
            )
        return resolved

    def _listed(self, child: Child) -> ObjectInfo | None:
        """The object of a directory entry; None for one that is gone or, with a warning, no object."""
        try:
            child.key.encode()
            if child.entry.is_symlink() or not child.entry.is_file():
                return self.head(child.key)
            try:
                return self._regular(child)
            except StorageUnavailableError:  # asked once before the ring, which costs more than most answers here
                return self.head(child.key)
        except (NotAnObjectError, UnicodeEncodeError) as error:
            # One odd entry must not hide all the objects after it.
            _log.warning("not listed: %r below %s: %s", child.key, self.url, error)
        return None

    def _regular(self, child: Child) -> ObjectInfo | None:
        with file_errors(self._subject(child.key)), contextlib.suppress(FileNotFoundError):
            return self._info(child.key, child.entry.stat())
        return None

    def _info(self, key: str, status: os.stat_result) -> ObjectInfo:
        return ObjectInfo(
            uri=self.uri(key),
            key=key,
            size=status.st_size,
            # Its last change, too: a sender may set the time of modification, and a new file gets the number of the one
            # that was removed before it.
            etag="-".join(f"{n:x}" for n in (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)),
            version=None,
            last_modified=dt.datetime.fromtimestamp(status.st_mtime_ns / 1e9, tz=dt.UTC),
        )

    def _subject(self, key: str) -> str:
        return f"object {self.uri(key)}"


@lru_cache(maxsize=1024)
def _quoted(key: str) -> str:
    """Asked for several times in each call."""
    return quote(os.fsencode(key))


def _sweep(staging: Path) -> None:
    """Remove what killed writers left behind."""
    with os.scandir(staging) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < time.time() - STAGED_SECONDS:
                    Path(entry).unlink()


def _move(staged: Path, place: Path) -> None:
    try:
        staged.replace(place)
    except FileNotFoundError:  # the folder, which is there for most
        place.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(place)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def not_there(store: ObjectStore) -> StorageUnavailableError | None:
    """What is wrong with a folder that held objects and is not there at all: not mounted, it has lost none of them."""
    if not isinstance(store, FolderObjectStore) or store.root.is_dir():
        return None
    return StorageUnavailableError(
        f"folder {store.root}",
        found="no such folder, and objects below it are on record",
        expected="the folder they were delivered to",
        next_step="mount it, or correct the landing root in the settings or in the institution file",
        service=store.service,
    )


def place_of(store: ObjectStore) -> tuple[int, ...] | None:
    """What tells a folder from another one at its path; None where there is none. Empty for a store without folders."""
    if not isinstance(store, FolderObjectStore):
        return ()
    with contextlib.suppress(OSError):
        found = store.root.stat()
        return found.st_dev, found.st_ino
    return None
