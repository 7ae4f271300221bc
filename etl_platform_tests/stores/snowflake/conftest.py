"""A Snowflake store with a fresh database for each test: on the emulator, and on an account when asked."""

from __future__ import annotations

import pytest

from etl_platform.stores.snowflake.account import SnowflakeAccount
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform_tests.stores.stores import SCHEMAS
from etl_platform_tests.support.quick import QUICK


@pytest.fixture(
    params=[
        pytest.param("snowflake_emulator", id="emulator"),
        pytest.param("snowflake_real_account", id="account", marks=pytest.mark.snowflake_account),
    ]
)
def snowflake_account(request: pytest.FixtureRequest) -> SnowflakeAccount:
    account: SnowflakeAccount = request.getfixturevalue(request.param)
    return account


@pytest.fixture
def snowflake_store(snowflake_account: SnowflakeAccount) -> SnowflakeStore:
    return SnowflakeStore(snowflake_account, SCHEMAS, retries=QUICK)
