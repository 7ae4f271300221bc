"""What Dagster, the ledger and the checks add to a partition: an in-process run of a tiny partition, minus its pure
work (read the files, build silver, write and read its tables, aggregate) done by hand on the same files.

    python -m benchmarks.orchestration --rounds 7

Goal: at most 0.5 s once the interpreter is up.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.assemble import build_defs, build_graph
from etl_platform.defs.graph import Graph
from etl_platform.defs.launching import dataset_assets
from etl_platform.defs.resources import build_resources
from etl_platform.gold.tables.daily_bars import daily_bars
from etl_platform.institutions.file_format import sender_format
from etl_platform.sample.generate import generate
from etl_platform.settings import Settings
from etl_platform.stores.reading import read_frame
from etl_platform.transforms.silver import SilverPlan, SourceFile, build_silver

DATE, CODE, DATASET = dt.date(2025, 1, 15), "institution_a", "prices"
RESULTS = Path(__file__).parent / "results" / "orchestration.md"
GOAL = 0.5
REPOSITORY = Path(__file__).parents[1]


def pure_work(graph: Graph, settings: Settings) -> None:
    """The data work of one partition of `prices`, and nothing else."""
    resources = build_resources(settings, graph.institutions, graph.catalog)
    institution, partition = graph.institutions[CODE], PartitionKey(DATE, CODE)
    contract = graph.contract_of(DATASET, CODE)
    lake, warehouse = resources["lake"].store, resources["warehouse"].store
    with tempfile.TemporaryDirectory() as folder:
        routed = resources["landing"].objects(DATASET, partition)
        root = Path(settings.landing_root)
        sender = sender_format(institution, DATASET, {})
        files = [SourceFile(o.info.key, root / o.info.key, n, sender) for n, o in enumerate(routed, 1)]
        plan = SilverPlan(
            contract, partition, institution.datasets[DATASET].format, dt.datetime.now(dt.UTC), Path(folder)
        )
        result = build_silver(files, plan)
        for layer, rows in (("silver", result.silver), ("quarantine", result.quarantine)):
            table = graph.catalog.table(layer, DATASET)
            lake.replace(table, [partition], rows.collect().to_arrow().cast(table.arrow_schema).to_batches())
    silver = read_frame(lake, contract.silver, [partition])
    bars = graph.catalog.table("gold", "daily_bars")
    gold = daily_bars(silver.lazy()).collect().to_arrow().cast(bars.arrow_schema)
    lake.replace(bars, [partition], gold.to_batches())
    warehouse.replace(contract.silver, [partition], silver.to_arrow().cast(contract.silver.arrow_schema).to_batches())
    warehouse.replace(bars, [partition], gold.to_batches())


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=200)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        runs, works = measure(Path(name), arguments.rounds, arguments.rows)
    overhead = statistics.median(run - work for run, work in zip(runs, works, strict=True))
    report = "\n".join(
        [
            f"Run of one partition ({arguments.rows} rows, from landing to warehouse, with its checks): "
            f"{statistics.median(runs):.2f} s.",
            f"Its pure work: {statistics.median(works):.2f} s.",
            f"Orchestration: {overhead:.2f} s; goal at most {GOAL} s.",
        ]
    )
    print(report)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"# Orchestration\n\n{(__doc__ or '').strip()}\n\n{report}\n", encoding="utf-8")


def measure(folder: Path, rounds: int, rows: int) -> tuple[list[float], list[float]]:
    """Seconds of the runs and of the pure work, alternating; the first of each warms up and is not counted."""
    home = folder / "dagster"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    os.environ["DAGSTER_HOME"] = str(home)
    settings, aside = (
        Settings(home=folder / "run"),
        Settings(home=folder / "pure", landing=str(folder / "run" / "landing")),
    )
    graph = build_graph(settings)
    generate(Path(settings.landing_root), graph.institutions, first_date=DATE, days=1, rows_per_day=rows)
    job = build_defs(settings).resolve_job_def("ingest")
    selection = dataset_assets([DATASET], graph)
    runs, works = [], []
    with dg.DagsterInstance.get() as instance:
        for _ in range(rounds + 1):
            works.append(timed(lambda: pure_work(graph, aside)))
            runs.append(
                timed(
                    lambda: job.execute_in_process(
                        partition_key=f"{DATE}|{CODE}", asset_selection=selection, instance=instance
                    )
                )
            )
    return runs[1:], works[1:]


if __name__ == "__main__":
    main()
