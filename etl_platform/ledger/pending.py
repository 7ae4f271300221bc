"""Which partitions need a run, and the fingerprint that names what the run would load.

Not here: the decision behind it (`ledger.py`), launching (the sensor).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from etl_platform.ledger.given import given_rows
from etl_platform.ledger.records import CURRENT, DatasetPartition, PendingPartition, State
from etl_platform.ledger.tables import landing_objects

_t = landing_objects.c
_partition = (_t.dataset, _t.business_date, _t.institution)


def select_pending(connection: sa.Connection, limit: int, after: PendingPartition | None) -> list[PendingPartition]:
    """Partitions with seen objects that no run holds, longest waiting first, from behind `after`."""
    waiting_since = sa.func.min(_t.first_seen_at)
    query = (
        sa.select(*_partition, waiting_since, sa.func.max(_t.first_seen_at))
        .where(_t.state == State.SEEN, _t.claimed_by.is_(None))
        .group_by(*_partition)
        .order_by(waiting_since, *_partition)
        .limit(limit)
    )
    if after is not None:
        p = after.partition
        # Typed one by one: a tuple of plain values would lose the time type's conversion.
        position = [sa.literal(after.waiting_since, _t.first_seen_at.type), p.dataset]
        position += [sa.literal(p.business_date, sa.Date()), p.institution]
        query = query.having(sa.tuple_(waiting_since, *_partition) > sa.tuple_(*position))
    rows = [(DatasetPartition(*row[:3]), *row[3:]) for row in connection.execute(query)]
    fingerprints = _fingerprints(connection, [partition for partition, *_ in rows])
    return [PendingPartition(partition, fingerprints[partition], oldest, newest) for partition, oldest, newest in rows]


def _fingerprints(connection: sa.Connection, partitions: Sequence[DatasetPartition]) -> dict[DatasetPartition, str]:
    """Hash of the uri, identity and attempt of every current object, whatever its state: states change while the
    content does not, and must not launch the same content again."""
    hashes = {partition: hashlib.sha256() for partition in partitions}
    if not partitions:
        return {}
    given = given_rows(
        connection.dialect, _partition, [(p.dataset, p.business_date, p.institution) for p in partitions]
    )
    query = (
        sa.select(*_partition, _t.uri, _t.identity, _t.attempt)
        .join_from(given, landing_objects, sa.and_(*(column == given.c[column.name] for column in _partition)))
        .where(_t.state.in_(CURRENT))
        .order_by(_t.id)
    )
    for *key, uri, identity, attempt in connection.execute(query):
        hashes[DatasetPartition(*key)].update(f"{uri}\n{identity}\n{attempt}\n".encode())
    return {partition: digest.hexdigest()[:32] for partition, digest in hashes.items()}
