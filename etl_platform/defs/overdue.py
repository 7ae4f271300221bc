"""Dates whose tables across institutions are older than what they rest on: their run was killed, failed or never came.

With the daemon, Dagster's own automation starts them once for every change; what failed then is requested again here.
`etl-platform run` does without the daemon and asks for all that is overdue.
"""

from __future__ import annotations

import datetime as dt

import dagster as dg

from etl_platform.clock import now
from etl_platform.defs.due import starting_keys
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import OVERVIEW
from etl_platform.defs.step import PARTITION_TAG
from etl_platform.errors import EtlError, UnknownNameError
from etl_platform.limits import OVERDUE_AT_ONCE, OVERDUE_LOOK_BACK, OVERDUE_RUNS, OVERDUE_TRIES
from etl_platform.partitions import parse_key
from etl_platform.resources.probes import Probes

AGAIN_TAG = "etl-platform/overview_again"


def overdue_overviews(instance: dg.DagsterInstance, graph: Graph, last: dt.date) -> list[dt.date]:
    """The dates, oldest first, by the order of the materializations on record."""
    return sorted(date for date in overdue_positions(instance, graph) if graph.settings.first_date <= date <= last)


def overdue_positions(instance: dg.DagsterInstance, graph: Graph) -> dict[dt.date, int]:
    """The dates with the position of the newest materialization that they rest on."""
    due: dict[dt.date, int] = {}
    for gold in graph.gold.shared:
        made = [_latest(instance, layer, gold.name) for layer in ("gold", "warehouse")]
        for partition, position in _latest(instance, *gold.source).items():
            date = parse_key(partition).business_date
            if any(position > found.get(date.isoformat(), -1) for found in made):
                due[date] = max(position, due.get(date, -1))
    return due


def overview_requests(instance: dg.DagsterInstance, graph: Graph, probes: Probes) -> list[dg.RunRequest]:
    """Runs of overdue dates whose last run failed, while the services that they need answer; each a few times."""
    failed = _recently_failed(instance)
    if not failed:
        return []
    due = {date: position for date, position in overdue_positions(instance, graph).items() if date in failed}
    starting = starting_keys(instance, [date.isoformat() for date in due])
    requests = []
    for date, position in sorted(due.items())[:OVERDUE_AT_ONCE]:
        name = f"{date}@{position}"
        tried = len(instance.get_runs(dg.RunsFilter(tags={AGAIN_TAG: name})))
        if date.isoformat() not in starting and tried < OVERDUE_TRIES:
            requests.append(
                dg.RunRequest(
                    run_key=f"overview|{name}|{tried}",
                    job_name=OVERVIEW,
                    partition_key=date.isoformat(),
                    tags={AGAIN_TAG: name},
                )
            )
    # Last: a warehouse that is billed by the second is not woken for nothing.
    return requests if requests and all(_answers(probes, service) for service in ("lake", "warehouse")) else []


def _recently_failed(instance: dg.DagsterInstance) -> set[dt.date]:
    """Dates of runs across institutions that failed or were cancelled lately."""
    statuses = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    found = set()
    for run in instance.get_runs(
        dg.RunsFilter(statuses=statuses, updated_after=now() - OVERDUE_LOOK_BACK), limit=OVERDUE_RUNS
    ):
        try:
            key = parse_key(run.tags.get(PARTITION_TAG, ""))
        except UnknownNameError:
            continue
        if key.institution is None:
            found.add(key.business_date)
    return found


def _answers(probes: Probes, service: str) -> bool:
    try:
        probes[service]()
    except EtlError:
        return False
    return True


def _latest(instance: dg.DagsterInstance, layer: str, name: str) -> dict[str, int]:
    return dict(
        instance.get_latest_storage_id_by_partition(
            dg.AssetKey([layer, name]), dg.DagsterEventType.ASSET_MATERIALIZATION
        )
    )
