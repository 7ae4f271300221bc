"""What a refusal of Snowflake means: wait and try again, or tell a person what to do.

Numbers are Snowflake's own (`errno` of the connector's errors); a number not listed is permanent, because repeating a
statement that the service understood and refused gives the same refusal.
"""

from __future__ import annotations

from typing import Any

from etl_platform.errors import EtlError, StorageError, StorageUnavailableError

_INITIALISE = "run `etl-platform warehouse init` as an administrator, or ask for the grants it prints"
_RAISE_TIMEOUT = "use a larger warehouse or raise `statement_timeout`; the partition is unchanged"

_TRANSIENT: dict[int, str] = {
    625: "another load of the same table holds the lock",
    626: "the transaction was aborted while it waited for a lock",
    407: "the service answered with an internal error",
    603: "the service answered with an internal error",
    90011: "the request was not answered in time",
    390101: "the service asked to log in again",
    390111: "the session is gone",
    390112: "the session has expired",
    390114: "the session token has expired",
    390195: "the session is gone",
}
_PERMANENT: dict[int, tuple[str, str]] = {
    606: ("no warehouse is running for this session", "set `warehouse`, or let it resume: ALTER WAREHOUSE ... RESUME"),
    90073: ("a resource monitor has suspended the warehouse", "raise its quota or choose another warehouse"),
    90109: ("the warehouse is suspended", "resume it (ALTER WAREHOUSE ... RESUME) or set AUTO_RESUME = TRUE"),
    604: ("the statement was cancelled", "see the query history for who cancelled it, then run again"),
    630: ("the statement reached its time-out", _RAISE_TIMEOUT),
    3001: ("a privilege is missing", _INITIALISE),
    2003: ("an object does not exist or this role may not see it", _INITIALISE),
    2043: ("an object does not exist or this role may not see it", _INITIALISE),
    390100: ("user or password is wrong", "correct the user, password or key of the warehouse in the settings"),
    390102: ("the user is locked", "ask the account's administrator to unlock it"),
    390144: ("the key was refused", "register the public key with the user: ALTER USER ... SET RSA_PUBLIC_KEY"),
    390189: ("the role does not exist or is not granted to the user", _INITIALISE),
    390303: ("the OAuth token was refused", "fetch a new token"),
    390318: ("the OAuth token has expired", "fetch a new token"),
    390422: ("this network address is not allowed", "ask the administrator to add it to the network policy"),
}
_LOGIN_REFUSED: dict[str, int] = {
    "incorrect username or password": 390_100,
    "temporarily locked": 390_102,
    "jwt token is invalid": 390_144,
    "specified in the connect string does not exist": 390_189,
    "invalid oauth access token": 390_303,
    "oauth access token expired": 390_318,
    "is not allowed to access snowflake": 390_422,
}
"""Words by which a refused login is told from an account that did not answer: the connector gives both one number."""
_FAILED_TO_CONNECT, _CONNECTOR_NETWORK, _FILE_TRANSFER = 250_001, range(250_000, 252_000), 253_003


class TableMissingError(StorageError):
    """A table, schema or stage that does not exist, or that the role may not see: Snowflake does not tell which."""


class OutcomeUnknownError(StorageUnavailableError):
    """The answer to COMMIT was lost and the outcome could not be read back: the first question of the next attempt.

    Running the partition again, even without that look, leads to the same table: a load replaces whole partitions.
    """


def translate(error: Exception, subject: str, redact: Any) -> EtlError:
    """The platform's error for one of the connector (or of the network under it). `redact` removes secrets."""
    number = _number(error)
    text = redact(" ".join(str(getattr(error, "msg", None) or error).split()))
    if number in (2003, 2043):
        return TableMissingError(subject, found=f"{_PERMANENT[number][0]} ({text})", next_step=_INITIALISE)
    if number in _PERMANENT:
        found, next_step = _PERMANENT[number]
        return StorageError(subject, found=f"{found} ({text})", next_step=next_step)
    if number in _TRANSIENT:
        return StorageUnavailableError(subject, found=f"{_TRANSIENT[number]} ({text})", next_step="try again later")
    if _is_connection_trouble(error, number):
        return StorageUnavailableError(
            subject,
            found=f"no answer ({text})",
            next_step="check the account name, the network and the service's status page, then run again",
        )
    return StorageError(subject, found=text, next_step="read the statement in the query history by its query tag")


def _number(error: Exception) -> int | None:
    """Snowflake's number. A refused login hides its own behind the connector's 250001."""
    number = getattr(error, "errno", None)
    if number == _FAILED_TO_CONNECT:
        text = str(error).lower()
        return next((known for sign, known in _LOGIN_REFUSED.items() if sign in text), number)
    return number


def _is_connection_trouble(error: Exception, number: int | None) -> bool:
    if number is None:
        return isinstance(error, OSError)
    # HTTP statuses arrive as 290000 + status, or the same twice over (580500) from the connector's retry loop.
    is_http = number // 1000 in (290, 580) and number % 1000 >= 400
    return number in _CONNECTOR_NETWORK or number == _FILE_TRANSFER or is_http
