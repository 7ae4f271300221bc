"""A load is complete or absent, whatever happens on the way, and the answer says which."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from etl_platform.errors import StorageError, StorageUnavailableError, UnknownNameError
from etl_platform.stores.snowflake import statements
from etl_platform.stores.snowflake.account import SnowflakeAccount, open_session
from etl_platform.stores.snowflake.errors import OutcomeUnknownError
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform_tests.stores.snowflake.faults import break_at, lose_answer, lose_statement
from etl_platform_tests.stores.stores import SCHEMAS
from etl_platform_tests.stores.tables import SAMPLES, A, B, batches, key, rows, stored
from etl_platform_tests.support.quick import QUICK
from etl_platform_tests.support.snowflake import Recorder

OLD, NEW = rows(key(0)), rows(key(0), start=100, count=9)


@pytest.fixture
def filled(snowflake_store: SnowflakeStore) -> SnowflakeStore:
    snowflake_store.replace(SAMPLES, [key(0)], batches(OLD))
    return snowflake_store


def test_commit_whose_answer_is_lost_is_found_and_not_repeated(
    filled: SnowflakeStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = break_at(monkeypatch, "COMMIT", lose_answer)
    written = filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert met and stored(filled, [key(0)]).equals(NEW)
    assert len(recorder.sent("COPY")) == 1, "loaded once"
    assert str(written.details["load_token"]) in str(recorder.statements)


def test_commit_that_never_arrived_is_found_out_and_the_load_repeated(
    filled: SnowflakeStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = break_at(monkeypatch, "COMMIT", lose_statement)
    filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert met and stored(filled, [key(0)]).equals(NEW)
    assert len(recorder.sent("COPY")) == 2
    loads = [values[0] for sql, values, _ in recorder.statements if '"_LOADS" ("LOAD_TOKEN"' in sql and values]
    assert len(set(loads)) == 2, "each attempt has a token of its own"


def test_unreadable_outcome_is_told_with_the_token_and_not_retried(
    filled: SnowflakeStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_at(monkeypatch, "COMMIT", lose_answer)
    break_at(monkeypatch, 'SELECT "ROW_COUNT"', lose_statement, times=99)
    with pytest.raises(OutcomeUnknownError, match=r"LOAD_TOKEN [0-9a-f]{32} in .*_LOADS"):
        filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert len(recorder.sent("COPY")) == 1


@pytest.mark.parametrize("statement", ["PUT", "UPDATE", "DELETE", "COPY", 'INSERT INTO "INSTITUTION_A"."_LOADS"'])
def test_fault_at_any_statement_leaves_the_old_rows_to_readers_and_is_retried(
    filled: SnowflakeStore, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    seen: list[pl.DataFrame] = []

    def look_then_fail(send: Callable[[], Any]) -> Any:
        seen.append(stored(filled, [key(0)]))
        return lose_answer(send)

    break_at(monkeypatch, statement, look_then_fail)
    filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert seen[0].equals(OLD)
    assert stored(filled, [key(0)]).equals(NEW)


def test_a_service_that_stays_away_is_given_up_by_name_and_a_refusal_is_called_once(
    filled: SnowflakeStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = break_at(monkeypatch, "COPY", lose_statement, times=99)
    with pytest.raises(StorageUnavailableError, match=r"gave up after 5 tries in [\d.]+ s; last answer: ") as caught:
        filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert (len(met), caught.value.tries, caught.value.service) == (5, 5, "warehouse")
    monkeypatch.undo()
    met = break_at(monkeypatch, "COPY", _refuse, times=99)
    with pytest.raises(StorageError, match="a privilege is missing"):
        filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert len(met) == 1
    assert stored(filled, [key(0)]).equals(OLD)


def test_a_reader_whose_first_answer_is_lost_asks_again(
    filled: SnowflakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = break_at(monkeypatch, 'SELECT "', lose_answer)
    assert stored(filled, [key(0)]).equals(OLD) and len(met) == 1


def test_an_outcome_that_can_be_asked_later_is_asked_before_anything_is_sent_again(
    filled: SnowflakeStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_at(monkeypatch, "COMMIT", lose_answer)
    met = break_at(monkeypatch, 'SELECT "ROW_COUNT"', lose_statement, times=2)
    filled.replace(SAMPLES, [key(0)], batches(NEW))
    assert len(met) == 2 and len(recorder.sent("COPY")) == 1
    assert stored(filled, [key(0)]).equals(NEW)


def test_a_probe_of_an_account_that_is_away_or_silent_ends_within_seconds(snowflake_emulator: SnowflakeAccount) -> None:
    SnowflakeStore(snowflake_emulator, SCHEMAS).probe()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = SnowflakeStore(dataclasses.replace(snowflake_emulator, port=silent.getsockname()[1]), SCHEMAS)
        begun = time.monotonic()
        with pytest.raises(StorageUnavailableError) as caught:
            store.probe()
        assert caught.value.service == "warehouse" and time.monotonic() - begun < 10


def test_copy_that_loads_fewer_rows_than_sent_is_rolled_back(
    filled: SnowflakeStore, snowflake_account: SnowflakeAccount, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = statements.copy
    # The last of the files is left out: COPY succeeds, with fewer rows than were sent.
    first_file = "/part-00000.parquet FILE_FORMAT"
    monkeypatch.setattr(statements, "copy", lambda *names: copy(*names).replace(" FILE_FORMAT", first_file))
    store = SnowflakeStore(snowflake_account, SCHEMAS, file_bytes=1, row_group_bytes=1)
    with pytest.raises(StorageError, match=r"COPY loaded 5 rows of 1 files; expected 9 rows of 2 files"):
        store.replace(SAMPLES, [key(0)], batches(NEW[:5], NEW[5:]))
    assert recorder.sent("ROLLBACK")
    assert stored(filled, [key(0)]).equals(OLD)


def test_two_institutions_are_replaced_together_or_not_at_all(
    filled: SnowflakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.replace(SAMPLES, [key(0, B)], batches(rows(key(0, B))))
    break_at(monkeypatch, 'COPY INTO "INSTITUTION_B"', _refuse)
    with pytest.raises(StorageError, match="a privilege is missing"):
        filled.replace(SAMPLES, [key(0), key(0, B)], batches(NEW, rows(key(0, B), start=100)))
    assert stored(filled, [key(0)]).equals(OLD)
    assert stored(filled, [key(0, B)]).equals(rows(key(0, B)))


def test_two_writers_of_one_partition_both_end_and_one_version_stands(
    filled: SnowflakeStore, snowflake_account: SnowflakeAccount
) -> None:
    versions = [rows(key(0), start=1000 * n, count=5 + n) for n in (1, 2)]
    failures: list[BaseException] = []
    together = threading.Barrier(2)

    def write(version: pl.DataFrame) -> None:
        try:
            together.wait()
            SnowflakeStore(snowflake_account, SCHEMAS, retries=QUICK).replace(SAMPLES, [key(0)], batches(version))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert any(stored(filled, [key(0)]).equals(version) for version in versions)


def test_load_whose_lock_stays_taken_fails_cleanly(snowflake_emulator: SnowflakeAccount) -> None:
    store = SnowflakeStore(snowflake_emulator, SCHEMAS, retries=QUICK)
    store.replace(SAMPLES, [key(0)], batches(OLD))
    with open_session(snowflake_emulator, "test") as other:
        other.execute("BEGIN TRANSACTION")
        other.execute(statements.lock(SCHEMAS[A], 1), "other", SAMPLES.name, str(key(0)))
        with pytest.raises(StorageUnavailableError, match="another load of the same table holds the lock"):
            store.replace(SAMPLES, [key(0)], batches(NEW))
        other.execute("ROLLBACK")
    assert stored(store, [key(0)]).equals(OLD)


def test_every_load_is_on_record_and_leaves_no_scratch_file(
    snowflake_account: SnowflakeAccount, tmp_path: Path
) -> None:
    store = SnowflakeStore(snowflake_account, SCHEMAS, scratch=tmp_path, file_bytes=1, row_group_bytes=1)
    written = store.replace(SAMPLES, [key(0), key(1)], batches(rows(key(0)), rows(key(1))))
    assert written.details["files"] == 2 and written.bytes and not list(tmp_path.iterdir())
    with open_session(snowflake_account, "test") as session:
        recorded = session.rows('SELECT * FROM "INSTITUTION_A"."_LOADS"')
    assert [(row["LOAD_TOKEN"], row["ROW_COUNT"], row["PARTITION_COUNT"]) for row in recorded] == [
        (written.details["load_token"], 12, 2)
    ]


def test_unknown_institution_is_named_with_near_matches(snowflake_account: SnowflakeAccount) -> None:
    store = SnowflakeStore(snowflake_account, {"institution_x": "x"})
    with pytest.raises(UnknownNameError, match=f"{A}.*institution_x"):
        store.replace(SAMPLES, [key(0)], [])


def _refuse(send: Callable[[], Any]) -> Any:
    from snowflake.connector.errors import ProgrammingError

    raise ProgrammingError(msg="Insufficient privileges to operate on table 'SAMPLES'", errno=3001, sqlstate="42501")
