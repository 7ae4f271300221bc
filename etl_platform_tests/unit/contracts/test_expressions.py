"""SQL expressions of declarations look at one row and nothing else: not at files, other rows, the clock or Python."""

from __future__ import annotations

import polars as pl
import pytest

from etl_platform.contracts.expressions import FUNCTIONS, compile_expression, compile_rule, evaluate

COLUMNS: dict[str, pl.DataType] = {
    "i": pl.Int64(), "d": pl.Decimal(18, 4), "f": pl.Float64(), "s": pl.String(), "t": pl.Date(),
    "ts": pl.Datetime("us", "UTC"), "b": pl.Boolean(),
}  # fmt: skip

GOOD = [
    "i > 0",
    "d <= 0.1",
    "t <= DATE '2025-01-15'",
    "ts >= TIMESTAMP '2025-01-01 00:00:00'",
    "s IN ('a', 'b')",
    "s LIKE 'SELECT%'",
    "REGEXP_LIKE(s, '^[A-Z]$')",
    "s IS NULL OR i BETWEEN 1 AND (2)",
    "NOT b",
    "LENGTH(s) > 1",
    "CASE WHEN b THEN i > 1 ELSE TRUE END",
    "TRY_CAST(s AS BIGINT) > 1",
    "d / NULLIF(i, 0) > 1",
    "f / 2 > 1",
    "COALESCE(f, 0) >= 0",
    "EXTRACT(year FROM t) > 2000",
    "UPPER(s) || 'x' = 'Ax'",
    "i % 2 = 0",
    '"i" > 0',
    "i / -2 > 1",
    "d / NULLIF(f, 0.0) > 1",
    "t >= DATE'2025-01-01'",
    "t - DATE '2025-01-01' <= INTERVAL '5 days'",
    "t <= DATE '2025-01-01' + INTERVAL '5 days'",
]
HOSTILE = [
    ("read_csv('/etc/passwd') > 1", "function READ_CSV"),
    ("read_parquet('x') > 1", "function READ_PARQUET"),
    ("\"read_csv\"('x') = 1", "as function"),
    ("scan_csv ('x') = s", "function SCAN_CSV"),
    ("(SELECT 1) = i", "SELECT"),
    ("i IN (SELECT i FROM self)", "SELECT"),
    ("EXISTS (SELECT 1)", "EXISTS"),
    ("i > 0; DROP TABLE x", "one SQL expression"),
    ("i > 0, d > 0", "one SQL expression"),
    ("i >", "one SQL expression"),
    ("i > SUM(i)", "function SUM"),
    ("i > MAX(i)", "function MAX"),
    ("COUNT(*) > 1", "function COUNT"),
    ("ROW_NUMBER() OVER (ORDER BY i) = 1", "function ROW_NUMBER"),
    ("i OVER w > 1", "OVER"),
    ("COLUMNS('.*') > 1", "function COLUMNS"),
    ("ts < NOW()", "function NOW"),
    ("ts < CURRENT_TIMESTAMP", "CURRENT"),
    ("RANDOM() > 0.5", "function RANDOM"),
    ("UNNEST(s) > 1", "function UNNEST"),
    ("pl.col('i') > 1", "function COL"),
    ("CAST(s AS BIGINT) > 1", "TRY_CAST"),
    ("s::int > 1", "TRY_CAST"),
    ("i -- x", "comment"),
    ("i /* x */ > 1", "comment"),
    ("d / i > 1", "may be zero"),
    ("i % d > 1", "may be zero"),
    ("f / 0 > 1", "may be zero"),
    ("d / NULLIF(i, 5) > 1", "may be zero"),
    ("1 = 1", "looks at no column"),
    ("x > 1", "column 'x'"),
    ("t <= '2025-01-01'", "types that fit together"),
    ("s ~ '['", "types that fit together"),
    ("TRUE", "no column"),
    ("ts < LOCALTIMESTAMP", "LOCALTIMESTAMP"),
    ("i > `MAX`(i)", "found `"),
    ("s = $$'$$ OR i > MAX(i) OR s = $$'$$", "found $"),
    ("s = X'41'", "found X before a text"),
    ("s = R'a'", "found R before a text"),
    ("i / -0 > 1", "may be zero"),
    ("d / NULLIF(i, 5.0) > 1", "may be zero"),
    ("t - DATE '2025-01-01' < 5", "a span of time"),
    ("5 >= (t - DATE '2025-01-01')", "a span of time"),
    ("ts - TIMESTAMP '2025-01-01 00:00:00' BETWEEN 0 AND 5", "a span of time"),
]


@pytest.mark.parametrize("sql", GOOD)
def test_expressions_over_one_row_are_rules(sql: str) -> None:
    rows = pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name, dtype in COLUMNS.items()})
    result = evaluate(rows, compile_rule(sql, COLUMNS))
    assert result.height == 2 and result["value"].dtype == pl.Boolean and not result["failed"].any()


@pytest.mark.parametrize(("sql", "message"), HOSTILE)
def test_what_looks_beyond_one_row_or_may_end_a_run_is_refused(sql: str, message: str) -> None:
    with pytest.raises(ValueError, match="expected ") as caught:
        compile_rule(sql, COLUMNS)
    assert message in str(caught.value)


def test_sql_of_polars_itself_takes_expressions_only() -> None:
    """What the allow-list rests on: a statement does not even parse, an unknown function is no file reader."""
    for sql in ("SELECT 1", "DROP TABLE x", "CREATE TABLE x AS SELECT 1", "read_csv('x')"):
        with pytest.raises(pl.exceptions.PolarsError):
            pl.DataFrame({"i": [1]}).select(pl.sql_expr(sql))


def test_every_allowed_function_exists() -> None:
    for name in FUNCTIONS - {"TRY_CAST", "EXTRACT"}:
        for arguments in (
            "s",
            "f",
            "t",
            "ts",
            "f, 1",
            "s, 'a'",
            "s, 1",
            "s, 'a', 'b'",
            "'year', t",
            "t, '%Y'",
            "b, i, i",
            "'-', s, s",
        ):
            try:
                compile_expression(f"{name}({arguments})", COLUMNS)
                break
            except ValueError:
                continue
        else:
            pytest.fail(f"{name}: no arguments serve")


def test_integers_do_not_wrap_around_and_times_compare_with_literals() -> None:
    largest = pl.DataFrame({"i": [2**63 - 1]})
    assert evaluate(largest, compile_rule("i * i > i", COLUMNS))["value"].to_list() == [True]
    _, dtype = compile_expression("d * d", COLUMNS)
    assert dtype == pl.Decimal(38, 8), "a product keeps all its decimals"
