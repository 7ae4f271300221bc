"""Where a process of the platform ends: behind, or before, one call of one method.

Standard library only: a copy is the `sitecustomize` of processes that others start (runs of the daemon), read before
anything else. `HALT_AT` names the points as JSON, see `Point` of `apart.py`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def arm(point: dict[str, Any]) -> None:
    """Make the process end at the point; a module that is not there yet is changed when it comes."""
    if point["module"] in sys.modules:
        _change(sys.modules[point["module"]], point)
    else:
        sys.meta_path.insert(0, _Finder(point))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, point: dict[str, Any]) -> None:
        self._point = point

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._point["module"]:
            return None
        later = sys.meta_path[sys.meta_path.index(self) + 1 :]
        specs = (finder.find_spec(fullname, path, target) for finder in later)
        spec = next((spec for spec in specs if spec is not None), None)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _change(module, self._point)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _change(module: ModuleType, point: dict[str, Any]) -> None:
    owner = getattr(module, point["owner"]) if point["owner"] else module
    original = getattr(owner, point["name"])
    calls: list[int] = []

    def changed(*args: Any, **kwargs: Any) -> Any:
        told = " ".join([*(getattr(a, "layer", "") + "/" + getattr(a, "name", "") for a in args), *map(repr, args)])
        is_armed = not point["armed"] or Path(point["armed"]).exists()
        counts = is_armed and all(part in told for part in point["match"].split("&"))
        calls.extend([1] if counts else [])
        is_it = counts and len(calls) == point["number"]
        if is_it and point["before"]:
            _end(point)
        result = original(*args, **kwargs)
        if is_it and not point["before"]:
            _end(point)
        return result

    setattr(owner, point["name"], changed)


def _end(point: dict[str, Any]) -> None:
    mark = Path(point["mark"])
    try:
        with mark.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return  # one process ends, those after it go on
    if point["ending"] == "halt":
        while not mark.with_suffix(".go").exists():
            time.sleep(0.02)
        return
    number = getattr(signal, point["ending"])
    if point["delay"]:
        threading.Timer(point["delay"], os.kill, (os.getpid(), number)).start()
    else:
        os.kill(os.getpid(), number)


if os.environ.get("HALT_AT"):
    for wanted in json.loads(os.environ["HALT_AT"]):
        arm(wanted)
