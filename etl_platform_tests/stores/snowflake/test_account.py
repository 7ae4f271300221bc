"""Sessions: every way to log in, no secret in any text, and a refusal that says what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from etl_platform.errors import ConfigurationError, StorageError, StorageUnavailableError
from etl_platform.stores.snowflake.account import SnowflakeAccount, open_session
from etl_platform.stores.snowflake.errors import TableMissingError, translate
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform_tests.stores.stores import SCHEMAS
from etl_platform_tests.support.snowflake import WRONG_PASSWORD


def _private_key(password: str) -> SecretStr:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encryption = serialization.BestAvailableEncryption(password.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return SecretStr(pem.decode())


def test_key_pair_and_oauth_open_sessions_too(snowflake_emulator: SnowflakeAccount) -> None:
    keyed = replace(
        snowflake_emulator,
        password=None,
        private_key=_private_key("of-the-key"),
        private_key_password=SecretStr("of-the-key"),
    )
    for account in (keyed, replace(snowflake_emulator, password=None, oauth_token=SecretStr("a-token"))):
        with open_session(account, "test") as session:
            assert session.execute("SELECT 1").fetchall() == [(1,)]


def test_session_is_in_utc_exact_and_bounded(snowflake_emulator: SnowflakeAccount) -> None:
    arguments = snowflake_emulator.resource_arguments()
    extra = arguments["additional_snowflake_connection_args"]
    assert extra["session_parameters"]["TIMEZONE"] == "UTC" and extra["arrow_number_to_decimal"] is True
    assert extra["session_parameters"]["LOCK_TIMEOUT"] == 600 and arguments["network_timeout"] == 10


def test_no_secret_in_repr_or_errors(snowflake_emulator: SnowflakeAccount) -> None:
    account = replace(snowflake_emulator, password=SecretStr("s3cret"), private_key_password=SecretStr("k3y"))
    assert "s3cret" not in repr(account) and "k3y" not in repr(account)
    error = translate(OSError("could not send s3cret with k3y"), "test", account.redact)
    assert "s3cret" not in str(error) and "k3y" not in str(error)
    with (
        pytest.raises(ConfigurationError) as caught,
        open_session(replace(account, password=None, private_key=SecretStr("not-a-key")), "test"),
    ):
        raise AssertionError("opened")
    assert "not-a-key" not in str(caught.value) and "PEM" in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "found"),
    [
        ({}, "no credential"),
        ({"password": SecretStr("a"), "oauth_token": SecretStr("b")}, "password and oauth_token given"),
    ],
)
def test_exactly_one_credential_is_asked_for(credentials: dict[str, SecretStr], found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        SnowflakeAccount(account="a", user="u", database="d", **credentials)  # type: ignore[arg-type]


def test_wrong_password_is_permanent_and_names_the_user(snowflake_emulator: SnowflakeAccount) -> None:
    with (
        pytest.raises(StorageError, match=r"account emulator user etl.*user or password is wrong.*correct the user"),
        open_session(replace(snowflake_emulator, password=SecretStr(WRONG_PASSWORD)), "test"),
    ):
        raise AssertionError("opened")


def test_unreachable_account_may_be_tried_again(snowflake_emulator: SnowflakeAccount) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        pytest.raises(StorageUnavailableError, match="no answer"),
        open_session(replace(snowflake_emulator, port=port, login_timeout=1), "test"),
    ):
        raise AssertionError("opened")


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (3001, StorageError, "warehouse init"),
        (606, StorageError, "RESUME"),
        (90073, StorageError, "resource monitor"),
        (630, StorageError, "statement_timeout"),
        (2003, TableMissingError, "may not see it"),
        (100_038, StorageError, "query tag"),
        (625, StorageUnavailableError, "lock"),
        (390_114, StorageUnavailableError, "expired"),
        (253_003, StorageUnavailableError, "no answer"),
        (290_503, StorageUnavailableError, "no answer"),
    ],
)
def test_refusals_are_sorted_into_wait_and_act(number: int, kind: type[Exception], says: str) -> None:
    from snowflake.connector.errors import ProgrammingError

    error = translate(ProgrammingError(msg="as Snowflake says it", errno=number), "load of silver/x", str)
    assert type(error) is kind
    assert says in str(error) and "as Snowflake says it" in str(error) and str(error).startswith("load of silver/x")


def test_check_says_who_answers_and_which_schemas_are_missing(snowflake_emulator: SnowflakeAccount) -> None:
    store = SnowflakeStore(snowflake_emulator, SCHEMAS)
    assert "schemas not there yet: INSTITUTION_A, INSTITUTION_B" in store.check()
    store.initialise()
    text = store.check()
    assert "all 2 schemas there" in text and "emulator" in text and "password-never-shown" not in text


def test_loading_the_store_does_not_load_the_connector() -> None:
    program = (
        "import sys, etl_platform.stores.snowflake.store as _\n"
        "print([m for m in sys.modules if m.startswith(('snowflake.connector', 'dagster_snowflake'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
