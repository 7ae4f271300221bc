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


def now() -> dt.datetime:
    """The present in UTC."""
    return dt.datetime.now(dt.UTC)


def dataset_partition(dataset: str, partition: PartitionKey) -> DatasetPartition:
    """`partition` in the ledger's words."""
    return DatasetPartition(dataset, partition.business_date, partition.institution or "")


@contextmanager
def started(ledger: Ledger, run_id: str, partition: DatasetPartition) -> Iterator[None]:
    """Run a step that loads objects: it begins the run's attempt at the partition, or goes on with it."""
    ledger.start_attempt(run_id, partition, now=now())
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


def _end(ledger: Ledger, run_id: str, partition: DatasetPartition, error: str) -> None:
    ledger.end_attempt(run_id, partition, totals=AttemptTotals(), error=error, now=now())
