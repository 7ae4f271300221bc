"""Who is about to start a run of a partition, so that nobody else starts a second one.

A lease is taken when a run is decided on and given back when the run's attempt begins. Whether its holder is still
there is for the caller to say. Each function works inside the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.records import Lease
from etl_platform.ledger.tables import leases

_t = leases.c
_GIVEN_BACK = sa.delete(leases).where(is_given(_t))


def select_leases(connection: sa.Connection) -> list[Lease]:
    """All that is leased."""
    query = sa.select(_t.dataset, _t.business_date, _t.institution, _t.holder, _t.taken_at)
    return [Lease(Delivery(*row[:3]), row.holder, row.taken_at) for row in connection.execute(query)]


def take(
    connection: sa.Connection, wanted: Mapping[Delivery, str], void: Collection[str], now: dt.datetime
) -> list[Delivery]:
    """Lease each partition to its holder; void: holders who are gone. Returns those that were free."""
    held = {lease.partition: lease for lease in select_leases(connection)}
    free = [p for p in wanted if p not in held or held[p].holder in void]
    give_back(connection, [p for p in free if p in held])
    rows = [{**asdict(partition), "holder": wanted[partition], "taken_at": now} for partition in free]
    if rows:
        connection.execute(sa.insert(leases), rows)
    return free


def give_back(connection: sa.Connection, partitions: Sequence[Delivery]) -> None:
    """The partitions are free, or an attempt at them has begun."""
    if partitions:
        connection.execute(_GIVEN_BACK, [given(partition) for partition in partitions])


def give_back_all(connection: sa.Connection, holders: Iterable[str]) -> None:
    """All that these holders have."""
    connection.execute(sa.delete(leases).where(_t.holder.in_(list(holders))))
