"""Bytes into a local file that appears complete or not at all, or into memory; hashed on the way.

Belongs here: what both stores share about local files. Not here: keys, listings, services.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.object_store.types import Downloaded

_MAY_PASS = {
    # A file system over a network whose other end is away: soft NFS (EIO, ETIMEDOUT, ESTALE), SMB, FUSE (ENOTCONN).
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED,
    errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO,
    # Busy, interrupted or short of handles.
    errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
"""A mount that is simply not there is not among them: its folder reads as one that does not exist (ENOENT), which is an
empty store by promise. No space, no permission, read-only and the like stay until a person acts."""

_NEXT_STEPS = {
    errno.ENOSPC: "free space on that disk",
    errno.EDQUOT: "raise the quota or free space",
    errno.EACCES: "give this user permission",
    errno.EPERM: "give this user permission",
    errno.EROFS: "mount the disk writable",
    errno.ENAMETOOLONG: "shorten the name: a file system takes at most 255 bytes between two slashes",
    errno.ENOTDIR: "a folder store cannot hold both an object and objects below its name: rename one",
    errno.EEXIST: "a folder store cannot hold both an object and objects below its name: rename one",
    errno.EISDIR: "a folder store cannot hold both an object and objects below its name: rename one",
}


@contextmanager
def file_errors(subject: str) -> Iterator[None]:
    """Turn the operating system's errors of the block into the platform's, told about `subject`."""
    try:
        yield
    except OSError as error:
        found = f"{type(error).__name__} ({os.strerror(error.errno) if error.errno else error})"
        if error.errno in _MAY_PASS:
            raise StorageUnavailableError(subject, found=found, next_step="try again; check the disk") from error
        raise StorageError(
            subject, found=found, next_step=_NEXT_STEPS.get(error.errno or 0, "check the path and the disk")
        ) from error


def receive(chunks: Iterable[bytes], target: Path, etag: str | None) -> Downloaded:
    """Write `chunks` beside `target`, then rename. An error of `chunks` leaves nothing behind and passes through.

    No fsync: a downloaded file is scratch, worthless to the process that starts after a power cut.
    """
    digest, size = hashlib.sha256(), 0
    with file_errors(f"download target {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{uuid.uuid4().hex}.etl-part")
        try:
            with part.open("xb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    size += len(chunk)
            part.replace(target)
        except BaseException:  # an interrupt, too, must leave no half file behind
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
            raise
    return Downloaded(size=size, sha256=digest.hexdigest(), etag=etag)


def weigh(chunks: Iterable[bytes], etag: str | None) -> Downloaded:
    """Hash `chunks` and keep nothing. An error of `chunks` passes through."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return Downloaded(size=size, sha256=digest.hexdigest(), etag=etag)


def collect(chunks: Iterable[bytes], etag: str | None) -> Downloaded:
    """Keep `chunks` in memory. An error of `chunks` passes through."""
    content = b"".join(chunks)
    return Downloaded(size=len(content), sha256=hashlib.sha256(content).hexdigest(), etag=etag, content=content)
