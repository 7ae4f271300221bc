"""What loading the definitions costs: a fresh interpreter for `import etl_platform.definitions` against one for what
any code location of this kind imports (dagster, polars, pandera). Processor seconds, medians of alternating runs.

    python -m benchmarks.import_time --rounds 9

Goal: at most 1.5 times the reference.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "import_time.md"
GOAL = 1.5
PROGRAMS = {
    "reference": "import dagster, polars, pandera.polars",
    "definitions": "import etl_platform.definitions",
}


def measure_once(program: str) -> tuple[float, float]:
    """Wall and processor seconds of one fresh interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        environment = {"ETL_HOME": home, "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=home)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for program in PROGRAMS.values():
        measure_once(program)  # byte code and file cache
    runs = [{name: measure_once(program) for name, program in PROGRAMS.items()} for _ in range(rounds)]
    lines = ["| | wall s | processor s |", "| --- | --- | --- |"]
    for name in PROGRAMS:
        wall, processor = (statistics.median(one[name][i] for one in runs) for i in (0, 1))
        lines.append(f"| {name} | {wall:.2f} | {processor:.2f} |")
    ratios = [statistics.median(one["definitions"][i] / one["reference"][i] for one in runs) for i in (0, 1)]
    lines += ["", f"Ratio: {ratios[0]:.2f} (wall), {ratios[1]:.2f} (processor); goal at most {GOAL}."]
    report = "\n".join(lines)
    print(report)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"# Import time\n\n{(__doc__ or '').strip()}\n\n{report}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
