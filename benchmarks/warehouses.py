"""The same silver rows into every warehouse: DuckDB, Postgres and the Snowflake emulator.

    python -m benchmarks.warehouses --rows 500000 --rounds 3

No goal: it shows what a partition replace costs on each target, in the same run, as ratios to DuckDB. The emulator's
figure says what the client costs, nothing of the service.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl
from pydantic import SecretStr

from benchmarks import data, measure
from etl_platform.stores.frames import to_batches
from etl_platform.stores.store import TableStore

RESULTS = Path(__file__).parent / "results" / "warehouses.md"
SCHEMAS = {data.INSTITUTION: data.INSTITUTION}
TARGETS = ("duckdb", "postgres", "snowflake emulator")


def replace(target: str, address: str, source: Path) -> None:
    """In the child: one partition replace of the rows in `source`."""
    rows = pl.scan_parquet(source)
    key = data.partitions()[0]
    store = _store(target, address)
    measure.work(lambda: store.replace(data.BARS, [key], to_batches(rows, data.BARS, "benchmark")))


def _store(target: str, address: str) -> TableStore:
    if target == "duckdb":
        from etl_platform.stores.duckdb.store import DuckDBStore

        return DuckDBStore(Path(address), SCHEMAS)
    if target == "postgres":
        from etl_platform.stores.postgres.store import PostgresStore

        store = PostgresStore(SecretStr(address), SCHEMAS, roles=False)
        store.initialise()
        return store
    from etl_platform.stores.snowflake.account import SnowflakeAccount
    from etl_platform.stores.snowflake.store import SnowflakeStore

    account = SnowflakeAccount(
        account="emulator", user="etl", password=SecretStr("none"), database=f"b_{uuid.uuid4().hex[:8]}",
        host="127.0.0.1", port=int(address), protocol="http",
    )  # fmt: skip
    return SnowflakeStore(account, SCHEMAS)


@contextmanager
def snowflake_emulator() -> Iterator[str]:
    """The port of the tests' emulator in its own process."""
    command = [sys.executable, "-m", "etl_platform_tests.support.snowflake_server"]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": folder}
        )
        assert server.stdin and server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()
            server.wait(timeout=10)


def main() -> None:
    """Alternating rounds in fresh processes against servers of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, metavar=("TARGET", "ADDRESS", "SOURCE"))
    options = parser.parse_args()
    if options.child:
        target, address, source = options.child
        replace(target, address, Path(source))
        return
    from etl_platform_tests.support.postgres import run_postgres_server

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = folder / "silver.parquet"
        data.bars(data.FIRST_DAY, 0, options.rows).write_parquet(source)
        server = stack.enter_context(run_postgres_server())
        port = stack.enter_context(snowflake_emulator())
        addresses: dict[str, Callable[[], str]] = {
            "duckdb": lambda: str(folder / f"{uuid.uuid4().hex}.duckdb"),
            "postgres": lambda: server.new_database().url,
            "snowflake emulator": lambda: port,
        }
        runs: dict[str, list[measure.Measurement]] = {target: [] for target in TARGETS}
        for _ in range(options.rounds):
            for target in TARGETS:
                runs[target].append(
                    measure.run("benchmarks.warehouses", "--child", target, addresses[target](), str(source))
                )
    lines = []
    for target, measured in runs.items():
        seconds, cpu, peak = (measure.median(measured, f) for f in ("seconds", "cpu_seconds", "peak_mb"))
        ratios = sorted(m.seconds / r.seconds for m, r in zip(measured, runs["duckdb"], strict=True))
        lines.append(
            [
                target,
                f"{seconds:.2f}",
                f"{options.rows / seconds / 1e6:.2f}",
                f"{ratios[len(ratios) // 2]:.2f}",
                f"{cpu:.2f}",
                f"{peak:.0f}",
            ]
        )
    header = ["target", "seconds", "M rows/s", "times DuckDB", "client CPU s", "peak MB"]
    packages = ("duckdb", "psycopg", "pgpq", "snowflake-connector-python", "fakesnow")
    page = (
        f"# One replace of {options.rows:,} rows of 12 columns\n\n{measure.markdown(header, lines)}\n\n"
        f"Medians of {options.rounds} alternating rounds. The emulator runs on this machine over DuckDB: it says "
        f"what the client costs, nothing of the service. {measure.machine(*packages)}\n"
    )
    RESULTS.write_text(page)
    print(page)


if __name__ == "__main__":
    main()
