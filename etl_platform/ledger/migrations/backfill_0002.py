"""What revision 0002 knows about the rows of revision 0001: their roots, and whether they were ever published.

The new columns are there and empty, the old constraints still hold. Not here: rows that fall together
(`same_place.py`).
"""

from __future__ import annotations

import sqlalchemy as sa

from etl_platform.ledger.migrations.same_place import (
    OBJECTS,
    SCHEMAS,
    leave_one_current,
    merge_contents,
    merge_schemas,
)

# An institution with a landing of its own may have a key that another has too. Two institutions whose objects of one
# key lie at different addresses are told apart by their codes, so that neither takes the other's place;
# `root_names.name_roots` gives all others of theirs the right name. The first row of each key is found once for all:
# as a look-up for each row it took Postgres the square of their number.
_TELL_APART = """
UPDATE landing_objects SET root = institution WHERE id IN (
    SELECT mine.id
    FROM (SELECT key, min(id) AS id FROM landing_objects WHERE institution IS NOT NULL GROUP BY key) AS first_of_key
    JOIN landing_objects AS other ON other.id = first_of_key.id
    JOIN landing_objects AS mine ON mine.key = first_of_key.key
    WHERE mine.institution IS NOT NULL AND other.institution <> mine.institution AND other.uri <> mine.uri
)
"""

# Published is what the run that brought it to its state loaded and brought to success. After a replay that waits or
# has failed the run before it counts: an attempt that began when the object was known and succeeded before it changed.
# A refused object has no rows in silver, and what an attempt without success had loaded was taken back.
_PUBLISHED = """
UPDATE landing_objects SET is_published = {true}
WHERE (
    (state = 'loaded' OR (state IN ('superseded', 'seen') AND rows_silver > 0))
    AND EXISTS (
        SELECT 1 FROM attempts WHERE attempts.run_id = landing_objects.run_id AND outcome = 'succeeded'
        AND attempts.institution = landing_objects.institution AND attempts.dataset = landing_objects.dataset
        AND attempts.business_date = landing_objects.business_date
    )
) OR (
    state IN ('superseded', 'failed', 'seen') AND rows_silver > 0
    AND EXISTS (
        SELECT 1 FROM attempts WHERE outcome = 'succeeded'
        AND attempts.institution = landing_objects.institution AND attempts.dataset = landing_objects.dataset
        AND attempts.business_date = landing_objects.business_date
        AND attempts.started_at >= landing_objects.first_seen_at AND attempts.ended_at <= landing_objects.updated_at
    )
)
"""


def backfill(connection: sa.Connection) -> None:
    """Fill `root` and `is_published`, and leave one row for each object."""
    connection.exec_driver_sql("UPDATE landing_objects SET root = 'landing'")
    connection.exec_driver_sql(_TELL_APART)
    connection.exec_driver_sql(_PUBLISHED.format(true="true" if connection.dialect.name == "postgresql" else "1"))
    same = sa.select(sa.func.min(OBJECTS.c.root)).where(OBJECTS.c.uri == SCHEMAS.c.uri).scalar_subquery()
    connection.execute(sa.update(SCHEMAS).values(root=sa.func.coalesce(same, "landing")))
    merge_contents(connection)
    merge_schemas(connection)
    leave_one_current(connection)
