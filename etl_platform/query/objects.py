"""Which objects of the lake each view shows: what is published, and what is stored.

An object is published when it holds what the last published attempt at its partition wrote. Runs begin an attempt in
the ledger before they write, so it does where no attempt has begun since, or where it is older than that attempt: one
that failed early has changed nothing. Silver that failed its checks is younger, and so is nobody's but `stored`'s.
Not here: SQL (`views.py`), changes while a query runs (`ask.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from etl_platform.catalog.tables import Catalog
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.delivery import Delivery
from etl_platform.gold.graph import gold_graph
from etl_platform.institutions.loader import SHARED_SCHEMA, STORED_SCHEMA
from etl_platform.institutions.model import Institution
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import CLOCKS_DIFFER
from etl_platform.object_store.types import ObjectInfo, ObjectStore
from etl_platform.stores.lake.store import folder, partition_at


@dataclass(frozen=True)
class View:
    """One view. institution: whose rows it shows; None for all of them (tables across institutions, `stored`)."""

    schema: str
    table: Table
    institution: str | None = None

    @property
    def is_stored(self) -> bool:
        """Whether it shows what is not published, too."""
        return self.schema == STORED_SCHEMA

    @property
    def prefix(self) -> str:
        """What the keys of its objects begin with."""
        return folder(self.table, self.institution)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table.name}"


@dataclass(frozen=True)
class Found:
    """An object and its partition."""

    info: ObjectInfo
    partition: PartitionKey


def views_of(contracts: Mapping[str, Contract], institutions: Mapping[str, Institution]) -> list[View]:
    """Every view: of each institution its silver and gold, the tables across institutions, and all of them stored."""
    tables = Catalog(contracts).warehouse_tables()
    found = [View(STORED_SCHEMA, table) for table in tables]
    found += [View(SHARED_SCHEMA, table) for table in tables if table.shared]
    for code, institution in institutions.items():
        own = [table for table in tables if not table.shared and dataset_of(table) in institution.datasets]
        found += [View(institution.schema_name, table, code) for table in own]
    return found


def dataset_of(table: Table) -> str:
    """The dataset whose attempts write the table."""
    return gold_graph().dataset_of(table)


class Objects:
    """What is in the lake, by view, as of each look."""

    def __init__(self, store: ObjectStore, ledger: Ledger) -> None:
        self.store = store
        self._ledger = ledger

    def of(self, views: Collection[View]) -> dict[View, list[Found]]:
        """The objects of each view, by key.

        Listed before the ledger is asked: what it calls published then was so, or has been replaced since the listing.
        """
        listed = {view: list(self._listed(view)) for view in views}
        private = [view for view in views if view.institution is not None]
        published = self._ledger.published(
            {dataset_of(view.table) for view in private}, {view.institution or "" for view in private}
        )
        return {view: _shown(view, found, published) for view, found in listed.items()}

    def replaced(self, shown: Mapping[View, Sequence[Found]]) -> list[str]:
        """The keys of what was shown and is there no more: another content has its place, or none."""
        gone: list[str] = []
        for view, found in shown.items():
            now = {there.info.key: there.info.etag for there in self._listed(view)}
            gone += [was.info.key for was in found if now.get(was.info.key) != was.info.etag]
        return gone

    def _listed(self, view: View) -> Iterator[Found]:
        for info in self.store.list(view.prefix):
            partition = partition_at(view.table, info.key)
            if partition is not None:
                yield Found(info, partition)


def _shown(view: View, listed: Sequence[Found], published: Mapping[Delivery, dt.datetime | None]) -> list[Found]:
    # The ledger knows no attempts at tables across institutions: they rest on published gold alone.
    if view.institution is None:
        return list(listed)
    dataset = dataset_of(view.table)
    shown = []
    for found in listed:
        partition = Delivery(dataset, found.partition.business_date, view.institution)
        if partition in published:
            followed_at = published[partition]
            if followed_at is None or found.info.last_modified + CLOCKS_DIFFER < followed_at:
                shown.append(found)
    return shown
