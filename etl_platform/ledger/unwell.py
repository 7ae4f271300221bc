"""Which partitions are not well: what somebody must look at, and what waits. Nothing that heals by itself is failed.

Not here: what each partition holds (`status.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import attempt_rows, pending
from etl_platform.ledger.records import Kind, Outcome, State, Unwell
from etl_platform.ledger.tables import attempts, landing_objects
from etl_platform.ledger.troubles import select_troubles

_t = landing_objects.c
_a = attempts.c
_partition = (_t.dataset, _t.business_date, _t.institution)
_NO_LIMIT = 2**31 - 1


def select_unwell(connection: sa.Connection) -> list[Unwell]:
    """Every partition that failed, waits for a service, or of which a file was refused; by date."""
    waiting = {
        trouble.partition: Unwell(trouble.partition, Kind.WAITING, trouble.error, trouble.service, trouble.next_try_at)
        for trouble in select_troubles(connection)
        if trouble.service is not None
    }
    about_to_run = {item.partition for item in pending.select_pending(connection, _NO_LIMIT, None)}
    failed = {p: why for p, why in _failed(connection).items() if p not in waiting and p not in about_to_run}
    found = [*waiting.values()]
    found += [Unwell(partition, Kind.FAILED, why) for partition, why in failed.items()]
    found += [Unwell(partition, Kind.REFUSED, why) for partition, why in _refused(connection).items()]
    return sorted(found, key=lambda unwell: (unwell.partition.business_date, unwell.partition, unwell.kind))


def _failed(connection: sa.Connection) -> Mapping[Delivery, str]:
    """Of the latest attempt, or of an object whose run ended before it began."""
    query = sa.select(*_partition, sa.func.max(_t.reason)).where(_t.state == State.FAILED).group_by(*_partition)
    of_objects = {Delivery(*key): str(reason) for *key, reason in connection.execute(query)}
    is_over = sa.or_(_a.outcome == Outcome.FAILED, _a.outcome == Outcome.CRASHED)
    latest = attempt_rows.select_latest(connection, is_over)
    return {**of_objects, **{a.partition: a.error or str(a.outcome) for a in latest}}


def _refused(connection: sa.Connection) -> Mapping[Delivery, str]:
    query = sa.select(*_partition, _t.key, _t.reason).where(_t.state == State.REFUSED).order_by(_t.id)
    found: dict[Delivery, str] = {}
    for *key, name, reason in connection.execute(query):
        found.setdefault(Delivery(*key), f"{name}: {reason}")
    return found
