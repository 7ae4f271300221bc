"""Which processes that began runs are still there: each holds a lock on a file of its own until it ends.

The kernel gives the lock back whatever ends the process, kill -9 and a power cut included. Nothing else tells so well:
a process number may be another's by now, and means nothing in another container. Who can see the file can tell; a
process that began elsewhere, without a common folder, is nobody's business here.
"""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from collections.abc import Collection
from functools import cache
from io import FileIO
from pathlib import Path

PROCESS_TAG = "etl-platform/process"
"""Run tag of a run that is executed inside the process that began it."""
_SUFFIX = ".lock"


class Processes:
    """Those that have a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mine(self) -> str:
        """The name of this process, for people and for `dead`. From now on it is known to be alive."""
        return _hold(self._folder, os.getpid())

    def dead(self) -> list[str]:
        """Names of those that have ended."""
        return [path.stem for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if not _is_held(path)]

    def forget(self, names: Collection[str]) -> None:
        """Remove the files of processes that are dead; nobody asks for them any more."""
        for name in names:
            (self._folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)


@cache
def _held() -> list[FileIO]:
    """Open as long as the process lives."""
    return []


@cache
def _hold(folder: Path, pid: int) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()}-{pid}-{uuid.uuid4().hex[:12]}"
    # Locked before it has the name by which others find it: it is never seen without its lock.
    unseen = folder / f".{name}"
    file = FileIO(str(unseen), "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    unseen.rename(folder / f"{name}{_SUFFIX}")
    _held().append(file)
    return name


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True  # somebody else has just seen to it
    except BlockingIOError:
        return True
    return False
