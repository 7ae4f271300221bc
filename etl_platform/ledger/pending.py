"""Which partitions need a run, and the fingerprint that names what the run would load.

Not here: the decision behind it (`ledger.py`), launching (the sensor).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import attempt_rows
from etl_platform.ledger.bound_rows import given_rows
from etl_platform.ledger.records import CURRENT, Outcome, PendingPartition, State, Unpublished
from etl_platform.ledger.tables import attempts, landing_objects, reruns, troubles
from etl_platform.ledger.troubles import select_troubles

_t = landing_objects.c
_r = reruns.c
_partition = (_t.dataset, _t.business_date, _t.institution)


def select_pending(connection: sa.Connection, limit: int, after: PendingPartition | None) -> list[PendingPartition]:
    """Partitions with seen objects that no run holds, or of which a run was asked for; longest waiting first, from
    behind `after`. Those that wait for a service come when it answers."""
    seen = sa.select(*_partition, _t.first_seen_at.label("since")).where(
        _t.state == State.SEEN, _t.claimed_by.is_(None)
    )
    asked = sa.select(_r.dataset, _r.business_date, _r.institution, _r.requested_at.label("since")).where(_r.is_open)
    due = sa.union_all(seen, asked).subquery("due")
    key = (due.c.dataset, due.c.business_date, due.c.institution)
    waits = sa.exists().where(troubles.c.service.is_not(None), *(troubles.c[column.name] == column for column in key))
    waiting_since = sa.func.min(due.c.since)
    query = (
        sa.select(*key, waiting_since, sa.func.max(due.c.since))
        .where(~waits)
        .group_by(*key)
        .order_by(waiting_since, *key)
        .limit(limit)
    )
    if after is not None:
        p = after.partition
        # Typed one by one: a tuple of plain values would lose the time type's conversion.
        position = [sa.literal(after.waiting_since, _t.first_seen_at.type), p.dataset]
        position += [sa.literal(p.business_date, sa.Date()), p.institution]
        query = query.having(sa.tuple_(waiting_since, *key) > sa.tuple_(*position))
    rows = [(Delivery(*row[:3]), *row[3:]) for row in connection.execute(query)]
    fingerprints = _fingerprints(connection, [partition for partition, *_ in rows])
    return [PendingPartition(partition, fingerprints[partition], oldest, newest) for partition, oldest, newest in rows]


def select_unpublished(connection: sa.Connection) -> list[Unpublished]:
    """Checked attempts that wait for gold and warehouse and for no service, oldest first. Whether their runs are at
    that is for the caller to see."""
    troubled = {trouble.partition: trouble for trouble in select_troubles(connection)}
    found = []
    for attempt in attempt_rows.select_latest(connection, attempts.c.outcome == Outcome.CHECKED):
        trouble = troubled.get(attempt.partition)
        if trouble is None or trouble.service is None:
            found.append(Unpublished(attempt, f"{attempt.run_id}#{trouble.number if trouble else 0}"))
    return found


def _fingerprints(connection: sa.Connection, partitions: Sequence[Delivery]) -> dict[Delivery, str]:
    """Hash of every current object and its attempt, whatever its state and wherever it lies: states and addresses
    change while the content does not, and must not launch it again. And of the number of the run that was asked for."""
    hashes = {partition: hashlib.sha256() for partition in partitions}
    if not partitions:
        return {}
    given = given_rows(
        connection.dialect, _partition, [(p.dataset, p.business_date, p.institution) for p in partitions]
    )
    query = (
        sa.select(*_partition, _t.id, _t.first_seen_at, _t.attempt)
        .join_from(given, landing_objects, sa.and_(*(column == given.c[column.name] for column in _partition)))
        .where(_t.state.in_(CURRENT))
        .order_by(_t.id)
    )
    for *key, number, seen_at, attempt in connection.execute(query):
        hashes[Delivery(*key)].update(f"{number} {seen_at.isoformat()} {attempt}\n".encode())
    asked = sa.select(_r.dataset, _r.business_date, _r.institution, _r.number).where(_r.is_open)
    for *key, number in connection.execute(asked):
        if (partition := Delivery(*key)) in hashes:
            hashes[partition].update(f"asked for: {number}\n".encode())
    return {partition: digest.hexdigest()[:32] for partition, digest in hashes.items()}
