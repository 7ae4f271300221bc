"""Runs partitions in few processes: each worker loads the definitions once and executes run after run in itself."""

from __future__ import annotations

import atexit
import gc
import logging
import multiprocessing
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import dagster as dg

from etl_platform.cli.interrupts import end_quietly, not_swallowed
from etl_platform.cli.session import Session, open_session
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.assemble import assemble
from etl_platform.defs.jobs import INGEST, OVERVIEW
from etl_platform.defs.launching import NO_RETRIES, dataset_assets, publishing_assets
from etl_platform.defs.telling import warning_text
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import AttemptTotals
from etl_platform.partitions import format_key

T = TypeVar("T")

ACROSS = "tables across institutions"
"""What a run of them is called, instead of a dataset."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Results go to the closing table; the events are in the instance, where the UI shows them."""


@dataclass(frozen=True)
class Task:
    """One run: a partition and the datasets to take through it. `datasets` is empty for the overview of a date.
    publishes: only from silver to gold and warehouse, what is checked already."""

    partition: PartitionKey
    datasets: tuple[str, ...] = ()
    publishes: bool = False


@dataclass(frozen=True)
class Result:
    """What one run did for one dataset (`dataset` is ACROSS for the tables across institutions).

    warnings: checks that found something and block nothing."""

    partition: PartitionKey
    dataset: str
    succeeded: bool
    totals: AttemptTotals
    seconds: float
    error: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def unexplained(self) -> int:
        t = self.totals
        return t.rows_read - t.rows_silver - t.rows_quarantined - t.rows_duplicate


