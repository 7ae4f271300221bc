"""Who is still there: whoever executes a run, or is about to, holds a lock on a file of its own until it ends.

The kernel gives the lock back whatever ends the process, kill -9 and a power cut included. Nothing else tells so well:
a process number may be another's by now, and means nothing in another container. Who can see the file can tell at
once; for those who cannot (another host, a container whose folder went with it) there are heartbeats in the ledger.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import FileIO
from pathlib import Path

from etl_platform.limits import PROCESS_YOUNG_SECONDS

PROCESS_TAG = "etl-platform/process"
"""Run tag that names the lock of the process that executes the run."""
_SUFFIX, _END, _OF_RUN, _SERVERS = ".lock", "~", "@", "servers"


class Processes:
    """Those that have a file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mine(self) -> str:
        """The name of this process, for people and for others who ask. From now on it is known to be alive."""
        return _hold(self._folder, os.getpid())

    @contextmanager
    def held(self, run_id: str) -> Iterator[str]:
        """A name of its own for the time of the block: of one run among many that a process executes."""
        name, file = _lock(self._folder, f"{run_id}{_OF_RUN}")
        try:
            yield name
        finally:
            self.forget([name])
            file.close()

    def executes(self, run_id: str) -> bool | None:
        """Whether a process that executes the run is still there. None: none of it was ever seen here."""
        files = list(self._folder.glob(f"{glob.escape(run_id)}{_OF_RUN}*{_SUFFIX}"))
        return any(_is_held(path) for path in files) if files else None

    def serve(self) -> None:
        """This process launches runs, and tells Dagster when one of them is gone. Known until it ends."""
        servers = self._servers
        servers.mine()
        servers.forget(servers.dead())

    def served(self, moment: float) -> bool | None:
        """Whether one that launches runs was there at the moment and still is. None: none was ever seen here."""
        files = list((self._folder / _SERVERS).glob(f"*{_SUFFIX}"))
        return any(_made_at(path) <= moment and _is_held(path) for path in files) if files else None

    @property
    def _servers(self) -> Processes:
        return Processes(self._folder / _SERVERS)

    def is_known(self, name: str) -> bool:
        """Whether `is_alive` can tell: its file is here."""
        return self._path(name).exists()

    def is_alive(self, name: str) -> bool:
        """Whether the process of that name is still there."""
        path = self._path(name)
        return path.exists() and _is_held(path)

    def dead(self) -> list[str]:
        """Names of those that have ended without a word."""
        return [path.stem for path in sorted(self._folder.glob(f"*{_SUFFIX}")) if not _is_held(path)]

    def forget(self, names: Collection[str]) -> None:
        """Remove the files of those that have ended; nobody asks for them any more."""
        for name in names:
            self._path(name).unlink(missing_ok=True)

    def sweep(self, scratch: Path) -> int:
        """Remove what killed processes left in `scratch`: all that is older than whoever lives. Returns how many."""
        alive = [path for path in self._folder.glob(f"*{_SUFFIX}") if _is_held(path)]
        oldest = min((_made_at(path) for path in alive), default=float("inf"))
        before = min(oldest, time.time() - PROCESS_YOUNG_SECONDS)
        left = [path for path in scratch.glob("*") if _made_at(path) < before] if scratch.is_dir() else []
        for path in left:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return len(left)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


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
    name, file = _lock(folder)
    _held().append(file)
    return name


def _lock(folder: Path, prefix: str = "") -> tuple[str, FileIO]:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{prefix}{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    # Locked before it has the name by which others find it: it is never seen without its lock.
    unseen = folder / f".{name}"
    file = FileIO(str(unseen), "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    unseen.rename(folder / f"{name}{_SUFFIX}")
    return name, file


def _made_at(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return float("inf")


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True  # somebody else has just seen to it
    except BlockingIOError:
        return True
    return False
