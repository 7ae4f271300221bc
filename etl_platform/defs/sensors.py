"""Sensors: `new_landing_objects` starts a run for every partition that received something; automation follows dates."""

import dagster as dg

from etl_platform.defs.abandoned import close_abandoned, end_dead_runs, fail_unstarted
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST
from etl_platform.defs.launching import grouped, run_key, run_request
from etl_platform.ledger.ledger import Ledger
from etl_platform.resources.landing import LandingZone
from etl_platform.resources.processes import Processes
from etl_platform.resources.scan import scan_landing


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
        for dead in end_dead_runs(context.instance, ledger, Processes(settings.processes)):
            context.log.warning(f"run {dead.run_id} was killed with process {dead.process}; it is ended now")
        close_abandoned(context.instance, ledger)
        groups = grouped(ledger.pending_partitions(settings.sensor_max_objects), graph)
        fail_unstarted(context.instance, ledger, {run_key(p, items): items for p, items in groups.items()})
        if groups:
            requests = [run_request(partition, items, graph) for partition, items in groups.items()]
            return dg.SensorResult(run_requests=requests, cursor=scan.cursor)
        strays = f", {scan.unrouted} newly unrouted" if scan.unrouted else ""
        return dg.SensorResult(skip_reason=f"{scan.listed} objects listed, none to load{strays}", cursor=scan.cursor)

    return new_landing_objects


def build_automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Runs tables across institutions when one of their partitions changed. On by default."""
    return dg.AutomationConditionSensorDefinition(
        "tables_across_institutions",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
