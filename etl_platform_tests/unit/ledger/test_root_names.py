"""Institutions with a landing of their own are told apart by its name, also in what is on record already."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from etl_platform.ledger.database import LedgerDatabase
from etl_platform.ledger.root_names import name_roots
from etl_platform.ledger.tables import landing_objects, schema_drift, withdrawals
from etl_platform_tests.support.ledgers import ledger_url, old_ledger_url, postgres_server  # noqa: F401

SHARED = "landing"
_o = landing_objects.c


def roots(connection: sa.Connection, table: sa.Table) -> set[tuple[str | None, str]]:
    return {(row.institution, row.root) for row in connection.execute(sa.select(table.c.institution, table.c.root))}


def objects(connection: sa.Connection) -> dict[int, dict[str, Any]]:
    return {row["id"]: dict(row) for row in connection.execute(sa.select(landing_objects)).mappings()}


def test_objects_and_schemas_get_the_root_of_their_institution(old_ledger_url: str) -> None:
    own = {"institution_a": SHARED, "institution_c": "institution_c", "institution_d": "institution_d"}
    database = LedgerDatabase(old_ledger_url)
    with database.write() as connection:
        before = objects(connection)
        assert name_roots(connection, own) == 2, "both of institution_c; those of institution_d were told apart before"
        assert roots(connection, schema_drift) == {*own.items(), ("institution_b", SHARED)}
        assert roots(connection, landing_objects) == {*own.items(), ("institution_b", SHARED), (None, SHARED)}
        assert {n: row | {"root": ""} for n, row in objects(connection).items()} == {
            n: row | {"root": ""} for n, row in before.items()
        }
        assert name_roots(connection, own) == 0
        assert name_roots(connection, {}) == 0
    database.close()


def test_objects_that_fall_together_are_one_and_the_loaded_row_stays(old_ledger_url: str) -> None:
    """An institution that turns out to deliver into the shared landing, under a key and content of another's."""
    database = LedgerDatabase(old_ledger_url)
    with database.write() as connection:
        connection.execute(sa.update(landing_objects).where(_o.id == 28).values(state="seen", claimed_by=None))
        withdrawal = dict.fromkeys(("root", "key", "identity", "reason", "requested_by"), "x")
        moment = objects(connection)[1]["updated_at"]
        connection.execute(sa.insert(withdrawals), {**withdrawal, "object_id": 28, "requested_at": moment})

        name_roots(connection, {"institution_d": SHARED})

        found = objects(connection)
        assert 28 not in found and found[26]["state"] == "loaded" and found[26]["is_published"]
        # Equal keys, other contents: the one modified last is current.
        assert (found[27]["state"], found[29]["state"]) == ("superseded", "loaded")
        assert connection.execute(sa.select(withdrawals.c.object_id, withdrawals.c.root)).all() == [(26, SHARED)]
        assert {root for _, root in roots(connection, schema_drift)} == {SHARED}
    database.close()
