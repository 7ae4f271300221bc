"""Sensors: `new_landing_objects` starts a run for every partition that received something; automation follows dates."""

import datetime as dt

import dagster as dg

from etl_platform.defs.attempt import now
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST
from etl_platform.defs.launching import run_requests
from etl_platform.ledger.ledger import Ledger
from etl_platform.resources.landing import LandingZone
from etl_platform.resources.scan import scan_landing

GRACE = dt.timedelta(minutes=10)
"""A crashed run is retried by Dagster itself within about a minute; after this the ledger steps in."""


def build_landing_sensor(graph: Graph) -> dg.SensorDefinition:
    """The sensor that watches every landing root."""
    settings = graph.settings

    @dg.sensor(
        name="new_landing_objects",
        job_name=INGEST,
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records every new landing object in the ledger and runs each partition that received one.",
    )
    def new_landing_objects(
        context: dg.SensorEvaluationContext,
        landing: dg.ResourceParam[LandingZone],
        ledger: dg.ResourceParam[Ledger],
    ) -> dg.SensorResult:
        scan = scan_landing(
            landing,
            ledger,
            context.cursor,
            max_new=settings.sensor_max_objects,
            max_seconds=settings.sensor_max_seconds,
        )
        for sample in scan.unrouted_samples:
            context.log.warning(f"unrouted: {sample}")
        close_abandoned(context.instance, ledger)
        requests = run_requests(ledger.pending_partitions(settings.sensor_max_objects), graph)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=scan.cursor)
        strays = f", {scan.unrouted} newly unrouted" if scan.unrouted else ""
        return dg.SensorResult(skip_reason=f"{scan.listed} objects listed, none to load{strays}", cursor=scan.cursor)

    return new_landing_objects


def close_abandoned(instance: dg.DagsterInstance, ledger: Ledger) -> int:
    """Close attempts whose run ended without a word (killed, lost machine). Returns how many."""
    closed = 0
    for attempt in ledger.running_attempts():
        record = instance.get_run_record_by_id(attempt.run_id)
        if record is not None and not record.dagster_run.is_finished:
            continue
        ended = dt.datetime.fromtimestamp(record.end_time, dt.UTC) if record and record.end_time else attempt.started_at
        if now() - ended < GRACE:
            continue
        what = record.dagster_run.status.value if record else "unknown to Dagster"
        closed += ledger.close_crashed(
            attempt.run_id, attempt.partition, error=f"the run ended without a result ({what})", now=now()
        )
    return closed


def build_automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Runs tables across institutions when one of their partitions changed. On by default."""
    return dg.AutomationConditionSensorDefinition(
        "tables_across_institutions",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
