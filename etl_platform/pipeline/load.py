"""The whole way of many deliveries of one institution and dataset, from the landing zone to the warehouse.

The same steps as the assets of one delivery, one delivery after the other; gold is computed and the warehouse written
for all of them at once. A delivery is either loaded whole and clean, or left: whatever goes wrong with one (an
unreadable file, too many bad rows, a blocking check, a broken rule of gold) ends its attempt, publishes nothing of it,
and does not hold back the others. What is left is for a run of its own, which tells what is wrong with it in the
ordinary way. An attempt succeeds only once its rows are in gold and warehouse.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

import polars as pl

from etl_platform.clock import now
from etl_platform.contracts.check_names import CheckName
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.delivery import Delivery
from etl_platform.errors import DeliveryRefusedError, PermanentError, UnknownNameError
from etl_platform.gold.table import GoldTable
from etl_platform.ledger.records import ObjectResult
from etl_platform.pipeline.aggregate import Aggregated, aggregate, aggregate_each, source_partitions
from etl_platform.pipeline.attempt import begin_attempts, message
from etl_platform.pipeline.checks import Judged, StoredRows, judge_delivery, record_checks
from etl_platform.pipeline.facts import Made, Preview, Stored, store_rows
from etl_platform.pipeline.overlap import Neighbours
from etl_platform.pipeline.platform import Platform
from etl_platform.pipeline.receive import Arrivals, Arrived, add_records, list_arrivals, receive
from etl_platform.pipeline.references import TRANSACTIONS, judge_accounts
from etl_platform.pipeline.run import Run
from etl_platform.pipeline.silver import decide, record_rules, transform
from etl_platform.pipeline.verdict import Verdict
from etl_platform.stores.frames import to_batches
from etl_platform.stores.query_tag import query_run
from etl_platform.stores.reading import read_frame
from etl_platform.transforms.validate import validate

Verdicts = Mapping[str, Verdict]


class Teller(Protocol):
    """Tells people, on behalf of a run, what was stored and judged."""

    def stored(self, found: Sequence[Stored]) -> None:
        """Tables that were replaced, each for one partition."""

    def judged(self, table: tuple[str, str], found: Mapping[PartitionKey, Verdicts]) -> None:
        """What the checks of a table (layer, name) say, by partition."""


@dataclass
class Passage:
    """One delivery on its way: what is stored of it, its rows by table as far as later steps want them, and what the
    checks of each table say."""

    delivery: Delivery
    stored: list[Stored] = field(default_factory=list)
    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    judged: Judged | None = None
    verdicts: dict[tuple[str, str], Verdicts] = field(default_factory=dict)
    verdicts_told: dict[tuple[str, str], Verdicts] = field(default_factory=dict)


def load(run: Run, deliveries: Sequence[Delivery], platform: Platform, teller: Teller) -> dict[Delivery, Verdicts]:
    """Take deliveries of one institution and dataset the whole way. Returns those that are published, with what the
    checks of silver say of them. Raises what is no fault of a delivery: a store that is away."""
    if not deliveries:
        return {}
    _require_known(deliveries, platform)
    passed = _aggregated(run, _checked(run, _silver(run, deliveries, platform), platform, teller), platform)
    if not passed:
        return {}
    dataset, config = deliveries[0].dataset, platform.config
    for table in (config.contracts[dataset].silver, *(gold.table for gold in config.gold.of(dataset))):
        _write_together(run, table, passed, platform)
    _tell(teller, passed)
    # Last of all: an attempt that has succeeded is published and on record.
    wanted = config.gold.publication_of(dataset)
    with platform.ledger.together():
        for found in passed:
            platform.ledger.publish(run.run_id, found.delivery, wanted, wanted=wanted, now=now())
    return {found.delivery: found.verdicts_told["silver", dataset] for found in passed}


def overview(run: Run, dates: Sequence[dt.date], platform: Platform, teller: Teller) -> None:
    """The tables across institutions of many dates, in lake and warehouse."""
    config, lake = platform.config, platform.lake
    partitions = [PartitionKey(date) for date in dates]
    broken: list[Aggregated] = []
    for gold in config.gold.shared:
        sources = [source for partition in partitions for source in source_partitions(gold, partition, config)]
        rows = read_frame(lake, config.catalog.table(*gold.source), sources)
        found = aggregate_each(gold, rows.lazy(), partitions)
        sound = {key: aggregated for key, aggregated in found.items() if aggregated.is_sound}
        broken += [aggregated for aggregated in found.values() if not aggregated.is_sound]
        if sound:
            stored = [_stored(run, aggregated.made, key, platform) for key, aggregated in sound.items()]
            frames = {key: aggregated.made.rows for key, aggregated in sound.items()}
            stored += _in_warehouse(run, gold.table, frames, platform)
            teller.stored(stored)
            teller.judged(("gold", gold.name), {key: aggregated.verdicts for key, aggregated in sound.items()})
    for aggregated in broken:
        aggregated.require_sound()


def _require_known(deliveries: Sequence[Delivery], platform: Platform) -> None:
    """Of one institution and dataset, both of which there are. Raises UnknownNameError."""
    first = deliveries[0]
    assert {(found.dataset, found.institution) for found in deliveries} == {(first.dataset, first.institution)}
    for kind, name, known in (
        ("dataset", first.dataset, platform.config.contracts),
        ("institution", first.institution, platform.config.institutions),
    ):
        if name not in known:
            raise UnknownNameError(f"{kind} {name!r}", found=f"no such {kind}", expected=" or ".join(sorted(known)))


def _silver(run: Run, deliveries: Sequence[Delivery], platform: Platform) -> list[Passage]:
    """Bronze, silver, quarantine and reconciliation of each delivery, as the lake gives silver back. Claimed and
    decided date by date: those that were not begun are not touched when the run dies."""
    silver = platform.config.contracts[deliveries[0].dataset].silver
    found = []
    arrivals = list_arrivals(deliveries, platform)
    decided: list[ObjectResult] = []
    for delivery in deliveries:
        with _left_alone(run, delivery, platform):
            passage = Passage(delivery)
            arrived = _begun(run, delivery, arrivals, platform, decided)
            decided.clear()
            manifest = receive(run, delivery, arrived, platform)
            passage.stored.append(_stored(run, manifest, delivery.partition, platform))
            for made in transform(run, delivery, manifest.rows, platform, decided):
                passage.stored.append(_stored(run, made, delivery.partition, platform))
            passage.rows[silver.name] = read_frame(platform.lake, silver, [delivery.partition])
            found.append(passage)
    decide(platform.ledger, run.run_id, decided)
    return found


def _begun(
    run: Run, delivery: Delivery, arrivals: Arrivals, platform: Platform, before: Sequence[ObjectResult]
) -> Arrived:
    """Begin the attempt at one delivery. What became of the one before goes on record with it: one transaction each."""
    ledger = platform.ledger
    with ledger.together():
        decide(ledger, run.run_id, before)
        others = ledger.start_attempts(run.run_id, [delivery], now=now())
        if not others:
            record_rules(run, [delivery], platform.config, ledger)
            add_records([delivery], arrivals, ledger)
    if others:
        # Another run is at it: it is waited for, which is nothing to do inside a transaction.
        begin_attempts(run, [delivery], ledger)
        add_records([delivery], arrivals, ledger)
        record_rules(run, [delivery], platform.config, ledger)
    return arrivals[delivery]


def _checked(run: Run, stored: Sequence[Passage], platform: Platform, teller: Teller) -> list[Passage]:
    """What passes its checks. Pandera costs the same for a row as for thousands: it sees all rows together first, and
    those of each delivery only where it finds something."""
    if not stored:
        return []
    first = stored[0].delivery
    silver = platform.config.contracts[first.dataset].silver
    contract = platform.config.contract_of(first.dataset, first.institution)
    are_valid = validate(pl.concat([found.rows[silver.name] for found in stored]), contract).is_empty()
    passed = []
    for found in stored:
        with _left_alone(run, found.delivery, platform):
            judged = judge_delivery(found.delivery, platform, rows=StoredRows(found.rows[silver.name], are_valid))
            if judged.blocking:
                _leave(run, found.delivery, platform, f"{', '.join(judged.blocking)} failed")
                continue
            verdicts = dict(judged.verdicts)
            if first.dataset == TRANSACTIONS:
                verdicts[CheckName.ACCOUNTS] = judge_accounts(found.delivery, platform)
            found.judged, found.verdicts["silver", first.dataset] = judged, verdicts
            passed.append(found)
    if contract.lives_once:
        passed = _without_doubtful(run, passed, stored, platform)
    # Before it is on record that they are checked: whoever publishes them after a death tells of gold and warehouse.
    _tell(teller, passed)
    record_checks(run, [found.judged for found in passed if found.judged], contract, platform)
    return passed


def _without_doubtful(run: Run, passed: list[Passage], stored: Sequence[Passage], platform: Platform) -> list[Passage]:
    """Those that have left no row to a date of this run that did not pass: nobody would publish it."""
    first = stored[0].delivery
    contract = platform.config.contract_of(first.dataset, first.institution)
    while failed := {f.delivery.business_date for f in stored} - {f.delivery.business_date for f in passed}:
        doubtful = set()
        for found in passed:
            around = Neighbours(contract, found.delivery, platform.ledger, platform.lake, run.run_id)
            if around.forget(failed):
                doubtful.add(found.delivery)
                _leave(run, found.delivery, platform, "a date that holds the same keys did not pass its checks")
        if not doubtful:
            break
        passed = [found for found in passed if found.delivery not in doubtful]
    return passed


def _aggregated(run: Run, passed: Sequence[Passage], platform: Platform) -> list[Passage]:
    """Those whose gold is sound and in the lake."""
    if not passed:
        return []
    clean = list(passed)
    for gold in platform.config.gold.of(passed[0].delivery.dataset):
        together = _computed_together(gold, clean)
        clean = [found for found in clean if _is_stored(run, found, gold, together, platform)]
        if not clean:
            break
    return clean


def _computed_together(gold: GoldTable, found: Sequence[Passage]) -> dict[PartitionKey, Aggregated]:
    """The table of all deliveries; none where the computation fails by one of them, which then each tries alone."""
    rows = pl.concat([passage.rows[gold.source[1]] for passage in found]).lazy()
    with suppress(DeliveryRefusedError):
        return aggregate_each(gold, rows, [passage.delivery.partition for passage in found])
    return {}


def _is_stored(
    run: Run, found: Passage, gold: GoldTable, together: Mapping[PartitionKey, Aggregated], platform: Platform
) -> bool:
    """Whether the gold of a delivery is sound and stored. together: what was computed of it with others."""
    is_stored, partition = False, found.delivery.partition
    with _left_alone(run, found.delivery, platform):
        own = together.get(partition) or aggregate(gold, found.rows[gold.source[1]].lazy(), partition)
        made = own.require_sound()
        found.stored.append(_stored(run, made, partition, platform))
        found.rows[gold.name] = made.rows
        found.verdicts["gold", gold.name] = own.verdicts
        is_stored = True
    return is_stored


def _stored(run: Run, made: Made[pl.DataFrame | pl.LazyFrame], partition: PartitionKey, platform: Platform) -> Stored:
    """Store rows of one partition in the lake."""
    batches = to_batches(made.rows, made.table, f"asset {made.table.layer}/{made.table.name}")
    return store_rows(platform.lake, made.table, [partition], batches, run.run_id, facts=made.facts)


def _write_together(run: Run, table: Table, passed: Sequence[Passage], platform: Platform) -> None:
    """Replace the partitions of all deliveries in a table of the warehouse, in one transaction."""
    frames = {found.delivery.partition: found.rows[table.name] for found in passed}
    for found, stored in zip(passed, _in_warehouse(run, table, frames, platform), strict=True):
        found.stored.append(stored)


def _in_warehouse(
    run: Run, table: Table, frames: Mapping[PartitionKey, pl.DataFrame], platform: Platform
) -> list[Stored]:
    """The same for any partitions: what was stored of each."""
    start = time.monotonic()
    rows = to_batches(pl.concat(frames.values()), table, f"asset warehouse/{table.name}")
    with query_run(run.run_id):
        written = platform.warehouse.replace(table, list(frames), rows)
    seconds = (time.monotonic() - start) / len(frames)
    return [
        Stored(
            table=table,
            layer="warehouse",
            partitions=(partition,),
            written=replace(written, rows=frame.height, bytes=None),
            seconds=seconds,
            preview=Preview.of(frame),
        )
        for partition, frame in frames.items()
    ]


def _tell(teller: Teller, passed: Sequence[Passage]) -> None:
    """Tell what has not been told of them."""
    teller.stored([stored for found in passed for stored in found.stored])
    for table in passed[0].verdicts if passed else ():
        teller.judged(table, {found.delivery.partition: found.verdicts[table] for found in passed})
    for found in passed:
        found.stored.clear()
        found.verdicts_told |= found.verdicts
        found.verdicts.clear()


@contextmanager
def _left_alone(run: Run, delivery: Delivery, platform: Platform) -> Iterator[None]:
    """What goes wrong with one delivery leaves it for a run of its own."""
    try:
        yield
    except PermanentError as error:
        _leave(run, delivery, platform, message(error))


def _leave(run: Run, delivery: Delivery, platform: Platform, reason: str) -> None:
    platform.ledger.leave(run.run_id, delivery, reason, now=now())
    run.log.warning(f"{delivery} is left for a run of its own: {reason}")
