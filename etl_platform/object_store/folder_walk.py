"""The files below a folder in the order in which S3 lists keys, without holding more than one level per depth.

Belongs here: order and pruning. Not here: what counts as an object (`folder.py`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from etl_platform.errors import StorageError
from etl_platform.object_store.transfer import file_errors

STAGING = ".etl-staging"
"""Reserved top-level folder for writes in progress: on the same file system as the objects, never listed."""


@dataclass(frozen=True)
class Child:
    """An entry of a folder; the key of a folder ends in a slash, which also gives it its place in S3's order.

    Symlinks are never folders here: they may form a circle.
    """

    key: str
    is_folder: bool
    entry: os.DirEntry[str]

    @classmethod
    def of(cls, folder: str, entry: os.DirEntry[str]) -> Child:
        """The entry of `folder`, itself a key that is empty or ends in a slash."""
        is_folder = entry.is_dir(follow_symlinks=False)
        return cls(f"{folder}{entry.name}{'/' if is_folder else ''}", is_folder, entry)

    def is_within(self, prefix: str, after: str) -> bool:
        """Whether this is, or may contain, a key that begins with `prefix` and sorts after `after`."""
        if self.key == f"{STAGING}/":
            return False
        if not self.is_folder:
            return self.key.startswith(prefix) and self.key > after
        has_prefix = self.key.startswith(prefix) or prefix.startswith(self.key)
        return has_prefix and (self.key > after or after.startswith(self.key))


Read = Callable[[], Iterator[Child]]


def walk(root: Path, prefix: str, after: str, ask: Callable[[Read], Iterator[Child]]) -> Iterator[Child]:
    """Every entry below `root` that is no folder, within the bounds, sorted by key. A missing root has none.

    ask: carries out the reading of one folder, for example again after an error that may pass.
    """

    def children(folder: str) -> Iterator[Child]:
        return ask(lambda: _children(root, folder, prefix, after))

    levels = [children(_folder_of(root, prefix))]
    while levels:  # no recursion: senders decide how deep folders go
        child = next(levels[-1], None)
        if child is None:
            levels.pop()
        elif child.is_folder:
            levels.append(children(child.key))
        else:
            yield child


def _folder_of(root: Path, prefix: str) -> str:
    """The folder that holds all keys of `prefix`, so that a partition among thousands costs what it holds itself; the
    root where the way there is not plain (what is missing, a link or no path is for the walk to decide)."""
    *names, _ = prefix.split("/")
    if not names or names[0] == STAGING or any(name in {"", ".", ".."} for name in names):
        return ""
    path = root
    try:
        for name in names:
            path = path / name
            if not stat.S_ISDIR(path.lstat().st_mode):
                return ""
    except (OSError, ValueError):
        return ""
    return f"{'/'.join(names)}/"


def _children(root: Path, folder: str, prefix: str, after: str) -> Iterator[Child]:
    try:
        with file_errors(f"folder {root / folder}"), os.scandir(root / folder) as entries:
            children = [Child.of(folder, entry) for entry in entries]
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # gone since its parent was listed
            return iter(())
        raise
    return iter(sorted((c for c in children if c.is_within(prefix, after)), key=lambda child: child.key))
