"""Fixtures of the IO manager tests: every store of the registry in turn, and a table with every type."""

from __future__ import annotations

import pytest

from etl_platform.stores.store import TableStore
from etl_platform_tests.stores.stores import MARKS, STORES, StoreFactory
from etl_platform_tests.support.postgres import postgres_database, postgres_server  # noqa: F401
from etl_platform_tests.support.s3 import s3_bucket, s3_server  # noqa: F401
from etl_platform_tests.support.snowflake import (  # noqa: F401
    recorder,
    snowflake_emulator,
    snowflake_real_account,
    snowflake_server,
)


@pytest.fixture(params=[pytest.param(name, marks=MARKS.get(name, ())) for name in sorted(STORES)])
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """The factory of one store of the registry; the test runs once for each."""
    return STORES[request.param]


@pytest.fixture
def store(make_store: StoreFactory, request: pytest.FixtureRequest) -> TableStore:
    return make_store(request)
