"""`load_many`: one run over many small partitions of one institution and dataset, for deliveries that span years.

A run of one partition costs some 0.4 s of CPU for Dagster's own planning and events, however small its data. Here the
same steps (the functions of `bronze.py`, `silver.py`, `checks.py`, `gold.py`) go over the partitions one by one, the
warehouse takes all of them in one transaction, and every materialization and check result is on record for its own
partition.

A partition is either loaded whole and clean, or left: whatever goes wrong with one (an unreadable file, too many bad
rows, a blocking check) ends its attempt, publishes nothing of it, and does not hold back the others. What is left is
for a run of its own, which tells what is wrong with it in the ordinary way. An attempt succeeds only once its rows
are in gold and warehouse. Not here: choosing what is small (`cli/bulk.py`).
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.manifest import manifest_table
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import end, message, now
from etl_platform.defs.bronze import Arrived, begin, list_arrivals, receive, with_records
from etl_platform.defs.checks import Judged, StoredRows, judge_silver, record_checks, warning_text
from etl_platform.defs.gold import AGGREGATES, aggregated_each, publication_of
from etl_platform.defs.graph import Graph
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.jobs import LOAD_MANY
from etl_platform.defs.many_events import Blocking, Stored, Teller, publish
from etl_platform.defs.overlap import Neighbours
from etl_platform.defs.references import TRANSACTIONS, judge_accounts
from etl_platform.defs.silver import decide, record_rules, transform
from etl_platform.defs.step import Step
from etl_platform.delivery import Delivery
from etl_platform.errors import PermanentError
from etl_platform.landing.copies import BronzeStore
from etl_platform.landing.zone import LandingZone
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import ObjectResult
from etl_platform.partitions import format_key, parse_key
from etl_platform.resources.processes import Processes
from etl_platform.stores.reading import read_frame
from etl_platform.transforms.validate import validate

Warnings = dict[str, list[str]]
"""Partition -> what its checks warn of."""


class ManyConfig(dg.Config):
    """dates: business dates as 2025-01-15."""

    institution: str
    dataset: str
    dates: list[str]


@dataclass(frozen=True)
class Platform:
    """What the steps work with."""

    graph: Graph
    landing: LandingZone
    bronze: BronzeStore
    ledger: Ledger
    lake: TableIOManager
    warehouse: TableIOManager
    processes: Processes


@dataclass(frozen=True)
class Clean:
    """A partition whose silver is in the lake and whose checks let it pass."""

    stored: Stored
    judged: Judged
    results: Sequence[dg.AssetCheckResult]


def build_load_many(graph: Graph, checks: Sequence[dg.AssetChecksDefinition]) -> dg.JobDefinition:
    """The job."""
    blocking = {spec.key: spec.blocking for definition in checks for spec in definition.check_specs}

    @dg.op(description="Every partition from landing to gold and warehouse; what is not clean is left.")
    def load_partitions(
        context: dg.OpExecutionContext,
        config: ManyConfig,
        landing: dg.ResourceParam[LandingZone],
        bronze: dg.ResourceParam[BronzeStore],
        ledger: dg.ResourceParam[Ledger],
        lake: dg.ResourceParam[TableIOManager],
        warehouse: dg.ResourceParam[TableIOManager],
    ) -> Warnings:
        processes = Processes(graph.settings.processes)
        platform = Platform(graph, landing, bronze, ledger, lake, warehouse, processes)
        keys = [parse_key(f"{date}|{config.institution}") for date in sorted(config.dates)]
        steps = [Step(context.run_id, key, context.log, context.instance) for key in keys]
        with _ended(ledger, config.dataset, steps):
            return _load(Teller.of(context), steps, config.dataset, platform, blocking)

    @dg.job(name=LOAD_MANY, description="Many small partitions of one institution and dataset, landing to warehouse.")
    def load_many() -> None:
        load_partitions()

    return load_many


def _load(teller: Teller, steps: Sequence[Step], dataset: str, platform: Platform, blocking: Blocking) -> Warnings:
    clean = _checked(_stored(steps, dataset, platform), dataset, platform)
    if not clean:
        return {}
    for table in (platform.graph.contracts[dataset].silver, *(a.table for a in _aggregates(dataset))):
        publish(table, [found.stored for found in clean], platform.warehouse)
    teller.materialized([found.stored for found in clean])
    results = {format_key(found.stored.step.partition): found.results for found in clean}
    teller.checked(dg.AssetKey(["silver", dataset]), results, blocking)
    # Last of all: an attempt that has succeeded is published and on record.
    wanted = publication_of(dataset)
    with platform.ledger.together():
        for found in clean:
            step = found.stored.step
            attempt = Delivery.of(dataset, step.partition)
            platform.ledger.publish(step.run_id, attempt, wanted, wanted=wanted, now=now())
    warned = {key: [warning_text(r) for r in of_one if not r.passed] for key, of_one in results.items()}
    return {key: texts for key, texts in warned.items() if texts}


def _stored(steps: Sequence[Step], dataset: str, platform: Platform) -> list[Stored]:
    """Bronze, silver, quarantine and reconciliation of each partition, as the lake gives silver back. Claimed and
    decided date by date: those that were not begun are not touched when the run dies."""
    graph, lake, ledger = platform.graph, platform.lake, platform.ledger
    contract = graph.contracts[dataset]
    tables = {t.layer: t for t in (quarantine_table(dataset), reconciliation_table(dataset), contract.silver)}
    found = []
    arrivals = list_arrivals(steps, dataset, platform.landing, ledger)
    decided: list[ObjectResult] = []
    for step in steps:
        with _left_alone(step, dataset, ledger):
            stored = Stored(step)
            arrived = _begin(step, dataset, arrivals, platform, decided)
            decided.clear()
            manifest = receive(step, dataset, arrived, platform.landing, platform.bronze, ledger, lake)
            stored.write(lake, manifest_table(dataset), manifest)
            for output in transform(step, contract, manifest.value, graph, platform.bronze, ledger, lake, decided):
                stored.write(lake, tables[output.output_name], output)
            stored.frames[contract.silver.name] = read_frame(lake.store, contract.silver, [step.partition])
            found.append(stored)
    decide(ledger, steps[0].run_id, decided)
    return found


def _begin(
    step: Step,
    dataset: str,
    arrivals: Mapping[PartitionKey, Arrived],
    platform: Platform,
    before: Sequence[ObjectResult],
) -> Arrived:
    """Begin the attempt at one date. What became of the date before goes on record with it: one transaction a date."""
    ledger, attempt = platform.ledger, Delivery.of(dataset, step.partition)
    with ledger.together():
        decide(ledger, step.run_id, before)
        if not ledger.start_attempts(step.run_id, [attempt], now=now()):
            record_rules(ledger, platform.graph, dataset, [step])
            return with_records([step], dataset, arrivals, ledger)[step.partition]
    # Another run is at the date: it is waited for, which is nothing to do inside a transaction.
    arrived = begin([step], dataset, arrivals, ledger, platform.processes)[step.partition]
    record_rules(ledger, platform.graph, dataset, [step])
    return arrived


def _checked(stored: Sequence[Stored], dataset: str, platform: Platform) -> list[Clean]:
    """What passes its checks, with its aggregates. Pandera costs the same for a row as for thousands: it sees all rows
    together first, and those of each partition only where it finds something."""
    silver = platform.graph.contracts[dataset].silver.name
    if not stored:
        return []
    contract = platform.graph.contract_of(dataset, stored[0].step.partition.institution)
    are_valid = validate(pl.concat([found.frames[silver] for found in stored]), contract).is_empty()
    passed = []
    ledger = platform.ledger
    for found in stored:
        with _left_alone(found.step, dataset, ledger):
            rows = StoredRows(found.frames[silver], are_valid)
            judged = judge_silver(found.step, contract, platform.graph, platform.lake, platform.ledger, rows=rows)
            if judged.blocking:
                _leave(ledger, dataset, found.step, f"{', '.join(judged.blocking)} failed")
            else:
                passed.append(Clean(found, judged, _results(judged, found.step.partition, dataset, platform)))
    if contract.lives_once:
        passed = _without_doubtful(passed, stored, contract, platform)
    record_checks([(found.judged, found.stored.step) for found in passed], contract, ledger, platform.lake)
    return _aggregated(passed, dataset, platform)


def _without_doubtful(
    passed: list[Clean], stored: Sequence[Stored], contract: Contract, platform: Platform
) -> list[Clean]:
    """Those that have left no row to a date of this run that did not pass: nobody would publish it."""
    ledger, store = platform.ledger, platform.lake.store
    while failed := {f.step.partition.business_date for f in stored} - {_date(clean) for clean in passed}:
        doubtful = set()
        for clean in passed:
            step = clean.stored.step
            if Neighbours(contract, step.partition, ledger, store, step.run_id).forget(failed):
                doubtful.add(_date(clean))
                _leave(ledger, contract.dataset, step, "a date that holds the same keys did not pass its checks")
        if not doubtful:
            break
        passed = [clean for clean in passed if _date(clean) not in doubtful]
    return passed


def _date(clean: Clean) -> dt.date:
    return clean.stored.step.partition.business_date


@contextmanager
def _left_alone(step: Step, dataset: str, ledger: Ledger) -> Iterator[None]:
    """What goes wrong with one partition leaves it for a run of its own."""
    try:
        yield
    except (PermanentError, dg.Failure) as error:
        _leave(ledger, dataset, step, message(error))


def _leave(ledger: Ledger, dataset: str, step: Step, reason: str) -> None:
    ledger.leave(step.run_id, Delivery.of(dataset, step.partition), reason, now=now())
    step.log.warning(f"{dataset} {step.partition} is left for a run of its own: {reason}")


def _results(judged: Judged, partition: PartitionKey, dataset: str, platform: Platform) -> list[dg.AssetCheckResult]:
    results = [*judged.results()]
    if dataset == TRANSACTIONS:
        results.append(judge_accounts(partition, platform.graph, platform.lake, platform.ledger))
    return results


def _aggregated(passed: Sequence[Clean], dataset: str, platform: Platform) -> list[Clean]:
    """Those whose gold is in the lake."""
    silver = platform.graph.contracts[dataset].silver.name
    outputs = []
    if passed:
        rows = pl.concat([found.stored.frames[silver] for found in passed]).lazy()
        keys = [found.stored.step.partition for found in passed]
        outputs = [(a.table, aggregated_each(a, rows, keys)) for a in _aggregates(dataset)]
    clean = []
    for found in passed:
        with _left_alone(found.stored.step, dataset, platform.ledger):
            for table, of_partitions in outputs:
                output = of_partitions[found.stored.step.partition]
                found.stored.write(platform.lake, table, output)
                found.stored.frames[table.name] = output.value
            clean.append(found)
    return clean


def _aggregates(dataset: str) -> list[Any]:
    return [aggregate for aggregate in AGGREGATES if aggregate.source == ("silver", dataset)]


@contextmanager
def _ended(ledger: Ledger, dataset: str, steps: Sequence[Step]) -> Iterator[None]:
    """No attempt stays open when the run fails: each has failed, or waits for the service that was away. An interrupt
    or kill leaves them as they are: whoever comes next picks them up. Dates not begun are not touched."""
    try:
        yield
    except Exception as error:  # whatever it is, no attempt may stay open on record; the error itself goes on
        where = f"{LOAD_MANY}: "
        for step in steps:
            end(ledger, step.run_id, Delivery.of(dataset, step.partition), error, where=where)
        raise
