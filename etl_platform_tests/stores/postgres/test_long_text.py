"""Text of any length is a value like any other, also in a key: no index may stand in the way of a load."""

from __future__ import annotations

import secrets

from etl_platform.contracts import BUILT_IN
from etl_platform.contracts.ddl import create_statements
from etl_platform_tests.support.postgres import PostgresDatabase, postgres_database, postgres_server  # noqa: F401


def test_a_key_of_any_length_can_be_stored(postgres_database: PostgresDatabase) -> None:
    long = secrets.token_hex(50_000)
    insert = (
        "INSERT INTO acme.transactions VALUES"
        " (%s, 'a', now(), 1, 'CHF', 'fee', NULL, 'f', 1, 1, now(), NULL, current_date, 'acme')"
    )
    with postgres_database.connect() as connection:
        connection.execute("CREATE SCHEMA acme")
        for statement in create_statements(BUILT_IN["transactions"].silver, "acme", "postgres"):
            connection.execute(statement.encode())
        connection.execute(insert, (long,))
    assert postgres_database.rows("SELECT transaction_id FROM acme.transactions") == [(long,)]