class Workers:
    """At most `count` processes that run tasks. They stay for tasks of the next kind: each takes seconds to start."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._close(cancel=kind is not None)

    def run(
        self, tasks: Sequence[T], run_one: Callable[[T], list[Result]], lost: Callable[[T], list[Result]]
    ) -> Iterator[tuple[T, list[Result]]]:
        """Each task with its results, as they come. One task, or those of one worker, run in this process.

        lost: the results of a task whose worker was killed (it took all memory, say).
        """
        if self._count == 1 or (len(tasks) <= 1 and self._pool is None):
            for task in tasks:
                yield task, run_one(task)
            return
        self._pool = self._pool or _pool(self._count)
        futures = {self._pool.submit(run_one, task): task for task in tasks}
        broken = []
        for future in as_completed(futures):
            try:
                results = future.result()
            except BrokenProcessPool:
                broken.append(futures[future])
                continue
            yield futures[future], results
        if broken:
            self._close()
            yield from _one_by_one(broken, run_one, lost)

    def _close(self, *, cancel: bool = False) -> None:
        if self._pool is None:
            return
        try:
            self._pool.shutdown(cancel_futures=cancel)
        except KeyboardInterrupt:
            # Asked to stop a second time: the next command heals what is left so.
            for worker in multiprocessing.active_children():
                worker.kill()  # what asks it to end would end its run only, and it would wait for the next
            raise
        finally:
            self._pool = None


def _one_by_one(
    tasks: Sequence[T], run_one: Callable[[T], list[Result]], lost: Callable[[T], list[Result]]
) -> Iterator[tuple[T, list[Result]]]:
    """Which task its worker died of shows only when nothing else runs: the others must not be held back."""
    left = deque(tasks)
    while left:
        with _pool(1) as pool:
            while left:
                task = left.popleft()
                try:
                    yield task, pool.submit(run_one, task).result()
                except BrokenProcessPool:
                    yield task, lost(task)
                    break


def _pool(workers: int) -> ProcessPoolExecutor:
    # Fork would copy locks that Polars' and gRPC's threads hold: a fresh interpreter per worker.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """A worker whose parent was killed would run what is queued and then wait for ever."""
    end_quietly()

    def end() -> None:
        if parent := multiprocessing.parent_process():
            parent.join()
            os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def lost_task(task: Task) -> list[Result]:
    """What is known of a task whose worker was killed."""
    error = (
        "its process was killed, often because memory ran out; next step: `etl-platform run`, with fewer --workers "
        "or a smaller ETL_MEMORY_LIMIT_MB"
    )
    datasets = task.datasets or (ACROSS,)
    return [Result(task.partition, dataset, False, AttemptTotals(), 0.0, error) for dataset in datasets]


def execute(task: Task) -> list[Result]:
    """Run one task in this process, on the instance of DAGSTER_HOME. Raises KeyboardInterrupt when a signal came."""
    session, definitions = loaded()
    job = definitions.resolve_job_def(INGEST if task.datasets else OVERVIEW)
    assets = publishing_assets if task.publishes else dataset_assets
    start = time.monotonic()
    with not_swallowed():
        outcome = job.execute_in_process(
            partition_key=format_key(task.partition),
            asset_selection=assets(task.datasets, session.graph) if task.datasets else None,
            instance=dagster_instance(),
            raise_on_error=False,
            run_config=QUIET,
            tags=NO_RETRIES,
        )
    failures = [_message(event) for event in outcome.filter_events(lambda e: e.is_step_failure)]
    if not task.datasets:
        seconds = time.monotonic() - start
        error = "; ".join(failures) or None
        return [Result(task.partition, ACROSS, outcome.success, AttemptTotals(), seconds, error)]
    return [_dataset_result(session, task, dataset, outcome, failures) for dataset in task.datasets]


def _dataset_result(
    session: Session, task: Task, dataset: str, outcome: dg.ExecuteInProcessResult, failures: list[str]
) -> Result:

    attempt = session.ledger.latest_attempt(Delivery.of(dataset, task.partition))
    totals, error, seconds = AttemptTotals(), None, 0.0
    if attempt is not None and (task.publishes or attempt.run_id == outcome.run_id):
        totals, error, seconds = attempt.totals or totals, attempt.error, attempt.seconds or 0.0
    mine = [f for f in failures if _step_is_of(f, dataset, session)]
    if error is None and mine:
        error = "; ".join(mine)
    succeeded = outcome.success or error is None
    found = warnings_of(outcome, dataset).get(format_key(task.partition), ())
    return Result(task.partition, dataset, succeeded, totals, seconds, error, found)


def warnings_of(outcome: dg.ExecuteInProcessResult, dataset: str) -> dict[str, tuple[str, ...]]:
    """Partition -> what its checks warn of. They are told here, too: not everybody has the UI open."""
    found: dict[str, tuple[str, ...]] = {}
    for check in outcome.get_asset_check_evaluations():
        if not check.passed and check.severity is dg.AssetCheckSeverity.WARN and check.asset_key.path[-1] == dataset:
            key = check.partition or ""
            found[key] = (*found.get(key, ()), warning_text(check.check_name, check.description))
    return found


def _step_is_of(failure: str, dataset: str, session: Session) -> bool:
    step = failure.partition(":")[0]
    names = {key.path[-1] for key in dataset_assets([dataset], session.graph)} | {f"silver_{dataset}"}
    return any(step.endswith(name) or step.startswith(f"silver_{dataset}") for name in names)


def _message(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    user = data.user_failure_data
    if user is not None and user.description:
        return f"{event.step_key}: {user.description}"
    cause = data.error
    while cause is not None and cause.cause is not None:
        cause = cause.cause
    return f"{event.step_key}: {cause.message.strip() if cause else 'failed'}"


@cache
def dagster_instance() -> dg.DagsterInstance:
    """One instance per process: opening it costs as much as a third of a small run."""
    return dg.DagsterInstance.get()


@cache
def loaded() -> tuple[Session, dg.Definitions]:
    """The session and definitions of this process, made once."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    session = open_session()
    definitions = assemble(session.graph)
    # What is there by now stays: the collector need not walk through all of Dagster again and again.
    gc.collect()
    gc.freeze()
    # At the end all of it goes: what DuckDB finds left then it reports as leaked.
    atexit.register(gc.unfreeze)
    return session, definitions
