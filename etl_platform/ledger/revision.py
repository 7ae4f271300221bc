"""Which revision a ledger has, and whether this code can work with it.

A ledger has exactly one row in `ledger_revision` that names its revision. Those that were made before there were
revisions have none and are known by their tables. Not here: changing anything (`upgrade.py`).
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from etl_platform.errors import StorageError

REVISIONS = ("0001", "0002", "0003", "0004")
"""All that this code knows, oldest first; each has a module in `migrations/versions`. `tables.py` is the last one."""
HEAD = REVISIONS[-1]

# Not `alembic_version`: Dagster's storage and the warehouse may live in the same Postgres database.
MARKER = sa.Table(
    "ledger_revision",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="ledger_revision_pkc"),
)
_FIRST_TABLE = "landing_objects"


class Standing(StrEnum):
    """A ledger's revision as this code sees it."""

    MISSING = "missing"
    OLD = "old"
    CURRENT = "current"
    NEWER = "newer"


def find(connection: sa.Connection, label: str) -> str | None:
    """The revision of the ledger; None where there is none yet. Raises StorageError for tables of somebody else."""
    inspector = sa.inspect(connection)
    if inspector.has_table(MARKER.name):
        found: str | None = connection.execute(sa.select(MARKER.c.version_num)).scalar()
        if found is not None:
            return found
    if not inspector.has_table(_FIRST_TABLE):
        return None
    columns = {column["name"] for column in inspector.get_columns(_FIRST_TABLE)}
    if "root" in columns or not columns >= {"id", "uri", "identity", "claimed_by"}:
        raise StorageError(
            label,
            found=f"a table {_FIRST_TABLE} with the columns {', '.join(sorted(columns))} and no {MARKER.name}",
            expected=f"a ledger with its revision, or one of revision {REVISIONS[0]}, which has none on record",
            next_step="set ETL_LEDGER_URL to a database or schema of the ledger's own, or bring back its tables "
            "from a backup; nothing was changed",
        )
    return REVISIONS[0]


def standing(found: str | None) -> Standing:
    """What `found` means for this code. A revision that it does not know comes from newer code."""
    if found is None:
        return Standing.MISSING
    if found not in REVISIONS:
        return Standing.NEWER
    return Standing.CURRENT if found == HEAD else Standing.OLD


def refuse_newer(found: str | None, label: str) -> None:
    """Raise StorageError for a ledger of newer code: what this code writes there could mean something else by now."""
    if standing(found) is Standing.NEWER:
        raise StorageError(
            label,
            found=f"revision {found}, which a newer version of etl-platform made",
            expected=f"at most revision {HEAD}, the last that this version knows",
            next_step="install the newer version again, or bring back the copy from before the upgrade "
            "(docs/ledger.md, Migrations); nothing was changed",
        )


def refuse_old(found: str | None, label: str) -> None:
    """Raise StorageError for a ledger that had to be changed before it can be read."""
    if standing(found) is Standing.OLD:
        raise StorageError(
            label,
            found=f"revision {found}, an old ledger",
            expected=f"revision {HEAD}",
            next_step="etl-platform ledger upgrade",
        )
