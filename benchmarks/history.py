"""History: 2,000 dates of one bar each, imported from one file and taken to gold and warehouse by two processes.

The reference is the platform's ordinary way, a run of its own for each date, measured on fewer dates.

    python -m benchmarks.history [dates]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.measure import machine

PAGE = Path(__file__).parent / "results" / "history.md"
DATES, ALONE, WORKERS = 2_000, 18, 2
FIRST = "2015-01-01"
SENDER = """
code: market
name: Market
key_pattern: "{institution}/{dataset}/{date:%Y-%m-%d}/{symbol}.csv"
datasets:
  prices:
    columns: {"": timestamp, Open: open, High: high, Low: low, Close: close, Volume: volume}
    columns_from_key: {symbol: symbol}
"""
ENTRY = "from etl_platform.cli import main; main()"


@dataclass(frozen=True)
class Step:
    """One command. cpu: of it and its workers."""

    seconds: float
    cpu: float

    def line(self, name: str, dates: int) -> str:
        per_date = f"{self.seconds / dates * 1000:.0f} | {self.cpu / dates * 1000:.0f} | {self.cpu / WORKERS:.0f}"
        return f"| {name} | {dates:,} | {self.seconds:.0f} | {self.cpu:.0f} | {per_date} |"


def main() -> None:
    """Measure and write the page."""
    dates = int(sys.argv[1]) if len(sys.argv) > 1 else DATES
    import_step, together = measured(dates)
    _, alone = measured(ALONE)
    lines = [
        f"# {dates:,} dates of one bar, from one file to gold and warehouse",
        "",
        f"| {WORKERS} processes | dates | wall s | CPU s | wall ms a date | CPU ms a date | s on {WORKERS} quiet cores"
        " |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        import_step.line("`import-history`", dates),
        together.line("`run`, partitions together", dates),
        alone.line("`run`, one run each (reference)", ALONE),
        "",
        "Checked at the end: every bar in the warehouse once, every date in `market_overview`. The CPU of a command "
        "holds that of starting Python, some 15 s for `run`; of the reference it is a good part. Quiet cores: CPU "
        "shared by the processes, what the wall would be with nothing else on the machine and a disk that keeps up.",
        "",
        machine("dagster", "polars", "duckdb"),
        "",
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def measured(dates: int) -> tuple[Step, Step]:
    """Import and run `dates` dates in a platform of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "institutions").mkdir()
        (root / "institutions" / "market.yaml").write_text(SENDER)
        file = root / "AAA.csv"
        file.write_text(bars(dates))
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
            "ETL_HOME": str(root / "home"),
            "ETL_INSTITUTIONS_PATH": str(root / "institutions"),
            "ETL_FIRST_DATE": FIRST,
        }
        imported = command(environment, "import-history", str(file), "--institution", "market", "--dataset", "prices")
        ran = command(environment, "run", "--workers", str(WORKERS))
        check(root / "home" / "warehouse.duckdb", dates)
    return imported, ran


def bars(dates: int) -> str:
    """One file of `dates` daily bars."""
    query = (
        "select strftime(date '2015-01-01' + cast(n as integer), '%Y-%m-%d') as day,"
        " 100 + n % 7, 110 + n % 7, 90 + n % 7, 101 + n % 7, 1000 + n from range(?) as t(n)"
    )
    rows = duckdb.connect().execute(query, [dates]).fetchall()
    return "\n".join([",Open,High,Low,Close,Volume", *(",".join(map(str, row)) for row in rows)]) + "\n"


def command(environment: dict[str, str], *arguments: str) -> Step:
    """Run the command line in a process of its own."""
    before, start = _cpu(), time.perf_counter()
    subprocess.run([sys.executable, "-c", ENTRY, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    return Step(time.perf_counter() - start, _cpu() - before)


def check(warehouse: Path, dates: int) -> None:
    """Every bar is where people query it, once."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        for table in ("market.prices", "market.daily_bars", "shared.market_overview"):
            query = f"select count(*), count(distinct business_date) from {table}"
            found = connection.execute(query).fetchone()
            assert found == (dates, dates), f"{table}: found {found}, expected {dates} rows on as many dates"


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
