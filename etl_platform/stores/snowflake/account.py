"""How to reach the account: credentials, limits, sessions.

Belongs here: everything about connecting. Not here: what is sent (`statements.py`) and why (`load.py`, `read.py`).
The connector and dagster-snowflake are imported when the first session opens: they take more than a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from etl_platform.errors import ConfigurationError
from etl_platform.limits import (
    SNOWFLAKE_LOCK_SECONDS,
    SNOWFLAKE_LOGIN_SECONDS,
    SNOWFLAKE_NETWORK_SECONDS,
    SNOWFLAKE_STATEMENT_SECONDS,
)
from etl_platform.stores.snowflake.errors import translate

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

_SECRETS = ("password", "private_key", "private_key_password", "oauth_token")


@dataclass(frozen=True)
class SnowflakeAccount:
    """Where and as whom. Exactly one of `password`, `private_key`, `private_key_path`, `oauth_token`.

    `host`, `port`, `protocol` are for private links and emulators. Time-outs are in seconds: `lock_timeout` is how
    long a load waits for another one of the same table (Snowflake's own default is 12 hours). The connector asks again
    by itself, for a login until `login_timeout`: kept short, because `Retries` goes round it. `network_timeout` ends
    a statement, too, and cannot be short. `socket_timeout` is the longest silence of a connection (the connector's own:
    a minute, because it lets a statement's answer wait for 45 s).
    """

    account: str
    user: str
    database: str
    warehouse: str | None = None
    role: str | None = None
    password: SecretStr | None = None
    private_key: SecretStr | None = None
    private_key_path: Path | None = None
    private_key_password: SecretStr | None = None
    oauth_token: SecretStr | None = None
    host: str | None = None
    port: int | None = None
    protocol: str | None = None
    login_timeout: int = SNOWFLAKE_LOGIN_SECONDS
    network_timeout: int = SNOWFLAKE_NETWORK_SECONDS
    socket_timeout: int | None = None
    statement_timeout: int = SNOWFLAKE_STATEMENT_SECONDS
    lock_timeout: int = SNOWFLAKE_LOCK_SECONDS

    def __post_init__(self) -> None:
        ways = ("password", "private_key", "private_key_path", "oauth_token")
        given = [way for way in ways if getattr(self, way)]
        if len(given) != 1:
            raise ConfigurationError(
                f"Snowflake account {self.account} user {self.user}",
                found=f"{' and '.join(given)} given" if given else "no credential",
                expected=f"exactly one of {', '.join(ways)}",
            )

    def redact(self, text: str) -> str:
        """`text` without this account's secrets."""
        for name in _SECRETS:
            secret = _plain(getattr(self, name))
            if secret:
                text = text.replace(secret, "***")
        return text

    def resource_arguments(self) -> dict[str, Any]:
        """Keyword arguments of dagster-snowflake's `SnowflakeResource`."""
        extra: dict[str, Any] = {
            # Without it the connector turns NUMBER with decimals into binary floats.
            "arrow_number_to_decimal": True,
            "session_parameters": {
                # Parquet timestamps without a zone are taken in the session's zone: it must be UTC.
                "TIMEZONE": "UTC",
                "LOCK_TIMEOUT": self.lock_timeout,
                "STATEMENT_TIMEOUT_IN_SECONDS": self.statement_timeout,
                "CLIENT_TELEMETRY_ENABLED": False,
            },
        }
        overrides = {
            "host": self.host,
            "port": self.port,
            "protocol": self.protocol,
            "token": _plain(self.oauth_token),
            "socket_timeout": self.socket_timeout,
        }
        extra |= {name: value for name, value in overrides.items() if value is not None}
        plain = {
            "account": self.account,
            "user": self.user,
            "database": self.database.upper(),
            "warehouse": self.warehouse,
            "role": self.role,
            "password": _plain(self.password),
            "private_key": _plain(self.private_key),
            "private_key_path": self.private_key_path and str(self.private_key_path),
            "private_key_password": _plain(self.private_key_password),
            "authenticator": "oauth" if self.oauth_token else None,
            "login_timeout": self.login_timeout,
            "network_timeout": self.network_timeout,
            "paramstyle": "qmark",
            # A session without autocommit opens transactions by itself; ours are explicit.
            "autocommit": True,
            "additional_snowflake_connection_args": extra,
        }
        return {name: value for name, value in plain.items() if value is not None}


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


class SnowflakeSession:
    """One open connection. Errors leave it translated; every statement carries the current `tag`."""

    def __init__(self, connection: SnowflakeConnection, account: SnowflakeAccount, subject: str) -> None:
        self.connection, self.account, self.subject = connection, account, subject
        self.tag = ""

    def execute(self, statement: str, *values: object) -> SnowflakeCursor:
        """Send one statement with bound values and wait for its end."""
        import snowflake.connector.errors as connector

        cursor = self.connection.cursor()
        parameters = {"QUERY_TAG": self.tag} if self.tag else None
        try:
            cursor.execute(statement, values or None, _statement_params=parameters)
        except (connector.Error, OSError) as error:
            raise translate(error, self.subject, self.account.redact) from error
        return cursor

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a small result by column name."""
        cursor = self.execute(statement, *values)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextmanager
def open_session(account: SnowflakeAccount, subject: str) -> Iterator[SnowflakeSession]:
    """A session in UTC. `subject` names the work in error messages. An open transaction ends with the session."""
    import snowflake.connector.errors as connector
    from dagster_snowflake import SnowflakeResource

    where = f"{subject} on Snowflake account {account.account} user {account.user}"
    opening = SnowflakeResource(**account.resource_arguments()).get_connection()
    try:
        connection = opening.__enter__()
    except (connector.Error, OSError) as error:
        raise translate(error, where, account.redact) from error
    except ValueError as error:
        raise ConfigurationError(
            where, found=account.redact(str(error)), expected="a private key in PEM form, encrypted or not"
        ) from None
    # The resource closes its connection only when nothing was raised: close it here in every case.
    with closing(connection):
        yield SnowflakeSession(connection, account, subject)
