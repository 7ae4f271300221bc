"""Which processes that began runs are still there: each holds a lock on a file of its own until it ends.

The kernel gives the lock back whatever ends the process, kill -9 and a power cut included. Nothing else tells so well:
a process number may be another's by now, and means nothing in another container. Who can see the file can tell; a
process that began elsewhere, without a common folder, is nobody's business here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from io import FileIO
from pathlib import Path

PROCESS_TAG = "etl-platform/process"
"""Run tag of a run that is executed inside the process that began it."""
_SUFFIX, _END = ".lock", "~"


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

    def is_alive(self, name: str) -> bool:
        """Whether the process of that name is still there."""
        path = self._folder / f"{name}{_SUFFIX}"
        return path.exists() and _is_held(path)

    def forget(self, names: Collection[str]) -> None:
        """Remove the files of processes that are dead; nobody asks for them any more."""
        for name in names:
            (self._folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)


@contextmanager
def own_scratch(scratch: Path, kind: str, processes: Processes) -> Iterator[Path]:
    """A folder for the time of the block. Those of the same kind that killed processes have left are removed."""
    scratch.mkdir(parents=True, exist_ok=True)
    for left in scratch.glob(f"{kind}-*{_END}*"):
        if not processes.is_alive(left.name.removeprefix(f"{kind}-").partition(_END)[0]):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{kind}-{processes.mine()}{_END}") as folder:
        yield Path(folder)


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
