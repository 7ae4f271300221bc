"""A transaction can reach one schema: that of its institution. Proven against the database, not the code."""

from __future__ import annotations

import itertools
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from etl_platform.contracts.table import PartitionKey
from etl_platform.errors import ConfigurationError, StorageError, UnknownNameError
from etl_platform.stores.postgres.roles import role_of
from etl_platform_tests.stores.tables import DAYS, SAMPLES, TOTALS, batches, key, rows, stored
from etl_platform_tests.support.postgres import PostgresDatabase
from etl_platform_tests.support.postgres_store import new_store, open_store

CODES = ("institution_a", "institution_b", "institution_c")
TABLES = (SAMPLES, replace(SAMPLES, name="others"))


@pytest.fixture
def login(postgres_database: PostgresDatabase) -> str:
    """URL of an ordinary user that may become the institutions' roles, after an administrator's `initialise`."""
    name = f"loader_{postgres_database.name}"
    with postgres_database.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'loader-secret'").format(sql.Identifier(name)))
    open_store(postgres_database.url, CODES).initialise(login=name)
    return postgres_database.url_as(name, "loader-secret")


@pytest.fixture
def filled(login: str) -> str:
    """The same, with rows of everybody in every table."""
    store = open_store(login, CODES)
    for table, code in itertools.product(TABLES, CODES):
        store.replace(table, [key(0, code)], batches(rows(key(0, code))))
    store.replace(TOTALS, [key(0, None)], batches(rows(key(0, None), table=TOTALS), table=TOTALS))
    return login


def test_no_institution_s_role_reaches_another_s_tables(filled: str) -> None:
    schemas = [*CODES, "shared"]
    reached = []
    with psycopg.connect(filled, autocommit=True) as connection:
        for own, other in itertools.permutations(schemas, 2):
            connection.execute(f"SET ROLE {role_of(own)}".encode())
            for name in (
                ("totals", "_loads") if other == "shared" else ("samples", "samples_current", "others", "_loads")
            ):
                for statement in (
                    f"SELECT FROM {other}.{name} LIMIT 1",
                    f"INSERT INTO {other}.{name} DEFAULT VALUES",
                    f"DELETE FROM {other}.{name}",
                    f"TRUNCATE {other}.{name}",
                    f"DROP TABLE {other}.{name}",
                    f"CREATE TABLE {other}.{name}_2 (n int)",
                ):
                    try:
                        connection.execute(statement.encode())
                        reached.append((own, statement))
                    except psycopg.errors.InsufficientPrivilege:
                        pass
            connection.execute("RESET ROLE")
    assert not reached


def test_the_login_itself_reaches_no_table(filled: str) -> None:
    with psycopg.connect(filled, autocommit=True) as connection:
        for schema, name in [*itertools.product(CODES, ("samples", "others")), ("shared", "totals")]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT FROM {schema}.{name}".encode())


def test_faulty_code_that_takes_a_wrong_schema_is_refused_by_the_database(filled: str) -> None:
    confused, sound = open_store(filled, CODES), open_store(filled, CODES)
    for (own, other), table in itertools.product(itertools.permutations(CODES, 2), TABLES):
        confused._role = lambda schema, own=own: role_of(own)  # type: ignore[method-assign, misc]
        with pytest.raises(StorageError, match=r"42501.*warehouse init"):
            confused.replace(table, [key(0, other)], [])
        with pytest.raises(StorageError, match="42501"):
            list(confused.read(table, [key(0, other)]))
        assert stored(sound, [key(0, other)], table=table).equals(rows(key(0, other)))


def test_rows_of_several_institutions_go_to_their_own_schemas(login: str, postgres_database: PostgresDatabase) -> None:
    keys = [key(0, code) for code in CODES]
    open_store(login, CODES).replace(SAMPLES, keys, batches(*map(rows, keys)))
    for code in CODES:
        query = f"SELECT institution, count(*) FROM {code}.samples GROUP BY 1"
        assert postgres_database.rows(query) == [(code, 6)]


def test_initialise_twice_changes_nothing_and_check_says_what_is_missing(postgres_database: PostgresDatabase) -> None:
    store = open_store(postgres_database.url)
    with pytest.raises(StorageError, match=r"institution_a, institution_b, shared.*warehouse init"):
        store.check()
    store.initialise()
    store.initialise()
    assert "schemas institution_a, institution_b, shared" in store.check()
    stranger = f"stranger_{postgres_database.name}"
    with postgres_database.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(stranger)))
    with pytest.raises(StorageError, match="no right to write it"):
        open_store(postgres_database.url_as(stranger, "secret")).check()


def test_an_administrator_need_not_be_superuser(postgres_database: PostgresDatabase) -> None:
    admin, code = f"admin_{postgres_database.name}", f"own_{postgres_database.name}"
    with postgres_database.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'secret'").format(sql.Identifier(admin)))
        connection.execute(
            sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
                sql.Identifier(postgres_database.name), sql.Identifier(admin)
            )
        )
        # Roles belong to the server, and other tests may have made this one as superuser.
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'etl_shared'").fetchone() is None:
            connection.execute("CREATE ROLE etl_shared")
        connection.execute(sql.SQL("GRANT etl_shared TO {} WITH ADMIN OPTION").format(sql.Identifier(admin)))
    store = open_store(postgres_database.url_as(admin, "secret"), (code,))
    store.initialise()
    store.initialise()
    store.replace(SAMPLES, [key(0, code)], batches(rows(key(0, code))))
    assert stored(store, [key(0, code)]).equals(rows(key(0, code)))


def test_without_roles_the_url_s_user_owns_everything(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url, roles=False)
    store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    assert stored(store, [key(0)]).equals(rows(key(0)))
    assert "shared" in store.check()


@pytest.mark.parametrize(
    "schemas",
    [
        {"a": 'x"; DROP SCHEMA public; --'},
        {"a": "Upper"},
        {"a": "x" * 64},
        {"a": "x" * 60},
        {"a": "shared"},
        {"a": "public"},
        {"a": "pg_temp"},
        {"a": "same", "b": "same"},
    ],
    ids=["injection", "upper case", "too long", "role too long", "shared", "public", "system", "two of one"],
)
def test_hostile_schema_names_are_refused_before_anything_is_sent(schemas: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        open_store("postgresql://localhost:1/none", schemas)


def test_hostile_table_and_column_names_are_refused(postgres_database: PostgresDatabase) -> None:
    store = new_store(postgres_database.url)
    first, *others = SAMPLES.columns
    for name in ('x"y', "x y", "x;", "X", "x" * 64, "ü"):
        for table in (
            replace(SAMPLES, name=name),
            replace(SAMPLES, columns=(*others, replace(first, name=name)), key=()),
        ):
            with pytest.raises(ConfigurationError, match="SQL name"):
                store.replace(table, [key(0)], [])


def test_hostile_institution_codes_are_only_values(postgres_database: PostgresDatabase) -> None:
    code = "o'brien\"; DROP SCHEMA hostile CASCADE; --{},"
    store = new_store(postgres_database.url, institutions={code: "hostile"})
    partition = PartitionKey(DAYS[0], code)
    for _ in range(2):
        store.replace(SAMPLES, [partition], batches(rows(partition)))
    assert stored(store, [partition]).equals(rows(partition))


def test_an_institution_without_schema_is_named(postgres_database: PostgresDatabase) -> None:
    with pytest.raises(UnknownNameError, match=r"institution_x.*institution_a or institution_b"):
        open_store(postgres_database.url).replace(SAMPLES, [key(0, "institution_x")], [])
