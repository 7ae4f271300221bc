"""A Snowflake store on the emulator, with a fresh database for each test."""

from __future__ import annotations

import pytest

from etl_platform.io_managers.snowflake.account import SnowflakeAccount
from etl_platform.io_managers.snowflake.store import SnowflakeStore
from etl_platform_tests.io_managers.stores import SCHEMAS


@pytest.fixture
def snowflake_store(snowflake_emulator: SnowflakeAccount) -> SnowflakeStore:
    return SnowflakeStore(snowflake_emulator, SCHEMAS)
