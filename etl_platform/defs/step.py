"""What a step of one partition knows of the run it is part of.

The bodies of assets and checks take a `Step` instead of Dagster's context, so that a run of one partition (`bronze.py`
and its neighbours) and a run of many small ones (`many.py`) do the very same thing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.partitions import parse_key

PARTITION_TAG = "dagster/partition"
"""The tag that Dagster itself puts on the run of a partition."""


@dataclass(frozen=True)
class Step:
    """run_id: of the Dagster run. log: where people read what happened. instance: where to ask for other runs."""

    run_id: str
    partition: PartitionKey
    log: logging.Logger
    instance: dg.DagsterInstance

    @classmethod
    def of(cls, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Step:
        """The step that Dagster is executing."""
        key = context.run.tags.get(PARTITION_TAG)
        if key is None:
            raise dg.Failure(
                description=f"run {context.run.run_id}: found no partition, expected one as tag {PARTITION_TAG}; next "
                "step: launch job check_stored with it, e.g. 2025-01-15|institution_a, or materialize a partition",
                allow_retries=False,
            )
        return cls(context.run.run_id, parse_key(key), context.log, context.instance)
