"""The record of loads: one row per committed load, kept for a while."""

from __future__ import annotations

import uuid

import pytest

from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store


def test_a_load_is_recorded_under_the_token_of_its_receipt(postgres_database: PostgresDatabase) -> None:
    written = new_store(postgres_database.url).replace(SAMPLES, [key(1), key(0)], batches(rows(key(0))))
    found = postgres_database.rows("SELECT token, table_name, partitions, row_count FROM institution_a._loads")
    assert found == [(uuid.UUID(str(written.details["load_token"])), "samples", [str(key(0)), str(key(1))], 6)]


def test_a_load_that_failed_is_not_recorded(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    with pytest.raises(ZeroDivisionError):
        store.replace(SAMPLES, [key(0)], (1 // 0 for _ in range(1)))
    assert postgres_database.rows("SELECT FROM institution_a._loads") == []


def test_old_records_are_forgotten_without_waiting_for_others(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    store.replace(SAMPLES, [key(0)], [])
    with postgres_database.connect() as connection:
        connection.execute("UPDATE institution_a._loads SET loaded_at = now() - interval '31 days'")
    with postgres_database.connect(autocommit=False) as other:
        other.execute("SELECT FROM institution_a._loads FOR UPDATE")
        store.replace(SAMPLES, [key(1)], [])
    assert postgres_database.rows("SELECT count(*) FROM institution_a._loads") == [(2,)]
    store.replace(SAMPLES, [key(1)], [])
    assert postgres_database.rows("SELECT count(*) FROM institution_a._loads") == [(2,)]
