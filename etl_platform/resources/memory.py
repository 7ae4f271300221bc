"""How much memory a partition may take: what this machine, or the cgroup of this container, really has free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from etl_platform.limits import MEMORY_SHARE_OF_FREE, MEMORY_SHARE_OF_ROWS

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryPlan:
    """limit: bytes that one partition may take in all. source: where that figure comes from."""

    limit: int
    source: str

    @property
    def rows_budget(self) -> int:
        """Bytes of rows kept in memory; beyond it they go to scratch files and are streamed."""
        return int(self.limit * MEMORY_SHARE_OF_ROWS)


def plan_memory(configured_mb: int | None = None) -> MemoryPlan:
    """The configured limit, else half of what is free."""
    if configured_mb is not None:
        return MemoryPlan(configured_mb * 2**20, "ETL_MEMORY_LIMIT_MB")
    machine = psutil.virtual_memory().available
    container = _cgroup_free(CGROUP)
    if container is not None and container < machine:
        return MemoryPlan(int(container * MEMORY_SHARE_OF_FREE), "half of what the container has free")
    return MemoryPlan(int(machine * MEMORY_SHARE_OF_FREE), "half of what the machine has free")


def _cgroup_free(root: Path) -> int | None:
    """Limit minus use of this process's cgroup (version 2); None without a limit.

    Cached file pages that nobody has touched lately count as free: files read and written fill the cache up to the
    limit, and the kernel takes it back as soon as memory is asked for.
    """
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        lines = (root / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    cached = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else max(0, int(limit) - used + cached)
