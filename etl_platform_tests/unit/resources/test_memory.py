"""The memory plan: what was configured, else half of what machine or container really have free."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from etl_platform.resources import memory
from etl_platform.resources.memory import plan_memory

MIB = 2**20


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    return tmp_path


def limit(folder: Path, maximum: str, current: int, stat: str = "anon 1\ninactive_file 0\nactive_file 5\n") -> None:
    (folder / "memory.max").write_text(f"{maximum}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(stat)


def test_a_configured_limit_is_the_limit() -> None:
    plan = plan_memory(512)
    assert (plan.limit, plan.source) == (512 * MIB, "ETL_MEMORY_LIMIT_MB")
    assert plan.rows_budget == 128 * MIB


def test_a_container_has_half_of_its_limit_minus_its_use(cgroup: Path) -> None:
    limit(cgroup, str(64 * MIB), 24 * MIB)
    plan = plan_memory()
    assert plan.limit == 20 * MIB and "container" in plan.source


def test_cached_pages_of_files_are_free_memory(cgroup: Path) -> None:
    limit(cgroup, str(64 * MIB), 64 * MIB, f"anon 1\ninactive_file {40 * MIB}\n")
    assert plan_memory().limit == 20 * MIB


def test_a_full_container_has_nothing_and_not_less(cgroup: Path) -> None:
    limit(cgroup, str(64 * MIB), 65 * MIB)
    assert plan_memory().limit == 0


@pytest.mark.parametrize("maximum", ["max", str(2**62)])
def test_without_a_tighter_limit_the_machine_counts(cgroup: Path, maximum: str) -> None:
    limit(cgroup, maximum, 0)
    plan = plan_memory()
    assert 0 < plan.limit <= psutil.virtual_memory().total // 2 and "machine" in plan.source


def test_without_cgroup_files_the_machine_counts(cgroup: Path) -> None:
    assert not list(cgroup.iterdir()) and "machine" in plan_memory().source
