"""Who has a DuckDB file open: processes, with their command lines, for those who wait for it.

Looks at the process table alone. The file itself is never opened here: DuckDB locks it by fcntl, and a process that
opens and closes it otherwise loses its lock. Not here: the wait (`file.py`).
"""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

import psutil

from etl_platform.limits import COMMAND_CHARACTERS

_PID = re.compile(r"\(PID (\d+)\)")


def holders(path: Path, message: str) -> str:
    """Every process of this machine that has `path` open, and the one that DuckDB's `message` names; else `message`.

    A process of another user, container or machine shows its number at most.
    """
    place = str(path.resolve())
    found = {int(pid): _described(int(pid)) for pid in _PID.findall(message)}
    for pid in psutil.pids():
        if pid != os.getpid() and pid not in found and _has_open(pid, place):
            found[pid] = _described(pid)
    return f"open in {' and in '.join(found.values())}" if found else message


def _has_open(pid: int, place: str) -> bool:
    try:
        return any(file.path == place for file in psutil.Process(pid).open_files())
    except (psutil.Error, OSError):
        return False  # ended meanwhile, or not ours to look at


def _described(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        command = " ".join(" ".join(process.cmdline()).split())
        since = dt.datetime.fromtimestamp(process.create_time(), tz=dt.UTC)
        user = process.username()
    except (psutil.Error, OSError, KeyError):
        return f"process {pid}"
    cut = command if len(command) <= COMMAND_CHARACTERS else f"{command[:COMMAND_CHARACTERS]}…"
    return f"process {pid} of {user} (started {since:%Y-%m-%d %H:%M} UTC): {cut}"
