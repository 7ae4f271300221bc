"""Which partitions go together through one run, and running them: many small ones of one institution and dataset.

Not here: what such a run does (`defs/many.py`), runs of one partition (`execute.py`).
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl_platform.cli.execute import (
    ACROSS,
    QUIET,
    Result,
    Task,
    dagster_instance,
    execute,
    loaded,
    lost_task,
)
from etl_platform.cli.interrupts import not_swallowed
from etl_platform.cli.session import Session
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.jobs import LOAD_MANY, OVERVIEW_MANY
from etl_platform.defs.launching import NO_RETRIES
from etl_platform.defs.many import Warnings
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import AttemptTotals, Outcome
from etl_platform.partitions import format_key

FEWEST = 20
"""With fewer dates than this the ordinary runs cost a few seconds, and each has a page of its own in the UI."""
SMALL_BYTES = 256 * 2**10
"""Of all files of a partition, as received. A larger one costs more than Dagster's part of its run."""
CHUNK = 200
"""Dates in one run at the most: what one run leaves behind when it is killed."""
CHUNK_BYTES = 12 * 2**20
"""Of all files in one run, as received; the rows that wait for the warehouse are some 100 MB at the very most."""


@dataclass(frozen=True)
class ManyTask:
    """One run over several dates."""

    institution: str
    dataset: str
    dates: tuple[dt.date, ...]

    def __str__(self) -> str:
        return f"{self.institution} {self.dataset} {self.dates[0]}..{self.dates[-1]}"

    def left(self, done: Sequence[Result]) -> list[Task]:
        """What was not clean: a run of its own for each."""
        ended = {result.partition.business_date for result in done}
        rest = [date for date in self.dates if date not in ended]
        return [Task(PartitionKey(date, self.institution), (self.dataset,)) for date in rest]


def plan_bulk(session: Session, tasks: Sequence[Task], workers: int) -> tuple[list[ManyTask], list[Task]]:
    """Runs over many small dates, and the tasks that remain. A date that failed before has a run of its own."""
    wanted: dict[tuple[str, str], list[dt.date]] = defaultdict(list)
    for task in (task for task in tasks if not task.publishes):
        for dataset in task.datasets:
            wanted[task.partition.institution or "", dataset].append(task.partition.business_date)
    together: list[ManyTask] = []
    taken: set[tuple[str, str, dt.date]] = set()
    for (institution, dataset), dates in wanted.items():
        if len(dates) < FEWEST:
            continue
        sizes = session.ledger.fresh_sizes(institution, dataset)
        small = sorted(date for date in dates if sizes.get(date, SMALL_BYTES) < SMALL_BYTES)
        if len(small) >= FEWEST:
            together += [ManyTask(institution, dataset, chunk) for chunk in _chunks(small, workers, sizes)]
            taken |= {(institution, dataset, date) for date in small}
    return together, [rest for task in tasks if (rest := task if task.publishes else _without(task, taken)).datasets]


def plan_overviews(dates: Sequence[dt.date], workers: int) -> list[tuple[dt.date, ...]]:
    """The dates in groups that one run takes: single ones while they are few."""
    return _chunks(dates, workers, {}) if len(dates) >= FEWEST else [(date,) for date in dates]


def execute_many(task: ManyTask) -> list[Result]:
    """Run `task` in this process. Only what is loaded has a result; the rest waits for a run of its own."""
    session, definitions = loaded()
    config = {
        "institution": task.institution,
        "dataset": task.dataset,
        "dates": [date.isoformat() for date in task.dates],
    }
    start = time.monotonic()
    with not_swallowed():
        outcome = definitions.resolve_job_def(LOAD_MANY).execute_in_process(
            run_config={"ops": {"load_partitions": {"config": config}}, **QUIET},
            instance=dagster_instance(),
            raise_on_error=False,
            tags={"institution": task.institution, "dataset": task.dataset, **NO_RETRIES},
        )
    seconds = time.monotonic() - start
    results = []
    warned: Warnings = outcome.output_for_node("load_partitions") if outcome.success else {}
    for date in task.dates:
        partition = PartitionKey(date, task.institution)
        attempt = session.ledger.latest_attempt(Delivery.of(task.dataset, partition))
        if attempt and attempt.run_id == outcome.run_id and attempt.outcome is Outcome.SUCCEEDED:
            totals = attempt.totals or AttemptTotals()
            # An attempt lasts as long as the run: its dates wait for each other.
            told = tuple(warned.get(format_key(partition), ()))
            results.append(Result(partition, task.dataset, True, totals, seconds / len(task.dates), warnings=told))
    return results


def execute_overviews(dates: tuple[dt.date, ...]) -> list[Result]:
    """The tables across institutions of `dates`, in this process."""
    if len(dates) == 1:
        return execute(Task(PartitionKey(dates[0])))
    _, definitions = loaded()
    start = time.monotonic()
    config = {"dates": [date.isoformat() for date in dates]}
    with not_swallowed():
        outcome = definitions.resolve_job_def(OVERVIEW_MANY).execute_in_process(
            run_config={"ops": {"overview_dates": {"config": config}}, **QUIET},
            instance=dagster_instance(),
            raise_on_error=False,
            tags=NO_RETRIES,
        )
    if not outcome.success:
        return [result for date in dates for result in execute(Task(PartitionKey(date)))]
    seconds = (time.monotonic() - start) / len(dates)
    return [Result(PartitionKey(date), ACROSS, True, AttemptTotals(), seconds) for date in dates]


def lost_overviews(dates: tuple[dt.date, ...]) -> list[Result]:
    """What is known of them when their worker was killed."""
    return [result for date in dates for result in lost_task(Task(PartitionKey(date)))]


def _chunks(dates: Sequence[dt.date], workers: int, sizes: Mapping[dt.date, int]) -> list[tuple[dt.date, ...]]:
    """In order, all workers at work to the end, none above the bounds."""
    rounds = math.ceil(len(dates) / workers / CHUNK)
    longest = math.ceil(len(dates) / workers / rounds)
    chunks: list[list[dt.date]] = [[]]
    for date in dates:
        is_full = len(chunks[-1]) == longest or sum(sizes.get(d, 0) for d in (*chunks[-1], date)) > CHUNK_BYTES
        if chunks[-1] and is_full:
            chunks.append([])
        chunks[-1].append(date)
    return [tuple(chunk) for chunk in chunks]


def _without(task: Task, taken: set[tuple[str, str, dt.date]]) -> Task:
    partition = task.partition
    kept = tuple(d for d in task.datasets if (partition.institution, d, partition.business_date) not in taken)
    return Task(partition, kept)
