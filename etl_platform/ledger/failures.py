"""What a database error means for the caller: come back later, or change something first.

Not here: bad data (never an exception) and wrong URLs (`database.py`).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from etl_platform.errors import StorageError, StorageUnavailableError

# Postgres: broken connection, rollback for another's sake, lack of resources but for a full disk, lock not granted,
# server going down or coming up. https://www.postgresql.org/docs/current/errcodes-appendix.html
_PASSING_SQLSTATES = re.compile(r"08...|40...|53(?!100)...|55P03|57P0.|25P03")
# libpq gives no SQLSTATE for a connection that was refused, only the server's (English) message.
_REFUSED_CONNECTION = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|permission denied"
    r"|(role|database) \"[^\"]*\" (does not exist|is not permitted)|is not currently accepting connections"
)
_LOCK_NOT_GRANTED = "55P03"
_PASSING_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT}

SERVICE = "ledger"
"""What errors and waiting partitions call it."""


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Database errors of the block as StorageUnavailableError or StorageError about `label`."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise _unavailable(label, "all connections of this process are in use") from error
    except sa.exc.DBAPIError as error:
        found = str(error.orig).strip()
        if may_pass(error):
            raise _unavailable(label, found) from error
        raise _refused(label, found) from error
    except OSError as error:
        raise _refused(label, str(error)) from error


def sqlite_may_pass(error: sqlite3.Error) -> bool:
    """Whether SQLite may do the same a little later."""
    # The low byte is the primary code; the others say how it came to it.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING_SQLITE


def has_waited(error: BaseException) -> bool:
    """Whether the one who got `error` has waited for others for as long as anybody should."""
    cause = error.__cause__
    original = getattr(cause, "orig", None)
    return (
        isinstance(cause, sa.exc.TimeoutError)
        or isinstance(original, sqlite3.Error)
        or getattr(original, "sqlstate", None) == _LOCK_NOT_GRANTED
    )


def may_pass(error: sa.exc.DBAPIError) -> bool:
    """Whether the database may do the same a little later."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return sqlite_may_pass(original)
    if sqlstate := getattr(original, "sqlstate", None):
        return bool(_PASSING_SQLSTATES.fullmatch(sqlstate))
    if not isinstance(error, sa.exc.OperationalError):
        return error.connection_invalidated
    return not _REFUSED_CONNECTION.search(str(original))


def _unavailable(label: str, found: str) -> StorageUnavailableError:
    return StorageUnavailableError(
        label,
        found=found,
        next_step="wait and try again; if it lasts, check that the server runs and can be reached",
        service=SERVICE,
    )


def _refused(label: str, found: str) -> StorageError:
    return StorageError(
        label,
        found=found,
        expected="a database where this user may create and write the tables of the ledger",
        next_step="correct ETL_LEDGER_URL, the user's privileges or the disk, then run `etl-platform doctor`",
    )
