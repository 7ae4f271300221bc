"""Postgres stores for tests: quick to give up, over a database of the test server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr

from etl_platform.retries import Retries
from etl_platform.stores.postgres.store import PostgresStore

IMPATIENT = Retries(attempts=3, first_wait_seconds=0.01, longest_wait_seconds=0.05)


def open_store(
    url: str, institutions: Sequence[str] | Mapping[str, str] = ("institution_a", "institution_b"), **options: Any
) -> PostgresStore:
    """A store whose institutions have schemas of their own names, unless given; nothing is created yet."""
    schemas = institutions if isinstance(institutions, Mapping) else {code: code for code in institutions}
    return PostgresStore(SecretStr(url), schemas, **{"retries": IMPATIENT, **options})


def new_store(url: str, **options: Any) -> PostgresStore:
    """A store whose schemas and roles exist."""
    store = open_store(url, **options)
    store.initialise()
    return store
