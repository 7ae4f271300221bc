"""Object storage: a local folder or S3, behind one interface (`ObjectStore`).

Belongs here: choosing the store of a URL, and what works on any store. Not here: how each store does it
(`folder.py`, `s3.py`), tables (`stores/`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

from etl_platform.errors import ConfigurationError
from etl_platform.limits import DOWNLOADS_AT_ONCE
from etl_platform.object_store.folder import FolderObjectStore
from etl_platform.object_store.s3 import S3ObjectStore
from etl_platform.object_store.types import (
    Downloaded,
    ObjectInfo,
    ObjectMissingError,
    ObjectStore,
    S3Options,
)
from etl_platform.retries import Retries

__all__ = [
    "Downloaded",
    "ObjectInfo",
    "ObjectMissingError",
    "ObjectStore",
    "S3Options",
    "at_once",
    "download_many",
    "open_object_store",
]


_T = TypeVar("_T")
_R = TypeVar("_R")


def open_object_store(
    url: str, s3: S3Options | None = None, retries: Retries | None = None, *, service: str = "object store"
) -> ObjectStore:
    """The store at `s3://bucket[/prefix]`, `file:///folder` or a plain path. Does no I/O, holds no connection yet.

    service: its name in errors and for partitions that wait for it.
    """
    patience = retries or Retries()
    scheme, separator, rest = url.partition("://")
    if not separator:
        return FolderObjectStore(Path(url).expanduser().absolute(), patience, service)
    if scheme == "file":
        parts = urlsplit(url)
        if parts.netloc in {"", "localhost"} and parts.path.startswith("/"):
            # A file URL is percent-encoded, so a bare '#' or '?' would cut it: better said than half obeyed.
            if parts.query or parts.fragment:
                raise _unusable(url, "a '?' or '#' that is not percent-encoded")
            return FolderObjectStore(Path(unquote(parts.path)), patience, service)
    if scheme == "s3":
        bucket, _, prefix = rest.partition("/")
        if re.fullmatch(r"[A-Za-z0-9._-]+", bucket):
            return S3ObjectStore(bucket, prefix.strip("/"), s3 or S3Options(), patience, service=service)
    raise _unusable(url, "no storage URL")


def _unusable(url: str, found: str) -> ConfigurationError:
    scheme, _, rest = url.partition("://")
    shown = f"{scheme}://***" if {"@", ":"} & set(rest) else url  # people paste credentials into URLs
    return ConfigurationError(
        f"storage URL {shown!r}",
        found=found,
        expected="s3://bucket/prefix, file:///absolute/folder or a path, without credentials",
        next_step="correct the setting; S3 keys have settings of their own",
    )


def at_once(action: Callable[[_T], _R], items: Sequence[_T], concurrency: int) -> list[_R]:
    """What `action` gives for each item, in their order, a few at a time.

    The first failure starts no further one and is raised once those under way have ended.
    """
    if len(items) < 2:  # most partitions are one file: no threads for it
        return [action(item) for item in items]
    results: dict[int, _R] = {}
    left = iter(enumerate(items))
    turn, ended = Lock(), Event()

    def work() -> None:
        try:
            while not ended.is_set():
                with turn:
                    number, item = next(left, (-1, None))
                if number < 0:
                    return
                results[number] = action(cast(_T, item))
        except BaseException:  # an interrupt, too: the others must not go on with what is left
            ended.set()
            raise

    # Few tasks and not one for each item: tens of thousands of them would take more than small files do.
    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="at-once") as pool:
        workers = [pool.submit(work) for _ in range(min(concurrency, len(items)))]
        try:
            for worker in as_completed(workers):
                worker.result()
        except BaseException:  # an interrupt, too, must not wait for all that is left
            ended.set()
            raise
    return [results[number] for number in range(len(items))]


def download_many(
    store: ObjectStore,
    items: Sequence[tuple[str, Path]],
    *,
    concurrency: int = DOWNLOADS_AT_ONCE,
    progress: Callable[[str, Downloaded], None] | None = None,
) -> list[Downloaded]:
    """Download each (key, target), a few at a time; receipts come in the order of `items`.

    The first failure starts no further download and is raised once those under way have ended.
    `progress` is called in the calling thread, as each object arrives.
    """
    if len(items) == 1:  # most partitions are one file: no threads for it
        key, target = items[0]
        receipt = store.download(key, target)
        if progress is not None:
            progress(key, receipt)
        return [receipt]
    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="download") as pool:
        futures = {pool.submit(store.download, key, target): key for key, target in items}
        try:
            for future in as_completed(futures):
                receipt = future.result()
                if progress is not None:
                    progress(futures[future], receipt)
        except BaseException:  # an interrupt, too, must not wait for all that is queued
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]
