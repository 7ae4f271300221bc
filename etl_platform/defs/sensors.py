"""Sensors: `new_landing_objects` starts a run for every partition that received something; automation follows dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import islice

import dagster as dg

from etl_platform.clock import now
from etl_platform.defs.due import Due, due, judge_services, requested, void_leases
from etl_platform.defs.endings import was_configuration
from etl_platform.defs.graph import Graph
from etl_platform.defs.jobs import INGEST, LOAD_MANY, OVERVIEW
from etl_platform.defs.launching import run_requests
from etl_platform.defs.overdue import overview_requests
from etl_platform.defs.pick_up import PickedUp, deliveries_of, pick_up, settle_unstarted, used_up
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.loader import load_institutions
from etl_platform.landing.scan import Scan, scan_landing
from etl_platform.landing.zone import LandingZone, landing_root_of
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import DUE_AT_ONCE, RUNS_AT_ONCE, SENSOR_INTERVAL_SECONDS, TICK_WAITS_SECONDS
from etl_platform.resources.probes import Probes
from etl_platform.resources.processes import Processes
from etl_platform.retries import within


def build_landing_sensor(
    graph: Graph, jobs: Sequence[dg.UnresolvedAssetJobDefinition | dg.JobDefinition]
) -> dg.SensorDefinition:
    """The sensor that watches every landing root. jobs: those that it starts."""
    settings = graph.settings
    processes = Processes(settings.processes)

    @dg.sensor(
        name="new_landing_objects",
        jobs=[job for job in jobs if job.name in (INGEST, OVERVIEW, LOAD_MANY)],
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Records every new landing object in the ledger, runs each partition that received one, and picks "
        "up what was cut off or waits for a service that is back.",
    )
    def new_landing_objects(
        context: dg.SensorEvaluationContext,
        landing: dg.ResourceParam[LandingZone],
        ledger: dg.ResourceParam[Ledger],
        probes: dg.ResourceParam[Probes],
    ) -> dg.SensorResult:
        # A tick comes again by itself, and Dagster cuts off one of a minute: it does not outlast a service.
        with within(TICK_WAITS_SECONDS):
            return _tick(context, graph, processes, landing, ledger, probes)

    return new_landing_objects


def _tick(
    context: dg.SensorEvaluationContext,
    graph: Graph,
    processes: Processes,
    landing: LandingZone,
    ledger: Ledger,
    probes: Probes,
) -> dg.SensorResult:
    settings = graph.settings
    for fault in graph.faults:
        context.log.warning(f"institution {fault.institution} is out of use: {fault.message}")
    processes.serve()
    # What died and what waits first: a landing zone that is away must not keep it from its next try.
    picked = pick_up(context.instance, ledger, processes, graph.gold)
    processes.sweep(settings.scratch)
    _tell(context, picked)
    answers = judge_services(ledger, probes, settings.service_failures_a_day)
    for service, found in answers.items():
        context.log.warning(f"partitions wait for {service}: {found or 'it answers again'}")
    scan = scan_landing(
        landing,
        ledger,
        context.cursor,
        max_new=settings.sensor_max_objects,
        max_seconds=settings.sensor_max_seconds,
    )
    for service, found in scan.away:
        context.log.warning(f"{service} is not looked at: {found}")
    for moved in scan.moved_roots:
        context.log.warning(str(moved))
    if scan.unread:
        context.log.warning(f"{scan.unread} objects cannot be read, so whether they changed is not known")
    for sample in scan.unrouted_samples:
        context.log.warning(f"unrouted: {sample}")
    wanted = due(context.instance, ledger, processes, picked.held, DUE_AT_ONCE, graph.gold)
    requests = _leased(context, ledger, processes, wanted, graph)
    requests = [*requests, *overview_requests(context.instance, graph, probes)]
    if requests:
        return dg.SensorResult(run_requests=requests, cursor=scan.cursor)
    return dg.SensorResult(skip_reason=_nothing(scan), cursor=scan.cursor)


def _leased(
    context: dg.SensorEvaluationContext, ledger: Ledger, processes: Processes, wanted: Due, graph: Graph
) -> Sequence[dg.RunRequest]:
    """The runs to request; nobody else starts one for their partitions meanwhile."""
    instance = context.instance
    void = void_leases(instance, ledger, processes, is_daemon=True)
    leased = {lease.partition for lease in ledger.leases() if lease.holder not in void}
    runs = dict(islice(run_requests(wanted, graph, ledger, leased).items(), RUNS_AT_ONCE))
    over = used_up(instance, list(runs))
    for key in _misconfigured(context, over, graph):
        del runs[key]
    partitions = {key: part.partitions for key, (_, part) in runs.items()}
    if settle_unstarted(instance, ledger, partitions, over):
        return []  # under other keys, with the next tick
    holders = {partition: requested(key) for key, found in partitions.items() for partition in found}
    free = set(ledger.take_leases(holders, void=void, now=now()))
    return [request for key, (request, _) in runs.items() if free >= set(partitions[key])]


def _misconfigured(context: dg.SensorEvaluationContext, over: Mapping[str, dg.DagsterRun], graph: Graph) -> list[str]:
    """Run keys whose run failed by its institution's file, and that would fail by it again: what was delivered waits
    for the file. Each run reads it anew; this process read it when it was still, or is not yet again, another one."""
    failed = {key: run for key, run in over.items() if was_configuration(context.instance, run)}
    usable = _usable(graph) if failed else set()
    wrong = {key: deliveries_of(run, graph.gold)[0].institution for key, run in failed.items()}
    found = {key: code for key, code in wrong.items() if code not in usable}
    for code in sorted({str(code) for code in found.values()}):
        context.log.warning(f"institution {code} is out of use: its file is broken by now, see `etl-platform doctor`")
    return list(found)


def _usable(graph: Graph) -> Set[str]:
    """Institutions whose file can be used as it is now."""
    settings = graph.settings
    try:
        return load_institutions(settings.institutions_folder, graph.contracts, landing_root_of(settings)).keys()
    except ConfigurationError:
        return set()


def _tell(context: dg.SensorEvaluationContext, picked: PickedUp) -> None:
    for dead in picked.dead:
        context.log.warning(
            f"run {dead.run_id} was killed with process {dead.process or '(starting)'}; it is ended now"
        )
    if picked.cut_off:
        context.log.warning(f"{len(picked.cut_off)} partitions of runs that ended without a result wait again")


def _nothing(scan: Scan) -> str:
    strays = f", {scan.unrouted} newly unrouted" if scan.unrouted else ""
    away = "".join(f"; {service} is not looked at: {found}" for service, found in scan.away)
    return f"{scan.listed} objects listed, none to load{strays}{away}"


def build_automation_sensor() -> dg.AutomationConditionSensorDefinition:
    """Runs tables across institutions when one of their partitions changed. On by default."""
    return dg.AutomationConditionSensorDefinition(
        "tables_across_institutions",
        target=dg.AssetSelection.all(),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=SENSOR_INTERVAL_SECONDS,
        # Deliveries first: each of a history's dates asks for a run here, and they would fill the queue.
        run_tags={"dagster/priority": "-1"},
    )
