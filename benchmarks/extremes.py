"""Partitions of extreme shape through `etl-platform run`, landing to gold and warehouse: many objects of one row each,
and a declared dataset of very many columns.

The references hold the same values in an ordinary shape: the same rows in one object, the same number of values in ten
columns. Wall seconds, CPU seconds and peak memory are those of the whole command, the start of Python included.

    python -m benchmarks.extremes --objects 50000 --columns 1000 --rows 5000

Goals on two quiet cores: 120 s for 50,000 objects; 10 s and 600 MB for 1,000 columns and 5,000 rows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks import measure

DATE, CODE = "2025-01-15", "sender"
ENTRY = "from etl_platform.cli import main; main()"
NARROW = 10
KINDS = ("decimal", "integer", "text", "date", "timestamp")
TICKS = """
code: sender
name: Sender of small files
datasets: {prices: {format: {type: csv}}}
"""
BARS_HEADER = "symbol,timestamp,open,high,low,close,volume"
RESULTS = Path(__file__).parent / "results" / "extremes.md"


@dataclass(frozen=True)
class Command:
    """What one command took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=50_000)
    parser.add_argument("--columns", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=5_000)
    arguments = parser.parse_args()
    cells = arguments.columns * arguments.rows
    lines = [
        *compared(
            (f"{arguments.objects:,} objects of one row", lambda home: many(home, arguments.objects, 1)),
            ("the same rows in one object (reference)", lambda home: many(home, 1, arguments.objects)),
        ),
        *compared(
            (
                f"{arguments.columns:,} columns, {arguments.rows:,} rows",
                lambda h: wide(h, arguments.columns, arguments.rows),
            ),
            (f"as many values in {NARROW} columns (reference)", lambda h: wide(h, NARROW, cells // NARROW)),
        ),
    ]
    header = ["partition", "wall s", "wall / reference", "CPU s", "CPU / reference", "peak MB"]
    report = f"{measure.markdown(header, lines)}\n\n{measure.machine('dagster', 'polars', 'duckdb', 'pandera')}"
    print(report)
    RESULTS.write_text(f"# Extreme partitions\n\n{(__doc__ or '').strip()}\n\n{report}\n", encoding="utf-8")


def compared(*contestants: tuple[str, Callable[[Path], Command]]) -> list[list[str]]:
    """One line for each; the last is the reference."""
    found = []
    for name, run in contestants:
        with tempfile.TemporaryDirectory() as folder:
            found.append((name, run(Path(folder))))
    base = found[-1][1]
    return [
        [
            name,
            f"{one.seconds:.1f}",
            f"{one.seconds / base.seconds:.2f}",
            f"{one.cpu_seconds:.1f}",
            f"{one.cpu_seconds / base.cpu_seconds:.2f}",
            f"{one.peak_mb:.0f}",
        ]
        for name, one in found
    ]


def many(home: Path, objects: int, rows: int) -> Command:
    """`prices` of one partition in so many objects of so many rows."""
    (home / "institutions").mkdir()
    (home / "institutions" / "sender.yaml").write_text(TICKS)
    for number in range(objects):
        deliver(home, "prices", f"{number:06}.csv", [BARS_HEADER, *(bar(number * rows + row) for row in range(rows))])
    measured = command({"ETL_HOME": str(home), "ETL_INSTITUTIONS_PATH": str(home / "institutions")}, "run")
    check(home, "prices", objects * rows)
    return measured


def wide(home: Path, columns: int, rows: int) -> Command:
    """A dataset of so many columns, as `etl-platform infer` declares it."""
    names = ["id", *(f"c{number:04}_{KINDS[number % len(KINDS)]}" for number in range(1, columns))]
    file = deliver(
        home, "wide", "wide.csv", [",".join(names), *(",".join(values(row, columns)) for row in range(rows))]
    )
    arguments = [sys.executable, "-c", ENTRY, "infer", str(file), "--name", "wide"]
    declared = subprocess.run(arguments, env={**os.environ, "ETL_HOME": str(home)}, stdout=subprocess.PIPE, check=True)
    for folder, text in (("datasets", declared.stdout.decode()), ("institutions", TICKS.replace("prices", "wide"))):
        (home / folder).mkdir()
        (home / folder / "it.yaml").write_text(text)
    environment = {"ETL_HOME": str(home), "ETL_DATASETS_PATH": str(home / "datasets")}
    measured = command({**environment, "ETL_INSTITUTIONS_PATH": str(home / "institutions")}, "run")
    check(home, "wide", rows)
    return measured


def deliver(home: Path, dataset: str, name: str, lines: Iterable[str]) -> Path:
    """A file in the landing zone."""
    folder = home / "landing" / CODE / dataset / DATE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def bar(number: int) -> str:
    symbol = "".join(chr(65 + number // power % 26) for power in (676, 26, 1))
    second = number % 86_400
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    low = 90 + number % 50
    return f"{symbol},{DATE}T{clock}Z,{low + 10}.5,{low + 20}.25,{low},{low + 10},{number}"


def values(row: int, columns: int) -> list[str]:
    """The texts of a row: numbers that follow from row and column."""
    return [
        f"R{row:07}",
        *(value(KINDS[number % len(KINDS)], row * 7_919 + number * 104_729) for number in range(1, columns)),
    ]


def value(kind: str, number: int) -> str:
    if kind == "decimal":
        return f"{number % 10**7 / 100:.2f}"
    if kind == "integer":
        return str(number % 10**6)
    if kind == "text":
        return f"text {number % 9_973}"
    if kind == "date":
        return f"20{number % 24:02}-{number % 12 + 1:02}-{number % 28 + 1:02}"
    return f"{DATE}T{number % 24:02}:{number % 60:02}:00Z"


def command(environment: dict[str, str], *arguments: str) -> Command:
    """The command line in a process of its own, which takes one worker."""
    inherited = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, *arguments], env=inherited | environment, stdout=subprocess.DEVNULL
    )
    # Its peak begins with that of this process, which is smaller.
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"exit status {process.returncode}"
    return Command(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def check(home: Path, table: str, rows: int) -> None:
    """Every row is where people query it."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(f'select count(*) from "{CODE}"."{table}"').fetchone()
        assert found == (rows,), f"{table}: found {found}, expected {rows} rows"


if __name__ == "__main__":
    main()
