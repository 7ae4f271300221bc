"""Where each landing root was seen last. Not here: what lies below it (`places.py`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import sqlalchemy as sa

from etl_platform.ledger.records import MovedRoot
from etl_platform.ledger.tables import landing_roots

_r = landing_roots.c


def select_roots(connection: sa.Connection) -> dict[str, str]:
    """Name -> address, of all roots ever seen."""
    return {row.name: row.url for row in connection.execute(sa.select(_r.name, _r.url))}


def note(connection: sa.Connection, urls: Mapping[str, str], now: dt.datetime) -> list[MovedRoot]:
    """The roots are at `urls` now. Returns those that were elsewhere before."""
    before = select_roots(connection)
    moved = []
    for name, url in sorted(urls.items()):
        if name not in before:
            connection.execute(sa.insert(landing_roots).values(name=name, url=url, changed_at=now))
        elif before[name] != url:
            update = sa.update(landing_roots).where(_r.name == name)
            connection.execute(update.values(url=url, url_before=before[name], changed_at=now))
            moved.append(MovedRoot(name, before[name], url))
    return moved
