"""From the landing zone to bronze: what arrived for a delivery is on record, claimed, and kept as received."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl

from etl_platform.clock import now
from etl_platform.contracts.manifest import manifest_table, rows_of
from etl_platform.delivery import Delivery
from etl_platform.landing.contents import checked
from etl_platform.landing.copies import Copied
from etl_platform.landing.placed import content, identity
from etl_platform.landing.zone import Routed
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import LedgerObject, State
from etl_platform.object_store.folder import not_there
from etl_platform.object_store.open import ObjectStore
from etl_platform.pipeline.facts import Facts, Made
from etl_platform.pipeline.platform import Platform
from etl_platform.pipeline.run import Run
from etl_platform.stores.reading import read_frame

GONE = "deleted from the landing zone before it could be copied, no part of the partition any more"


@dataclass
class Arrived:
    """What an attempt is for. objects: in the landing zone now. on_record: all that the ledger has of the partition."""

    objects: list[Routed]
    on_record: list[LedgerObject] = field(default_factory=list)

    def undecided(self, run_id: str) -> list[LedgerObject]:
        """What the ledger has as waiting for the run."""
        return [found for found in self.on_record if found.claimed_by == run_id and found.state is State.SEEN]


Arrivals: TypeAlias = Mapping[Delivery, Arrived]


def list_arrivals(deliveries: Sequence[Delivery], platform: Platform) -> Arrivals:
    """What is in the landing zone for deliveries of one institution; it is on record from now on."""
    landing, ledger = platform.landing, platform.ledger
    arrived = {found: Arrived(landing.objects(found.dataset, found.partition)) for found in deliveries}
    store = landing.store_of(deliveries[0].institution)
    listed = [o.landing_object() for found in arrived.values() for o in found.objects]
    # Before the transaction: whoever reads an object to compare it may take a while.
    told = checked(store, ledger, listed)
    # What cannot be read is not on record as another content: the copy fails, and says why.
    news = [found for found, finding in told if finding in (Finding.NEWS, Finding.MOVED)]
    ledger.record_seen(news, now=now())
    return arrived


def add_records(deliveries: Sequence[Delivery], arrivals: Arrivals, ledger: Ledger) -> None:
    """Add to what arrived all that the ledger has of deliveries whose attempts have begun."""
    for found in ledger.objects_of(deliveries):
        assert found.dataset is not None and found.institution is not None and found.business_date is not None
        arrivals[Delivery(found.dataset, found.business_date, found.institution)].on_record.append(found)


def receive(run: Run, delivery: Delivery, arrived: Arrived, platform: Platform) -> Made[pl.DataFrame]:
    """Copy what arrived for the delivery, whose attempt has begun; the manifest with its facts."""
    ledger = platform.ledger
    table = manifest_table(delivery.dataset)
    previous = read_frame(platform.lake, table, [delivery.partition])
    store = platform.landing.store_of(delivery.institution)
    excluded = ledger.excluded(delivery)
    copied = platform.bronze.copy(
        store, arrived.objects, previous, delivery.dataset, delivery.partition, arrived.on_record, excluded
    )
    gone = _leave_gone(ledger, run.run_id, arrived, copied, store)
    if copied.manifest.is_empty():
        run.log.warning(f"{delivery}: no object in {store.url}; downstream tables will be empty")
    if gone:
        run.log.warning(f"{delivery}: {GONE}: {', '.join(gone)}")
    facts: Facts = {
        "objects": copied.manifest.height,
        "objects_current": int(copied.manifest["is_current"].sum()),
        "objects_new": copied.new,
        "bytes_copied": copied.bytes_copied,
        "summary": f"{copied.manifest.height} objects" if copied.manifest.height else "no object arrived",
    }
    return Made(table, copied.manifest, facts)


def _leave_gone(ledger: Ledger, run_id: str, arrived: Arrived, copied: Copied, store: ObjectStore) -> list[str]:
    """Objects that were seen, and deleted before any run could copy them, are withdrawn, or they would wait for ever.
    Returns their keys. Raises StorageUnavailableError where their folder is gone with them."""
    undecided = arrived.undecided(run_id)
    if not undecided:
        return []
    listed = {found.info.key for found in arrived.objects} - set(copied.gone)
    held = {name for row in rows_of(copied.manifest) for name in (content(row), (row["key"], identity(row)))}
    gone = [
        found
        for found in undecided
        if found.key not in listed and not {(found.key, found.identity), (found.key, found.sha256)} & held
    ]
    if gone and (error := not_there(store)):
        raise error
    ledger.mark_gone([found.id for found in gone], run_id=run_id, now=now())
    return [found.key for found in gone]
