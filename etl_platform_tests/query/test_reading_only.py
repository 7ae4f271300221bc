"""A query reads the views and nothing else, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from etl_platform.errors import QueryError
from etl_platform.query import query
from etl_platform_tests.query.test_published import deliver
from etl_platform_tests.support.platform import Platform


@pytest.fixture
def loaded(plain: Platform) -> Platform:
    deliver(plain, "first", 3)
    assert plain.ingest("first").succeeded
    return plain


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{lake}/x.csv'",
        "COPY (SELECT 1 AS a) TO '{object}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY (SELECT 1 AS a) TO '{object}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPORT DATABASE '{lake}/x'",
        "ATTACH '{warehouse}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TABLE first.mine AS SELECT 1",
        "CREATE OR REPLACE VIEW first.prices AS SELECT 1",
        "DROP VIEW first.prices",
        "INSERT INTO first.prices SELECT * FROM stored.prices",
        "SET enable_external_access = true",
        "PRAGMA database_list",
        "SELECT 1; SELECT 2",
        "  ",
        "selec 1",
        "SELECT * FROM prices",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM read_csv('{landing}/first/prices/*/a.csv')",
        "SELECT * FROM '{landing}/first/prices/2025-01-15/a.csv'",
        "SELECT * FROM glob('{lake}/**')",
        "SELECT * FROM read_parquet('{lake}/silver/prices/institution=*/*/data.parquet')",
        "SELECT * FROM frame",
        "SELECT CAST(symbol AS INTEGER) FROM first.prices",
    ],
)
def test_anything_but_reading_the_views_is_refused(loaded: Platform, sql: str) -> None:
    frame = pd.DataFrame({"a": [1]})  # DuckDB would find it by its name
    assert len(frame) == 1
    before = files(loaded.settings.root)
    settings = loaded.settings
    spelled = sql.format(
        lake=settings.lake_root,
        landing=settings.landing_root,
        warehouse=settings.duckdb_file,
        object=loaded.lake_object("silver", "prices", "first"),
    )
    with pytest.raises(QueryError) as caught:
        query(spelled, settings)
    assert caught.value.found and caught.value.expected and caught.value.next_step
    assert files(settings.root) == before


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM first.prices", [3]),
        ("WITH x AS (FROM first.prices) SELECT count(*) FROM x", [3]),
        ('SELECT count(*) FROM "FIRST".Prices', [3]),
        ("SELECT count(*) FROM query_table('fir' || 'st.' || 'pri' || 'ces')", [3]),
        ("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'first'", [2]),
        ("SELECT count(*) FROM (DESCRIBE first.prices) WHERE column_name = 'symbol'", [1]),
        ("VALUES (1)", [1]),
    ],
)
def test_what_reads_is_answered(loaded: Platform, sql: str, rows: list[object]) -> None:
    assert [value for row in query(sql, loaded.settings).rows.to_pylist() for value in row.values()] == rows


def test_show_and_summarize_tell_about_the_views(loaded: Platform) -> None:
    shown = query("SHOW ALL TABLES", loaded.settings).rows.to_pylist()
    assert {(row["schema"], row["name"]) for row in shown} >= {("first", "prices"), ("stored", "accounts")}
    (symbol, *_) = query("SUMMARIZE first.prices", loaded.settings).rows.to_pylist()
    assert symbol["column_name"] == "symbol" and symbol["count"] == 3


def test_a_limit_says_whether_there_was_more(loaded: Platform) -> None:
    for limit, has_more in ((0, True), (2, True), (3, False), (None, False)):
        answer = query("FROM first.prices", loaded.settings, limit=limit)
        assert (answer.rows.num_rows, answer.has_more) == (3 if limit is None else limit, has_more)
