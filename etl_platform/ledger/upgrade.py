"""Makes a new ledger, or brings an old one to the revision of this code, inside the caller's write lock.

One transaction, so that a process which dies in the middle leaves the ledger as it was, and of two processes that
start on an old ledger one migrates while the other waits for the lock and finds it done. Every revision so far may run
at start: nothing is lost by it, and it needs no answer from a person (docs/ledger.md has the rule).

Not here: the revisions (`migrations/`), what revision a ledger has (`revision.py`).
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from etl_platform.errors import StorageError
from etl_platform.ledger.revision import HEAD, MARKER, Standing, find, refuse_newer, standing
from etl_platform.ledger.tables import metadata

_log = logging.getLogger(__name__)
_MIGRATIONS = Path(__file__).with_name("migrations")

# Alembic keeps what it works on in module-wide names: one migration at a time in a process.
_alembic = threading.Lock()


def upgrade(connection: sa.Connection, label: str) -> str | None:
    """Bring the ledger to HEAD. Returns the revision that was found (None: there was no ledger).

    Raises StorageError for a newer ledger, and where the copy of an SQLite ledger cannot be written.
    """
    found = find(connection, label)
    refuse_newer(found, label)
    if standing(found) is Standing.MISSING:
        # Without Alembic: a test holds that this is what all revisions together make. A table of one of these names
        # that is there without a ledger is somebody else's: an error, not ours to fill.
        metadata.create_all(connection, checkfirst=False)
        MARKER.create(connection, checkfirst=True)
        connection.execute(sa.insert(MARKER).values(version_num=HEAD))
    elif standing(found) is Standing.OLD:
        copy = _copy(connection, label)
        _migrate(connection)
        _log.warning("%s: upgraded from revision %s to %s%s", label, found, HEAD, f"; before: {copy}" if copy else "")
    return found


def copy_before(database: Path) -> Path:
    """Where the copy of an SQLite ledger lies that is made before it is upgraded to HEAD."""
    return database.with_name(f"{database.name}.before-{HEAD}")


def _copy(connection: sa.Connection, label: str) -> Path | None:
    """A copy of an SQLite ledger beside it; Postgres has backups of its own."""
    if connection.dialect.name != "sqlite":
        return None
    path = Path(connection.engine.url.database or "").expanduser().absolute()
    target = copy_before(path)
    unfinished = target.with_name(f"{target.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        # By SQLite itself: a copy of the file alone would lack what is in its write-ahead log.
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            source.backup(copy)
        shutil.copymode(path, unfinished)
        unfinished.replace(target)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(
            label,
            found=f"no copy before the upgrade to revision {HEAD}: {error}",
            expected=f"room and permission to write {target}",
            next_step="make room, then run `etl-platform ledger upgrade`; nothing was changed",
        ) from error
    return target


def _migrate(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with _alembic:
        # A ledger without a revision on record goes through 0001 too, which creates only what is not there.
        command.upgrade(config, HEAD)
