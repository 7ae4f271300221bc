"""One quick look at a folder that may lie on a mount whose other end is away.

A system call on such a mount may hang for ever and cannot be interrupted, so it is made by a thread that the process
can leave behind; a folder that still has one gets no second.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

from etl_platform.errors import StorageUnavailableError
from etl_platform.object_store.transfer import file_errors

_looking: dict[Path, Future[None]] = {}


def look_at(root: Path, seconds: float) -> None:
    """Raises StorageUnavailableError / StorageError unless `root`, or where it will be made, can be listed."""
    earlier = _looking.get(root)
    if earlier is None or earlier.done():
        _looking[root] = earlier = Future()
        threading.Thread(target=_run, args=(root, earlier), name="probe", daemon=True).start()
    try:
        earlier.result(seconds)
    except NotYet:
        raise StorageUnavailableError(
            f"folder {root}",
            found=f"no answer within {seconds:g} s",
            expected="a folder that can be listed",
            next_step="check the mount and the machine that serves it",
        ) from None


def _run(root: Path, answer: Future[None]) -> None:
    try:
        _list(root)
        answer.set_result(None)
    except BaseException as error:  # handed to whoever asked
        answer.set_exception(error)


def _list(root: Path) -> None:
    with file_errors(f"folder {root}"):
        try:
            with os.scandir(root) as entries:
                next(entries, None)
        except FileNotFoundError:
            # A store that nobody wrote to yet. Nothing is made: a mount that comes later would cover it.
            if root != root.parent:
                _list(root.parent)
