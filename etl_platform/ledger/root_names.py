"""The names of landing roots in what is on record already.

Not here: which institution has a landing of its own (`landing/zone.py`), where a root was seen last (`roots.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from etl_platform.ledger.migrations.same_place import leave_one_current, merge_contents, merge_schemas
from etl_platform.ledger.tables import landing_objects, schema_drift, withdrawals

_o, _s, _w = landing_objects.c, schema_drift.c, withdrawals.c


def are_due(connection: sa.Connection, roots: Mapping[str, str]) -> bool:
    """Whether an institution has objects or schemas under another name than that of its landing root."""
    for columns in (_o, _s):
        names = sa.select(columns.institution, columns.root).distinct()
        if any(roots.get(code, name) != name for code, name in connection.execute(names)):
            return True
    return False


def name_roots(connection: sa.Connection, roots: Mapping[str, str]) -> int:
    """Give the objects and schemas of each institution the name of its landing root. Returns how many objects changed.

    A migration cannot know which institutions have a landing of their own: who has read the institutions tells it
    here, in the same transaction or later. Safe to repeat. Objects that fall together are merged as after a move
    (`migrations/same_place.py`). Reads every row of these institutions, so it belongs to a start, not to a tick.
    """
    if not roots or not are_due(connection, roots):
        return 0
    elsewhere = sa.or_(*(sa.and_(_o.institution == code, _o.root != name) for code, name in roots.items()))
    elsewhere_too = sa.or_(*(sa.and_(_s.institution == code, _s.root != name) for code, name in roots.items()))
    gone = merge_contents(connection, roots)
    if gone:
        same = sa.update(withdrawals).where(_w.object_id == sa.bindparam("old"))
        connection.execute(same.values(object_id=sa.bindparam("new")), [{"old": o, "new": n} for o, n in gone.items()])
    merge_schemas(connection, roots)
    named, named_too = (sa.case(dict(roots), value=column) for column in (_o.institution, _s.institution))
    changed = connection.execute(sa.update(landing_objects).where(elsewhere).values(root=named)).rowcount
    connection.execute(sa.update(schema_drift).where(elsewhere_too).values(root=named_too))
    place = sa.select(_o.root).where(_o.id == _w.object_id).scalar_subquery()
    connection.execute(sa.update(withdrawals).values(root=sa.func.coalesce(place, _w.root)))
    leave_one_current(connection)
    return changed


def take_over(connection: sa.Connection, urls: Mapping[str, str], before: Mapping[str, str]) -> None:
    """A landing of an institution's own that has another name and lies where one lay that nobody has any more: the
    institution was renamed. What is on record of that one is the new one's. urls, before: name -> address."""
    former = {url: name for name, url in before.items() if name not in urls}
    for name, url in urls.items():
        if name not in before and url in former:
            for table in (landing_objects, schema_drift, withdrawals):
                update = sa.update(table).where(table.c.root == former[url])
                connection.execute(update.values(root=name))
