"""Fixtures of the IO manager tests: every store of the registry in turn, and a table with every type."""

from __future__ import annotations

import pytest

from etl_platform.io_managers.store import TableStore
from etl_platform_tests.io_managers.stores import STORES, StoreFactory
from etl_platform_tests.support.postgres import postgres_database, postgres_server  # noqa: F401
from etl_platform_tests.support.s3 import s3_bucket, s3_server  # noqa: F401


@pytest.fixture(params=sorted(STORES))
def make_store(request: pytest.FixtureRequest) -> StoreFactory:
    """The factory of one store of the registry; the test runs once for each."""
    return STORES[request.param]


@pytest.fixture
def store(make_store: StoreFactory, request: pytest.FixtureRequest) -> TableStore:
    return make_store(request)
