"""A stored table follows its contract where nothing can be lost, and is left alone where something could."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from etl_platform.contracts.table import Column
from etl_platform.errors import SchemaMismatchError
from etl_platform.stores.snowflake.account import SnowflakeAccount, open_session
from etl_platform.stores.snowflake.store import SnowflakeStore
from etl_platform_tests.stores.tables import SAMPLES, batches, key, rows, stored
from etl_platform_tests.support.snowflake import Recorder, assert_expected

NOTE = Column("note", pl.Decimal(10, 2), True, "Gained later. It's \\ new.")
WIDER = replace(SAMPLES, columns=(*SAMPLES.columns[:-2], NOTE, *SAMPLES.columns[-2:]))


def test_nullable_column_that_the_contract_gained_is_added(snowflake_store: SnowflakeStore, recorder: Recorder) -> None:
    snowflake_store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    before = stored(snowflake_store, [key(0)], table=WIDER)
    assert before["note"].is_null().all() and before.height == 6, "readable before the first load that has it"
    assert stored(snowflake_store, [key(0)], table=WIDER, columns=["note"]).height == 6
    recorder.statements.clear()
    frame = rows(key(1)).with_columns(note=pl.lit("1.25").cast(pl.Decimal(10, 2))).select(WIDER.polars_schema.names())
    snowflake_store.replace(WIDER, [key(1)], batches(frame, table=WIDER))
    assert_expected("added_column", "".join(f"{sql};\n" for sql in recorder.sent("ALTER") + recorder.sent("CREATE OR")))
    assert stored(snowflake_store, [key(1)], table=WIDER).equals(frame)
    assert stored(snowflake_store, [key(0)], table=WIDER)["note"].is_null().all()


@pytest.mark.parametrize(
    ("changed", "found", "statement"),
    [
        (
            {"amount": Column("amount", pl.Decimal(20, 8), True, "")},
            r"amount is NUMBER\(18,8\) instead of NUMBER\(20,8\)",
            r'ALTER COLUMN "AMOUNT" SET DATA TYPE NUMBER\(20,8\);',
        ),
        ({"text": Column("text", pl.String(), False, "")}, "text allows null", 'ALTER COLUMN "TEXT" SET NOT NULL;'),
        ({"flag": None}, "FLAG is not in the contract", 'DROP COLUMN "FLAG";'),
        (
            {"flag": Column("fresh", pl.Int32(), False, "")},
            "fresh is missing and must not be null",
            r'ADD COLUMN "FRESH" NUMBER\(10,0\); fill it;',
        ),
    ],
    ids=["type", "nullability", "surplus", "required"],
)
def test_other_differences_are_named_with_the_statement_that_settles_them(
    snowflake_store: SnowflakeStore, changed: dict[str, Column | None], found: str, statement: str
) -> None:
    snowflake_store.replace(SAMPLES, [key(0)], batches(rows(key(0))))
    other = replace(SAMPLES, columns=tuple(c for c in (changed.get(c.name, c) for c in SAMPLES.columns) if c))
    with pytest.raises(SchemaMismatchError, match=f"{found}.*{statement}"):
        snowflake_store.replace(other, [key(0)], [])
    with pytest.raises(SchemaMismatchError, match=f"{found}.*{statement}"):
        list(snowflake_store.read(other, [key(0)]))
    assert stored(snowflake_store, [key(0)]).equals(rows(key(0)))


def test_current_view_shows_the_latest_delivery_of_each_key(
    snowflake_store: SnowflakeStore, snowflake_account: SnowflakeAccount
) -> None:
    partitions = [key(0), key(1)]
    snowflake_store.replace(SAMPLES, partitions, batches(rows(key(0), count=4), rows(key(1), count=2)))
    with open_session(snowflake_account, "test") as session:
        # As people write it: unquoted, lower case.
        found = session.execute("select id, business_date from institution_a.samples_current order by id").fetchall()
    days = [partition.business_date for partition in partitions]
    assert [(int(n), day) for n, day in found] == [(0, days[1]), (1, days[1]), (2, days[0]), (3, days[0])]


def test_current_view_follows_the_declared_key(
    snowflake_store: SnowflakeStore, snowflake_account: SnowflakeAccount
) -> None:
    """The old one would hide rows that the new key tells apart."""

    def shown() -> int:
        with open_session(snowflake_account, "test") as session:
            return int(session.rows("select count(*) as n from institution_a.samples_current")[0]["N"])

    snowflake_store.replace(SAMPLES, [key(0), key(1)], batches(rows(key(0), count=4), rows(key(1), count=4)))
    assert shown() == 4
    snowflake_store.replace(replace(SAMPLES, key=("id", "business_date")), [key(2)], [])
    assert shown() == 8
    snowflake_store.replace(replace(SAMPLES, key=()), [key(2)], batches(rows(key(2), count=1)))
    assert shown() == 9
