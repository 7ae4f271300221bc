"""A Snowflake for tests: the emulator in its own process over HTTP, or a real account, both by the real connector.

Use the fixtures by importing them: `from etl_platform_tests.support.snowflake import snowflake_emulator  # noqa: F401`
(and `snowflake_server`). Tests marked `snowflake_account` run on the account that SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER,
SNOWFLAKE_WAREHOUSE, SNOWFLAKE_ROLE and one of SNOWFLAKE_PASSWORD, SNOWFLAKE_PRIVATE_KEY_PATH, SNOWFLAKE_TOKEN name;
its role must be allowed to create databases. Every test has a database of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from etl_platform.stores.snowflake.account import SnowflakeAccount, open_session

EXPECTED = Path(__file__).parents[1] / "stores" / "snowflake" / "expected"
UPDATE = "UPDATE_EXPECTATIONS"
WRONG_PASSWORD = "wrong"
_NEEDED = ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_WAREHOUSE")


@pytest.fixture(scope="session")
def snowflake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an emulator in its own process."""
    folder = tmp_path_factory.mktemp("snowflake")
    log = folder / "server.log"
    command = [sys.executable, "-m", "etl_platform_tests.support.snowflake_server"]
    root = Path(__file__).parents[2]
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            # Its stages are folders: they go where pytest cleans up.
            env={**os.environ, "TMPDIR": str(folder)},
        )
    assert server.stdin and server.stdout
    try:
        port = server.stdout.readline().strip()
        assert port, f"the emulator did not start: {log.read_text()}"
        yield int(port)
    finally:
        server.stdin.close()
        server.wait(timeout=10)


@pytest.fixture
def snowflake_emulator(snowflake_server: int) -> SnowflakeAccount:
    """An account on the emulator, with a fresh database (it makes one for every new name)."""
    return SnowflakeAccount(
        account="emulator",
        user="etl",
        password=SecretStr("password-never-shown"),
        database=f"test_{uuid.uuid4().hex[:12]}",
        host="127.0.0.1",
        port=snowflake_server,
        protocol="http",
        login_timeout=10,
        network_timeout=10,
    )


@pytest.fixture
def snowflake_real_account() -> Iterator[SnowflakeAccount]:
    """The account of the environment, with a fresh database that is dropped afterwards."""
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        pytest.skip(f"needs a Snowflake account: {', '.join(missing)} not set")
    database = f"etl_test_{uuid.uuid4().hex[:12]}"
    account = SnowflakeAccount(
        account=os.environ["SNOWFLAKE_ACCOUNT"],
        user=os.environ["SNOWFLAKE_USER"],
        warehouse=os.environ["SNOWFLAKE_WAREHOUSE"],
        role=os.environ.get("SNOWFLAKE_ROLE"),
        password=_secret("SNOWFLAKE_PASSWORD"),
        private_key_path=Path(path) if (path := os.environ.get("SNOWFLAKE_PRIVATE_KEY_PATH")) else None,
        private_key_password=_secret("SNOWFLAKE_PRIVATE_KEY_PASSWORD"),
        oauth_token=_secret("SNOWFLAKE_TOKEN"),
        database=database,
    )
    with open_session(replace(account, database="snowflake"), "test database") as session:
        session.execute(f"CREATE DATABASE {database.upper()}")
        try:
            yield account
        finally:
            session.execute(f"DROP DATABASE {database.upper()}")


def _secret(name: str) -> SecretStr | None:
    return SecretStr(os.environ[name]) if os.environ.get(name) else None


@dataclass
class Recorder:
    """Statements as they reached the connector, in order."""

    statements: list[tuple[str, tuple[Any, ...], str]] = field(default_factory=list)

    def sent(self, beginning: str) -> list[str]:
        return [sql for sql, _, _ in self.statements if sql.startswith(beginning)]

    def text(self) -> str:
        """All statements with values and tags; what differs from run to run has a name."""
        lines: list[str] = []
        last_tag = ""
        for sql, values, tag in self.statements:
            if tag != last_tag:
                lines.append(f"-- query tag {tag}")
                last_tag = tag
            lines.append(f"{sql};")
            if values:
                lines.append(f"-- values {', '.join(map(str, values))}")
        text = "\n".join(lines) + "\n"
        text = re.sub(r"file://[^']*/(?=\d+_)", "file://<scratch>/", text)
        return re.sub(r"[0-9a-fA-F]{32}", "<token>", text)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Records at the connector's own `execute`; the statements are sent all the same."""
    from snowflake.connector.cursor import SnowflakeCursor

    recorded, execute = Recorder(), SnowflakeCursor.execute

    def record(self: Any, command: str, params: Any = None, **kwargs: Any) -> Any:
        tag = (kwargs.get("_statement_params") or {}).get("QUERY_TAG", "")
        recorded.statements.append((command, tuple(params or ()), tag))
        return execute(self, command, params, **kwargs)

    monkeypatch.setattr(SnowflakeCursor, "execute", record)
    return recorded


def assert_expected(name: str, text: str) -> None:
    """`text` is what `expected/<name>.sql` holds. With UPDATE_EXPECTATIONS=1 the file is written instead."""
    file = EXPECTED / f"{name}.sql"
    if os.environ.get(UPDATE):
        EXPECTED.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"statements differ from {file.name}; run with {UPDATE}=1 and review the change"
