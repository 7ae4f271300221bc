"""An attempt at a partition on record: its start, its failure with the reason, and what a permanent failure means."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import EtlError, PermanentError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals, DatasetPartition
from etl_platform.partitions import parse_key


def now() -> dt.datetime:
    """The present in UTC."""
    return dt.datetime.now(dt.UTC)


def dataset_partition(dataset: str, partition: PartitionKey) -> DatasetPartition:
    """`partition` in the ledger's words."""
    return DatasetPartition(dataset, partition.business_date, partition.institution or "")


@contextmanager
def started(ledger: Ledger, run_id: str, partition: DatasetPartition) -> Iterator[None]:
    """Run a step that loads objects: it begins the run's attempt at the partition, or goes on with it."""
    ledger.start_attempts(run_id, [partition], now=now())
    with reported(ledger, run_id, partition):
        yield


@contextmanager
def reported(ledger: Ledger, run_id: str, partition: DatasetPartition) -> Iterator[None]:
    """Run any step of an attempt; a failure ends the attempt, if the run has one, with its message and goes on its way.

    A PermanentError becomes a `dg.Failure` that no retry policy repeats.
    """
    try:
        yield
    except dg.Failure as failure:
        _end(ledger, run_id, partition, failure.description or "failed")
        raise
    except EtlError as error:
        _end(ledger, run_id, partition, str(error))
        if isinstance(error, PermanentError):
            raise dg.Failure(description=str(error), allow_retries=False) from error
        raise
    except Exception as error:
        # Whatever it is, the attempt must not stay "running" on record; the error itself goes on unchanged.
        _end(ledger, run_id, partition, f"{type(error).__name__}: {error}")
        raise


def failures_reported(dataset: str, *, is_first: bool = False) -> dg.HookDefinition:
    """Ends the attempt of a run in which a step of `dataset` failed where `reported` does not see it: while an IO
    manager read or wrote. Gold and warehouse fail after the checks have ended the attempt: it failed after all.

    is_first: of the step that begins attempts; when it fails before that, what was launched has failed too.
    """

    @dg.failure_hook(name=f"end_attempt_at_{dataset}", required_resource_keys={"ledger"})
    def end_attempt(context: dg.HookContext) -> None:
        run = context.instance.get_run_by_id(context.run_id)
        key = run.tags.get("dagster/partition") if run else None
        if key is None:
            return  # a run over several partitions is refused before it begins an attempt
        partition = dataset_partition(dataset, parse_key(key))
        error = f"{context.step_key}: {_message(context.op_exception)}"
        ledger: Ledger = context.resources.ledger
        ended = ledger.end_attempt(context.run_id, partition, totals=AttemptTotals(), error=error, now=now())
        if not ended and not ledger.mark_unpublished(context.run_id, partition, error, now=now()) and is_first:
            ledger.mark_failed(context.run_id, partition, error, now=now())

    return end_attempt


def _message(error: BaseException | None) -> str:
    """What went wrong itself, without Dagster's sentences about where it happened."""
    while error is not None and not isinstance(error, EtlError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, dg.Failure):
        return error.description or "failed"
    return str(error) if isinstance(error, EtlError) else f"{type(error).__name__}: {error}"


def _end(ledger: Ledger, run_id: str, partition: DatasetPartition, error: str) -> None:
    ledger.end_attempt(run_id, partition, totals=AttemptTotals(), error=error, now=now())
