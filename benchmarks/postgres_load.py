"""Loading Postgres: 45 files (CSV, NDJSON, Parquet) against server-side COPY, dlt and pandas; and flat memory.

Run `python -m benchmarks.postgres_load`; `--help` says how to make it shorter. dlt is compared where it is installed.
The reference is the server reading a ready binary file (`COPY ... FROM '/file' WITH (FORMAT BINARY)`): no client can
be faster. All contestants start from an empty table of the same form; all read the same files but the reference.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from pydantic import SecretStr

from benchmarks import data, measure
from etl_platform.contracts.ddl import create_statements
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.stores.postgres.encode import Encoder
from etl_platform.stores.postgres.store import PostgresStore

if TYPE_CHECKING:
    from etl_platform_tests.support.postgres import PostgresServer

MODULE = "benchmarks.postgres_load"
REFERENCE, PLATFORM, DLT, PANDAS = "server-side COPY", "etl_platform", "dlt", "pandas + COPY"
HEADER = (
    "contestant", "runs", "seconds", "from to", "times server-side COPY", "times etl_platform", "client CPU s",
    "server CPU s", "peak MB",
)  # fmt: skip
CHECKSUM = "count(*), sum(volume), sum(open), sum(close), count(DISTINCT business_date)"


def load_reference(url: str, folder: Path) -> None:
    with psycopg.connect(url) as connection:
        path = str(folder / "reference.bin")
        connection.execute(
            f"COPY institution_a.bars ({_columns(data.BARS)}) FROM '{path}' WITH (FORMAT BINARY)".encode()
        )


def load_platform(url: str, folder: Path) -> None:
    _store(url).replace(data.BARS, data.partitions(), data.read_all(_files(folder), data.BARS))


def load_ticks(url: str, folder: Path) -> None:
    key = PartitionKey(data.FIRST_DAY, data.INSTITUTION)
    _store(url).replace(data.TICKS, [key], data.read_all([folder / "ticks.parquet"], data.TICKS))


def load_dlt(url: str, folder: Path) -> None:
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    import dlt
    import pyarrow as pa

    def resource() -> Any:
        # Batches of a megabyte would cost dlt a call each; it gets one table per file.
        for path in _files(folder):
            yield pa.Table.from_batches(data.read_all([path], data.BARS))

    pipeline = dlt.pipeline(
        "bars",
        destination=dlt.destinations.postgres(url),
        dataset_name="dlt_bars",
        pipelines_dir=tempfile.mkdtemp(dir=folder),
    )
    pipeline.run(
        dlt.resource(resource, name="bars"),
        write_disposition="replace",
        loader_file_format="parquet",
    ).raise_on_failed_jobs()


def load_pandas(url: str, folder: Path) -> None:
    import pandas as pd

    def read(path: Path) -> pd.DataFrame:
        if path.suffix == ".csv":
            return pd.read_csv(path, dtype=dict.fromkeys(("open", "high", "low", "close"), str))
        if path.suffix == ".ndjson":
            return pd.read_json(path, lines=True, dtype=False)
        return pd.read_parquet(path)

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for path in _files(folder):
            text = io.StringIO()
            read(path).to_csv(text, index=False, header=False)
            with cursor.copy(
                f"COPY institution_a.bars ({_columns(data.BARS)}) FROM STDIN (FORMAT CSV)".encode()
            ) as copy:
                copy.write(text.getvalue())


CONTESTANTS: dict[str, Callable[[str, Path], None]] = {
    REFERENCE: load_reference,
    PLATFORM: load_platform,
    DLT: load_dlt,
    PANDAS: load_pandas,
}


def compare(server: PostgresServer, folder: Path, options: argparse.Namespace, *, index: bool) -> str:
    """The table of figures of all contestants on a table with or without its index."""
    url = server.url
    names = [REFERENCE, PLATFORM]
    if not index:
        # dlt makes no index: it is compared where nobody pays for one.
        names += [DLT] * (importlib.util.find_spec("dlt") is not None) + [PANDAS]
    figures: dict[str, list[measure.Measurement]] = {name: [] for name in names}
    expected: Any = None
    for number in range(options.rounds):
        # Who runs first changes from round to round.
        for name in names if number % 2 == 0 else reversed(names):
            if name in (DLT, PANDAS) and number >= options.slow_rounds:
                continue
            _empty_table(url, data.BARS, index=index)
            arguments = ("--child", name, "--url", url, "--folder", str(folder))
            figures[name].append(measure.run(MODULE, *arguments, server_process=server.process_id))
            found = _checksum(url, "dlt_bars" if name == DLT else "institution_a")
            expected = expected or found
            if found != expected:
                raise SystemExit(f"{name} loaded other rows: {found}, expected {expected}")
            print(name, figures[name][-1], flush=True)
    return measure.markdown(HEADER, measure.rows_of_figures(figures, REFERENCE, PLATFORM))


def watch_memory(url: str, folder: Path, sizes: Sequence[int]) -> str:
    """The table of peak memory for Parquet files of growing size."""
    lines: list[list[str]] = []
    first = 0.0
    for rows in sizes:
        data.write_ticks(folder / "ticks.parquet", rows)
        _empty_table(url, data.TICKS, index=True)
        done = measure.run(MODULE, "--child", "ticks", "--url", url, "--folder", str(folder))
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM institution_a.ticks").fetchone() == (rows,)
        first = first or done.peak_mb
        growth = f"{done.peak_mb / first - 1:+.1%}"
        rate = f"{rows / done.seconds / 1e6:.2f}"
        lines.append(
            [f"{rows:,}", f"{done.seconds:.1f}", rate, f"{done.cpu_seconds:.1f}", f"{done.peak_mb:.0f}", growth]
        )
        print(lines[-1], flush=True)
    _empty_table(url, data.TICKS, index=True)
    return measure.markdown(("rows", "seconds", "M rows/s", "client CPU s", "peak MB", "growth"), lines)


def _store(url: str) -> PostgresStore:
    return PostgresStore(SecretStr(url), {data.INSTITUTION: data.INSTITUTION})


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "bars").iterdir())


def _columns(table: Table) -> str:
    return ", ".join(f'"{name}"' for name in table.arrow_schema.names)


def _empty_table(url: str, table: Table, *, index: bool) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS institution_a.{table.name} CASCADE".encode())
        connection.execute("DROP SCHEMA IF EXISTS dlt_bars CASCADE")
        connection.execute("SET ROLE etl_institution_a")
        create, make_index, *_ = create_statements(table, "institution_a", "postgres")
        connection.execute(create.encode())
        if index:
            connection.execute(make_index.encode())
        connection.execute("RESET ROLE")
        # Nobody pays for the pages of the one before.
        connection.execute("CHECKPOINT")


def _checksum(url: str, schema: str) -> Any:
    with psycopg.connect(url) as connection:
        return connection.execute(f"SELECT {CHECKSUM} FROM {schema}.bars".encode()).fetchone()


def _write_input(folder: Path, rows: int) -> None:
    data.write_bars(folder / "bars", rows)
    encoder = Encoder(data.BARS)
    with (folder / "reference.bin").open("wb") as file:
        file.write(encoder.begin())
        file.writelines(encoder.encode(batch) for batch in data.read_all(_files(folder), data.BARS))
        file.write(encoder.end())
    (folder / "reference.bin").chmod(0o644)


def _loading_page(server: PostgresServer, folder: Path, options: argparse.Namespace) -> str:
    _write_input(folder, options.rows)
    parts = [
        "# Loading Postgres",
        f"{options.rows:,} rows of 12 columns from 45 files (15 CSV, 15 NDJSON, 15 Parquet), replaced as 15 partitions "
        "in one transaction. Medians of alternating rounds, each run in a process of its own; server and clients share "
        "the machine.",
        "Table as the platform creates it, with its index:",
        compare(server, folder, options, index=True),
        "The same table without index, where the server has least to do (dlt makes none):",
        compare(server, folder, options, index=False),
        "The reference keeps one core busy, a load from files two: the server's, and the client's that reads, checks "
        "and encodes. On a machine that others use, its ratio therefore varies from round to round while its CPU "
        "seconds hardly do. A second connection cannot write in the same transaction, so one replace is one stream.",
        _circumstances(),
    ]
    return "\n\n".join(parts) + "\n"


def _memory_page(url: str, folder: Path, options: argparse.Namespace) -> str:
    parts = [
        "# Memory of loading Postgres",
        "One Parquet file of 5 columns, replaced as one partition. The peak is that of the whole process, imports "
        "included.",
        watch_memory(url, folder, options.memory_rows),
        _circumstances(),
    ]
    return "\n\n".join(parts) + "\n"


def _circumstances() -> str:
    packages = ["psycopg", "pgpq", "pyarrow", "polars", "pandas"]
    packages += ["dlt"] * (importlib.util.find_spec("dlt") is not None)
    return measure.machine(*packages) + " The server is the tests' own: fsync off, default buffers."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_540_000, help="0: only the memory part")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds in which dlt and pandas take part")
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[10_000_000, 60_000_000], help="none: skip")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the pages")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        load = load_ticks if options.child == "ticks" else CONTESTANTS[options.child]
        measure.work(lambda: load(options.url, options.folder))
        return
    # pytest comes with it, which a measured child should not carry.
    from etl_platform_tests.support.postgres import run_postgres_server

    with run_postgres_server() as server, tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        # The server reads the reference file itself, as another user.
        Path(name).chmod(0o755)
        _store(server.url).initialise()
        if options.rows:
            (options.out / "postgres_load.md").write_text(_loading_page(server, Path(name), options))
        if options.memory_rows:
            (options.out / "postgres_memory.md").write_text(_memory_page(server.url, Path(name), options))


if __name__ == "__main__":
    main()
