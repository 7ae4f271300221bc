"""How the benchmarks measure: one process per run, wall and CPU seconds from first byte to last, peak memory.

Belongs here: running, counting and printing. Not here: what is measured.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Measurement:
    """One run. seconds and cpu_seconds: of the work, without imports. peak_mb: of the whole process.

    server_cpu_seconds: what a server spent on it, which a busy machine changes less than it does the wall.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    server_cpu_seconds: float = 0.0


def work(action: Callable[[], object]) -> None:
    """In the child: run `action` and print its measurement as the last line."""
    start, cpu = time.perf_counter(), time.process_time()
    action()
    measured = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({**measured, "peak_mb": _peak_mb()}))


def run(module: str, *arguments: str, server_process: int | None = None) -> Measurement:
    """In the parent: `python -m module arguments` in a fresh process."""
    before = _cpu_of_children(server_process)
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    spent = _cpu_of_children(server_process) - before
    return Measurement(**json.loads(done.stdout.splitlines()[-1]), server_cpu_seconds=spent)


def median(runs: Sequence[Measurement], name: str) -> float:
    """The median of one figure."""
    values: list[float] = [getattr(run, name) for run in runs]
    return statistics.median(values)


def rows_of_figures(figures: Mapping[str, Sequence[Measurement]], *references: str) -> list[list[str]]:
    """One line per contestant: medians, and the median of the ratios to each reference in the same round."""
    lines = []
    for name, runs in figures.items():
        if not runs:
            continue
        compared = [_ratios(runs, figures[reference]) for reference in references]
        seconds, cpu, server, peak = (
            median(runs, figure) for figure in ("seconds", "cpu_seconds", "server_cpu_seconds", "peak_mb")
        )
        spread = f"{min(run.seconds for run in runs):.2f} to {max(run.seconds for run in runs):.2f}"
        lines.append(
            [name, str(len(runs)), f"{seconds:.2f}", spread, *compared, f"{cpu:.2f}", f"{server:.2f}", f"{peak:.0f}"]
        )
    return lines


def _ratios(runs: Sequence[Measurement], bases: Sequence[Measurement]) -> str:
    # A round's contestants meet the same machine; those that ran in fewer rounds are compared in these.
    ratios = [run.seconds / base.seconds for run, base in zip(runs, bases, strict=False)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def machine(*packages: str) -> str:
    """What the figures depend on, in one sentence."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, load average {load} at the end, Python {platform.python_version()}, {versions}."


def _cpu_of_children(process: int | None) -> float:
    """CPU seconds of the children of `process` that have ended: a Postgres backend ends with its connection."""
    if process is None:
        return 0.0
    times = psutil.Process(process).cpu_times()
    return float(times.children_user + times.children_system)


def _peak_mb() -> float:
    # Not getrusage: its figure is inherited through fork and exec, so a child would show its parent's peak.
    status = Path("/proc/self/status").read_text()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak) / 1024
