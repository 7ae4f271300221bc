"""From Dagster's context to what the pipeline takes: a run, a delivery, the platform's stores."""

from __future__ import annotations

import logging
from typing import Any

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.census import Census
from etl_platform.defs.graph import Graph
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key
from etl_platform.pipeline.platform import Platform
from etl_platform.pipeline.run import Run
from etl_platform.resources.processes import Processes

PARTITION_TAG = "dagster/partition"
"""The tag that Dagster itself puts on the run of a partition."""
RESOURCES = frozenset({"landing", "bronze", "ledger", "lake", "warehouse"})
"""What `platform_of` takes from a step."""

StepContext = dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext


def run_of(context: StepContext, graph: Graph) -> Run:
    """The run that Dagster is executing."""
    instance, ledger = context.instance, ledger_of(context)
    processes = Processes(graph.settings.processes)
    log: logging.Logger = context.log
    return Run(context.run.run_id, log, lambda: Census(instance, ledger, processes).run_is_gone)


def platform_of(context: StepContext, graph: Graph) -> Platform:
    """The stores that the step's resources are, with the configuration of the graph."""
    found: Any = context.resources
    return Platform(graph, found.landing, found.bronze, found.ledger, found.lake.store, found.warehouse.store)


def ledger_of(context: StepContext) -> Ledger:
    """The ledger of the step's resources."""
    ledger: Ledger = context.resources.ledger
    return ledger


def delivery_of(context: StepContext, dataset: str) -> Delivery:
    """The delivery of `dataset` that the step is about."""
    return Delivery.of(dataset, partition_of_step(context))


def partition_of_step(context: StepContext) -> PartitionKey:
    """The partition that the step is about. Raises dg.Failure where its run names none."""
    key = context.run.tags.get(PARTITION_TAG)
    if key is None:
        raise dg.Failure(
            description=f"run {context.run.run_id}: found no partition, expected one as tag {PARTITION_TAG}; next "
            "step: launch job check_stored with it, e.g. 2025-01-15|institution_a, or materialize a partition",
            allow_retries=False,
        )
    return parse_key(key)
