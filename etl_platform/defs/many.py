"""`load_many` and `overview_many`: one run over many small partitions, for deliveries that span years.

A run of one partition costs some 0.4 s of CPU for Dagster's own planning and events, however small its data. Here
`pipeline/load.py` takes many the whole way, and every materialization and check result is on record for its own
partition (`teller.py`). Not here: choosing what is small (`cli/bulk.py`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from etl_platform.defs.endings import own_error
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import LOAD_MANY, OVERVIEW_MANY
from etl_platform.defs.step import RESOURCES, platform_of, run_of
from etl_platform.defs.teller import Blocking, DagsterTeller
from etl_platform.defs.telling import failures_translated, warning_text
from etl_platform.delivery import Delivery
from etl_platform.partitions import format_key
from etl_platform.pipeline.attempt import reported
from etl_platform.pipeline.load import load, overview

Warnings = dict[str, list[str]]
"""Partition -> what its checks warn of."""


class ManyConfig(dg.Config):
    """dates: business dates as 2025-01-15."""

    institution: str
    dataset: str
    dates: list[str]


class DatesConfig(dg.Config):
    """dates: business dates as 2025-01-15."""

    dates: list[str]


def build_load_many(graph: Graph, blocking: Blocking, resources: Mapping[str, Any]) -> dg.JobDefinition:
    """The job over deliveries of one institution and dataset. resources: of the definitions, by key."""

    @dg.op(
        description="Every partition from landing to gold and warehouse; what is not clean is left.",
        required_resource_keys=set(RESOURCES),
    )
    def load_partitions(context: dg.OpExecutionContext, config: ManyConfig) -> Warnings:
        run, platform = run_of(context, graph), platform_of(context, graph)
        deliveries = [Delivery(config.dataset, date, config.institution) for date in _dates(config.dates)]
        told = reported(platform.ledger, run.run_id, deliveries, explain=own_error, where=f"{LOAD_MANY}: ")
        with failures_translated(), told:
            found = load(run, deliveries, platform, DagsterTeller.of(context, blocking))
        warned = {
            format_key(delivery.partition): [
                warning_text(name, verdict.text) for name, verdict in verdicts.items() if not verdict.passed
            ]
            for delivery, verdicts in found.items()
        }
        return {key: texts for key, texts in warned.items() if texts}

    @dg.job(
        name=LOAD_MANY,
        description="Many small partitions of one institution and dataset, landing to warehouse.",
        resource_defs=_bound(resources),
    )
    def load_many() -> None:
        load_partitions()

    return load_many


def build_overview_many(graph: Graph, blocking: Blocking) -> dg.JobDefinition:
    """The job over dates of the tables across institutions."""

    @dg.op(
        description="The tables across institutions of every date, in lake and warehouse.",
        required_resource_keys=set(RESOURCES),
    )
    def overview_dates(context: dg.OpExecutionContext, config: DatesConfig) -> None:
        with failures_translated():
            teller = DagsterTeller.of(context, blocking)
            overview(run_of(context, graph), _dates(config.dates), platform_of(context, graph), teller)

    @dg.job(name=OVERVIEW_MANY, description="Tables across institutions, for many dates.")
    def overview_many() -> None:
        overview_dates()

    return overview_many


def _bound(resources: Mapping[str, Any]) -> dict[str, dg.ResourceDefinition]:
    """Given with the job: Dagster gives a sensor whose job lacks them a copy of that job, and warns of itself."""
    found = {key: resources[key] for key in RESOURCES}
    return {
        key: one if isinstance(one, dg.ResourceDefinition) else dg.ResourceDefinition.hardcoded_resource(one)
        for key, one in found.items()
    }


def _dates(texts: Sequence[str]) -> list[dt.date]:
    return sorted({dt.date.fromisoformat(text) for text in texts})
