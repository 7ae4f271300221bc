"""Signs of life of executing runs, for those who cannot see their lock files: other hosts, other containers.

No clock of the one is compared with that of the other: who sees a count that has not grown for a while since he looked
first takes its process for dead. Each function works inside the caller's transaction.
Not here: lock files, which tell at once (`resources/processes.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import sqlalchemy as sa

from etl_platform.ledger.tables import processes
from etl_platform.limits import HEARTBEAT_FORGOTTEN, HEARTBEAT_SILENCE

_p = processes.c


def beat(connection: sa.Connection, name: str) -> None:
    """The process of that name is alive."""
    if not connection.execute(sa.update(processes).where(_p.name == name).values(beats=_p.beats + 1)).rowcount:
        connection.execute(sa.insert(processes), {"name": name, "beats": 1})


def is_known(connection: sa.Connection, name: str) -> bool:
    """Whether the process of that name has ever said that it is alive, and not that it has ended."""
    return connection.execute(sa.select(_p.name).where(_p.name == name, _p.beats > 0)).first() is not None


def forget(connection: sa.Connection, names: Collection[str]) -> None:
    """They have ended, and somebody has seen to it."""
    connection.execute(sa.delete(processes).where(_p.name.in_(list(names))))


def silent(connection: sa.Connection, names: Collection[str], now: dt.datetime) -> list[str]:
    """Those that have been silent long enough since somebody asked first; the others are asked about from now on."""
    # Nobody asks any more for those of yesterday: they have ended, or were seen to.
    connection.execute(sa.delete(processes).where(_p.suspected_at < now - HEARTBEAT_FORGOTTEN))
    known = {row.name: row for row in connection.execute(sa.select(processes).where(_p.name.in_(list(names))))}
    dead = []
    for name in names:
        row = known.get(name)
        if row is None:
            suspected = {"name": name, "beats": 0, "suspected_beats": 0, "suspected_at": now}
            connection.execute(sa.insert(processes), suspected)
        elif row.suspected_beats != row.beats:
            suspicion = {"suspected_beats": row.beats, "suspected_at": now}
            connection.execute(sa.update(processes).where(_p.name == name).values(suspicion))
        elif row.suspected_at is not None and now - row.suspected_at >= HEARTBEAT_SILENCE:
            dead.append(name)
    return dead
