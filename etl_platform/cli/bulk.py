"""Running many small partitions of one institution and dataset together.

Not here: which go together (`defs/batches.py`), what such a run does (`defs/many.py`), runs of one partition
(`execute.py`).
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

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
from etl_platform.defs.batches import DateBatch, batches, chunks
from etl_platform.defs.jobs import LOAD_MANY, OVERVIEW_MANY
from etl_platform.defs.launching import NO_RETRIES, of_institution
from etl_platform.defs.many import Warnings
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import AttemptTotals, Outcome
from etl_platform.limits import BATCH_FEWEST_DATES
from etl_platform.partitions import format_key


def plan_bulk(session: Session, tasks: Sequence[Task], workers: int) -> tuple[list[DateBatch], list[Task]]:
    """Runs over many small dates, and the tasks that remain."""
    wanted = [Delivery.of(dataset, task.partition) for task in tasks if not task.publishes for dataset in task.datasets]
    together = batches(wanted, session.ledger, workers)
    taken = {delivery for batch in together for delivery in batch.deliveries}
    return together, [rest for task in tasks if (rest := task if task.publishes else _without(task, taken)).datasets]


def left_of(batch: DateBatch, done: Sequence[Result]) -> list[Task]:
    """What was not clean: a run of its own for each."""
    ended = {result.partition for result in done}
    return [Task(d.partition, (d.dataset,)) for d in batch.deliveries if d.partition not in ended]


def plan_overviews(dates: Sequence[dt.date], workers: int) -> list[tuple[dt.date, ...]]:
    """The dates in groups that one run takes: single ones while they are few."""
    return chunks(dates, workers, {}) if len(dates) >= BATCH_FEWEST_DATES else [(date,) for date in dates]


def execute_many(batch: DateBatch) -> list[Result]:
    """Run `batch` in this process. Only what is loaded has a result; the rest waits for a run of its own."""
    session, definitions = loaded()
    start = time.monotonic()
    with not_swallowed():
        outcome = definitions.resolve_job_def(LOAD_MANY).execute_in_process(
            run_config={**batch.run_config, **QUIET},
            instance=dagster_instance(),
            raise_on_error=False,
            tags=of_institution(batch.institution),
        )
    seconds = time.monotonic() - start
    results = []
    warned: Warnings = outcome.output_for_node("load_partitions") if outcome.success else {}
    for delivery in batch.deliveries:
        attempt = session.ledger.latest_attempt(delivery)
        if attempt and attempt.run_id == outcome.run_id and attempt.outcome is Outcome.SUCCEEDED:
            totals = attempt.totals or AttemptTotals()
            # An attempt lasts as long as the run: its dates wait for each other.
            told = tuple(warned.get(format_key(delivery.partition), ()))
            share = seconds / len(batch.dates)
            results.append(Result(delivery.partition, batch.dataset, True, totals, share, warnings=told))
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


def _without(task: Task, taken: set[Delivery]) -> Task:
    return Task(task.partition, tuple(d for d in task.datasets if Delivery.of(d, task.partition) not in taken))
