"""What an answer of Postgres, or none, means: refused, or worth another try; each with its next step.

Belongs here: the one mapping from the drivers' exceptions to the platform's. Not here: retrying (`Retries`).
The text of a server is shown with the password taken out, whatever put it there.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import psycopg
from adbc_driver_manager import Error as ArrowDriverError

from etl_platform.errors import EtlError, StorageError, StorageUnavailableError


class TimeLimitError(StorageUnavailableError):
    """A time limit of the server ended the work: at once again it would take as long, in a quieter hour it may not."""


DRIVER_ERRORS = (psycopg.Error, ArrowDriverError)
"""Everything that a call to Postgres raises."""

RERUN = "nothing was changed: run the partition again"

_MAY_PASS = {
    "40001": "another transaction was in the way; " + RERUN,
    "40P01": "two transactions waited for each other; " + RERUN,
    "55P03": "another run holds the lock; " + RERUN + " when it has ended, or raise the lock time-out",
    "57014": RERUN + "; if it needs more time, raise statement_timeout of the role or in the URL's `options`",
    "57P01": "the server is restarting; " + RERUN,
    "57P02": "the server is recovering from a crash; " + RERUN,
    "57P03": "the server is starting or stopping; " + RERUN,
    "57P05": "the session was idle for longer than idle_session_timeout; " + RERUN,
    "53300": "close idle connections or raise max_connections; " + RERUN,
    "53200": "the server is short of memory or locks (see max_locks_per_transaction); " + RERUN,
    "22P04": "what arrived is not the stream that was sent; " + RERUN,
    "25P03": "rows came too slowly for idle_in_transaction_session_timeout; " + RERUN,
    "25P04": "the load took longer than transaction_timeout; raise it; " + RERUN,
}
_TIME_LIMITS = {"57014", "25P04"}
_WORTH_RETRYING_CLASSES = {"08"}
_NEXT_STEPS = {
    "28P01": "correct the password in ETL_POSTGRES_URL",
    "28000": "allow this user, host and database in pg_hba.conf, or correct the user in ETL_POSTGRES_URL",
    "3D000": "create the database or correct its name in ETL_POSTGRES_URL",
    "42501": "run `etl-platform warehouse init` as an administrator: it creates schemas, roles and grants",
    "3F000": "run `etl-platform warehouse init` as an administrator: it creates the schemas",
    "53100": "free space on the database server's disk; " + RERUN,
    "22021": "the text is no valid UTF-8: find the file that brought it, or its declared encoding",
    "22P05": "the database's encoding lacks a character: create it with ENCODING 'UTF8'",
    "22023": "run `etl-platform warehouse init` as an administrator if a role is missing",
    "25006": "the server is read-only (a standby?): add target_session_attrs=read-write to the URL",
}
_CONNECT_WORDS = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "no pg_hba.conf entry": "28000",
    'role "': "28000",
    'database "': "3D000",
}
"""A refused connection has no code, only words. The wheels of psycopg and most servers speak English."""

_BROKEN_TLS = re.compile(
    r"SSL SYSCALL error|SSL connection has been closed|unexpected eof|SSL error: .*(reset|broken pipe)", re.I
)
"""A connection that was fine until the server went away, not one that was refused."""

_DETAIL = re.compile(r"\nDETAIL:.*?(?=\n(?:HINT|CONTEXT):|\.? SQLSTATE:|\Z)", re.DOTALL)


def explain(subject: str, error: Exception, secrets: Collection[str] = ()) -> EtlError:
    """The platform's error for one of DRIVER_ERRORS about `subject`; `secrets` never show."""
    text = _words(error)
    for secret in secrets:
        text = text.replace(secret, "***")
    code = getattr(error, "sqlstate", None) or _code_of_connect(text)
    found = f"Postgres answered {code}: {text}" if code else text
    if code in _MAY_PASS:
        kind = TimeLimitError if code in _TIME_LIMITS else StorageUnavailableError
        return kind(subject, found=found, next_step=_MAY_PASS[code])
    if code and code[:2] not in _WORTH_RETRYING_CLASSES:
        return StorageError(subject, found=found, next_step=_NEXT_STEPS.get(code, "see the message of Postgres"))
    if ("certificate" in text or "SSL" in text) and not _BROKEN_TLS.search(text):
        return StorageError(subject, found=found, next_step="correct sslmode and sslrootcert in ETL_POSTGRES_URL")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or "connect" in text:
        return StorageUnavailableError(
            subject, found=found, expected="an answer of Postgres", next_step="check host, port and network; " + RERUN
        )
    return StorageError(subject, found=found, next_step="see the message of the driver")


def _words(error: Exception) -> str:
    """What happened and where, without the rows that Postgres quotes in DETAIL: they belong to a tenant."""
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        # COPY names line and column in CONTEXT, and of a binary copy nothing else.
        where = next((line for line in (error.diag.context or "").splitlines() if line.startswith("COPY ")), "")
        return error.diag.message_primary + (f" ({where})" if where else "")
    # The Arrow driver gives one text, with the parts of the server's message named in it.
    return " ".join(_DETAIL.sub("", str(error)).split()) or type(error).__name__


def _code_of_connect(text: str) -> str | None:
    return next((code for words, code in _CONNECT_WORDS.items() if words in text), None)
