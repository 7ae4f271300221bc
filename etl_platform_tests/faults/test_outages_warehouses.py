"""The other warehouses: a DuckDB file that somebody else has open, and a Snowflake that is away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_platform.ledger.records import Outcome
from etl_platform.settings import Settings
from etl_platform.stores.duckdb.store import DuckDBStore
from etl_platform.stores.snowflake.account import SnowflakeAccount
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform_tests.support.gate import run_gate
from etl_platform_tests.support.outages import QUICK, Clockwork, Point, before, body, scaled
from etl_platform_tests.support.platform import DATE, Platform, open_instance, plain_senders
from etl_platform_tests.support.snowflake import snowflake_emulator, snowflake_server

__all__ = ["scaled", "snowflake_emulator", "snowflake_server"]

# An analyst's command line, which knows nothing of our lock.
HOLDER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reads")
connection.execute("SELECT 1")
print("held", flush=True)
sys.stdin.read()
"""


def goes_through_an_outage(
    daemon: Clockwork, point: Point, leave: Callable[[], object], back: Callable[[], object]
) -> str:
    """Loaded once, and its second version cut off at `point`. Returns why it waited."""
    platform = daemon.platform
    platform.put(f"first/prices/{DATE}/a.csv", body("first"))
    daemon.heal(1)
    platform.put(f"first/prices/{DATE}/a.csv", body("first", version=1))
    (request,) = daemon.tick()
    with before(point, leave):
        assert not daemon.start(request).success

    assert daemon.tick() == [], "not while it is away"
    (trouble,) = platform.ledger.troubles()
    assert trouble.service == "warehouse" and platform.attempt("prices", "first").outcome is Outcome.CHECKED
    back()
    daemon.heal(2)

    assert platform.ledger.troubles() == [] and platform.attempt("prices", "first").outcome is Outcome.SUCCEEDED
    assert platform.table("warehouse", "prices", "first").height == 6
    assert platform.table("warehouse", "daily_bars", "first").height == 6
    return trouble.error


@pytest.mark.parametrize("mode", ["reads", "writes"])
def test_a_duckdb_file_that_another_process_holds(tmp_path: Path, scaled: None, mode: str) -> None:
    institutions = plain_senders(tmp_path / "institutions", "first")
    settings = Settings.model_validate({"home": tmp_path / "home", "institutions_path": institutions, **QUICK})
    with open_instance(tmp_path / "dagster") as instance:
        platform = Platform(settings, instance)
        store: DuckDBStore = platform.resources["warehouse"].store
        store._file._wait_seconds = 0.2
        holders: list[subprocess.Popen[bytes]] = []

        def hold() -> None:
            command = [sys.executable, "-c", HOLDER, str(settings.duckdb_file), mode]
            holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            assert holders[0].stdout is not None and holders[0].stdout.readline() == b"held\n"

        def release() -> None:
            holders[0].kill()
            holders[0].communicate()

        try:
            why = goes_through_an_outage(Clockwork(platform), Point(DuckDBStore, "replace"), hold, release)
        finally:
            for holder in holders:
                holder.kill()
    assert f"open in process {holders[0].pid} of " in why and sys.executable in why and "read_only=" in why
    assert "expected the file to be free" in why and "tried again by itself" in why


@pytest.mark.long
def test_a_snowflake_that_is_away(tmp_path: Path, snowflake_emulator: SnowflakeAccount, scaled: None) -> None:
    account = snowflake_emulator
    institutions = plain_senders(tmp_path / "institutions", "first")
    assert account.host and account.port and account.password
    with run_gate(account.host, account.port) as gate, open_instance(tmp_path / "dagster") as instance:
        settings = Settings.model_validate({
            "home": tmp_path / "home", "institutions_path": institutions, "warehouse": "snowflake",
            "snowflake_account": account.account, "snowflake_user": account.user,
            "snowflake_password": account.password, "snowflake_database": account.database,
            "snowflake_host": account.host, "snowflake_port": gate.port, "snowflake_protocol": "http",
            **QUICK, "retry_attempts": 2,
        })  # fmt: skip
        platform = Platform(settings, instance)
        store: SnowflakeStore = platform.resources["warehouse"].store
        store.initialise()
        goes_through_an_outage(Clockwork(platform), Point(SnowflakeStore, "replace"), gate.shut, gate.open)
