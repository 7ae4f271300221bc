"""The statements that reach the connector are those that were reviewed (`expected/*.sql`)."""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from etl_platform.stores.query_tag import query_run
from etl_platform.stores.snowflake.account import SnowflakeAccount
from etl_platform.stores.snowflake.roles import initialise_statements
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform_tests.stores.stores import SCHEMAS
from etl_platform_tests.stores.tables import SAMPLES, TOTALS, A, B, batches, key, rows, stored
from etl_platform_tests.support.snowflake import Recorder, assert_expected


def test_first_load_makes_the_table_and_loads_in_one_transaction(
    snowflake_store: SnowflakeStore, recorder: Recorder
) -> None:
    with query_run("run-of-the-test"):
        snowflake_store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert_expected("first_load", recorder.text())


def test_later_load_of_scattered_partitions_changes_no_table(
    snowflake_store: SnowflakeStore, recorder: Recorder
) -> None:
    snowflake_store.replace(SAMPLES, [key(0), key(0, B)], batches(rows(key(0)), rows(key(0, B))))
    recorder.statements.clear()
    partitions = [key(3, B), key(0), key(2)]
    snowflake_store.replace(SAMPLES, partitions, batches(*map(rows, partitions)))
    assert_expected("scattered_load", recorder.text())
    assert not recorder.sent("ALTER") and not recorder.sent("CREATE OR REPLACE")


def test_empty_load_deletes_without_stage_or_copy(snowflake_store: SnowflakeStore, recorder: Recorder) -> None:
    snowflake_store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    recorder.statements.clear()
    snowflake_store.replace(SAMPLES, [key(0)], [])
    assert_expected("empty_load", recorder.text())


def test_shared_table_lives_in_its_own_schema_without_institution(
    snowflake_store: SnowflakeStore, recorder: Recorder
) -> None:
    snowflake_store.replace(TOTALS, [key(0, None)], batches(rows(key(0, None), table=TOTALS), table=TOTALS))
    assert_expected("shared_load", recorder.text())


def test_read_asks_for_the_wanted_columns_and_partitions_only(
    snowflake_store: SnowflakeStore, recorder: Recorder
) -> None:
    partitions = [key(0), key(1), key(1, B)]
    snowflake_store.replace(SAMPLES, partitions, batches(*map(rows, partitions)))
    recorder.statements.clear()
    assert stored(snowflake_store, partitions, columns=["id", "amount"]).height == 18
    assert_expected("read", recorder.text())


def test_each_institution_is_loaded_and_read_under_its_own_role(
    snowflake_emulator: SnowflakeAccount, recorder: Recorder
) -> None:
    store = SnowflakeStore(replace(snowflake_emulator, database="roles"), SCHEMAS, with_roles=True)
    store.initialise()
    recorder.statements.clear()
    partitions = [key(0, A), key(0, B)]
    store.replace(SAMPLES, partitions, batches(*map(rows, partitions)))
    assert len(list(store.read(SAMPLES, partitions, ["id"]))) == 2
    assert_expected("load_with_roles", recorder.text())
    assert not recorder.sent("CREATE SCHEMA"), "schemas are the administrator's where roles are on"


def test_init_makes_schemas_roles_and_grants() -> None:
    account = SnowflakeAccount(
        account="acme-eu",
        user="etl_service",
        password=SecretStr("x"),
        database="lake",
        warehouse="load_wh",
        role="etl",
    )
    statements = initialise_statements(account, [*SCHEMAS.values(), "shared"], roles=True)
    assert_expected("initialise", "".join(f"{statement};\n" for statement in statements))
    assert initialise_statements(account, ["a"], roles=False) == ['CREATE SCHEMA IF NOT EXISTS "A"']
