"""SQL expressions of declarations look at one row and nothing else: not at files, other rows, the clock or Python."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, localcontext
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from etl_platform.contracts.declared.expressions import FUNCTIONS, compile_expression, compile_rule, evaluate

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


def computed(sql: str, **columns: pl.Series) -> list[Any]:
    """What `sql` gives for each row; `failed` where it cannot be computed."""
    expression, _ = compile_expression(sql, {name: values.dtype for name, values in columns.items()})
    found = evaluate(pl.DataFrame(columns), expression)
    return ["failed" if failed else value for value, failed in found.rows()]


@pytest.mark.parametrize("digits", [1, 4, 38])
def test_a_decimal_without_a_digit_before_its_point_takes_rules_and_derived_columns(digits: int) -> None:
    columns: dict[str, pl.DataType] = {"r": pl.Decimal(digits, digits)}
    rule = compile_rule("r > 0", columns)
    rows = pl.DataFrame({"r": [Decimal("0.1"), Decimal(0)]}, schema=columns)
    assert evaluate(rows, rule)["value"].to_list() == [True, False]
    assert compile_expression("-r", columns)[1].is_decimal()


def test_integers_do_not_wrap_around_and_times_compare_with_literals() -> None:
    largest = pl.DataFrame({"i": [2**63 - 1]})
    assert evaluate(largest, compile_rule("i * i > i", COLUMNS))["value"].to_list() == [True]
    _, dtype = compile_expression("d * d", COLUMNS)
    assert dtype == pl.Decimal(38, 8), "a product keeps all its decimals"


def test_integers_beyond_38_digits_fail_and_never_wrap() -> None:
    i = pl.Series([2**62, 3, None])
    assert computed("i * i * i", i=i) == ["failed", 27, None]
    assert computed("i * i * 100 + i * i * 100", i=i) == ["failed", 1800, None]
    assert computed("0 - i * i * 3 - i * i", i=i) == [-(2**126), -36, None]
    overflows = compile_rule("i * i * i >= 0", {"i": pl.Int64()})
    assert evaluate(pl.DataFrame({"i": i}), overflows)["failed"].to_list() == [True, False, False]


def test_what_counts_is_wide_enough_for_any_arithmetic() -> None:
    """The length of a text is an unsigned number of 32 bits for Polars, the day of a month one of eight."""
    s, t, b = pl.Series(["ab"]), pl.Series([dt.date(2025, 12, 31)]), pl.Series([True])
    golden = {
        "LENGTH(s) - 5": -3, "-LENGTH(s)": -2, "DAY(t) * 100": 3100,
        "YEAR(t) * 10000 + MONTH(t) * 100 + DAY(t)": 20251231,
        "ABS(DAY(t) - 300)": 269, "DAY(t) % 300": 31, "STRPOS(s, 'b') - 3": -1, "MONTH(t) * MONTH(t) * MONTH(t)": 1728,
        "TRY_CAST(REPLACE(s, 'ab', '200') AS SMALLINT) * 1000": 200_000, "b + b": 2, "b - LENGTH(s)": -1,
        "LEFT(s, LENGTH(s) - 1)": "a",
    }  # fmt: skip
    for sql, expected in golden.items():
        used = {name: values for name, values in {"s": s, "t": t, "b": b}.items() if re.search(rf"\b{name}\b", sql)}
        assert computed(sql, **used) == [expected], sql


CASTS: dict[str, dict[Any, Any]] = {
    "TRY_CAST(v AS DECIMAL(18,2))": {
        "12.50": "12.50", "1234.567": None, "0.005": None, "-0.005": None, "abc": None, "": None, ".": None,
        "--1": None, "+-1": None, "1_0": None, " 1": None, "1 ": None, "1.2.3": None, "0x1": None, "-": None, "+": None,
        "+.5": "0.5",
        "5.": "5", "1.50000000000000000000000000000000000000000": "1.5", "9999999999999999.99": "9999999999999999.99",
        "99999999999999999.99": None, "1.5e3": "1500", "1.25E2": "125", "1e-2": "0.01", "1e-3": None, "5e15": "5e15",
        "1e16": None, "1e99": None, "1e999": None, "e5": None, "NaN": None, "inf": None, "1,5": None, "\u0663": None,
        "000000000000000000000001": "1", "-12.5e-1": "-1.25",
    },
    "TRY_CAST(v AS DECIMAL(10))": {"12": "12", "12.0": "12", "12.5": None},
    "TRY_CAST(v AS BIGINT)": {"12": 12, "-3": -3, "12.5": None, "9223372036854775808": None, "x": None},
    "TRY_CAST(v AS DOUBLE)": {"0.1": 0.1, "NaN": None, "inf": None, "-inf": None, "1e999": None, "x": None},
    "TRY_CAST(TRY_CAST(v AS DECIMAL(18,4)) AS DECIMAL(18,2))": {"1.25": "1.25", "1.255": None, "-0.005": None},
    "TRY_CAST(TRY_CAST(v AS DECIMAL(18,4)) AS BIGINT)": {"2.0": 2, "2.5": None, "-0.9": None},
    "TRY_CAST(TRY_CAST(v AS DECIMAL(38,0)) AS SMALLINT)": {"32767": 32767, "32768": None},
    "TRY_CAST(TRY_CAST(v AS BIGINT) AS BOOLEAN)": {"1": True, "0": False, "2": None},
}  # fmt: skip
FLOATS: dict[str, dict[float, Any]] = {
    "TRY_CAST(v AS DECIMAL(18,2))": {
        0.1: "0.1", 2.675: None, 104.06: "104.06", 1e15: "1e15", 9007199254740993.0: None, 1e22: None, 1e-8: None,
        float("nan"): None, float("inf"): None, -2.5: "-2.5",
    },
    "TRY_CAST(ROUND(v, 2) AS DECIMAL(18,2))": {0.30000000000000004: "0.3"},
    "TRY_CAST(v AS BIGINT)": {2.0: 2, 2.5: None, 2.0**53: None, 2.0**53 - 1: 2**53 - 1, float("nan"): None},
}  # fmt: skip


@pytest.mark.parametrize("sql", [*CASTS, *(f"{sql} float" for sql in FLOATS)])
def test_a_cast_is_exact_or_null(sql: str) -> None:
    golden = FLOATS[sql.removesuffix(" float")] if sql.endswith(" float") else CASTS[sql]
    expected = [Decimal(value) if isinstance(value, str) else value for value in golden.values()]
    assert computed(sql.removesuffix(" float"), v=pl.Series(list(golden))) == expected


@settings(max_examples=300, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False), st.sampled_from([(18, 2), (38, 10), (5, 5), (38, 0)]))
def test_a_text_is_cast_to_that_very_decimal_or_to_null(value: Decimal, kind: tuple[int, int]) -> None:
    precision, scale = kind
    for text in {str(value), f"{value:f}"[:2_000]}:
        (found,) = computed(f"TRY_CAST(v AS DECIMAL({precision},{scale}))", v=pl.Series([text]))
        with localcontext(prec=2_100):
            exact = Decimal(text)
            fits = abs(exact) < 10 ** (precision - scale) and exact == exact.quantize(Decimal(1).scaleb(-scale))
        assert found == (exact if fits else None)


def test_a_cast_without_an_exact_meaning_is_refused() -> None:
    for sql, found in {
        "TRY_CAST(i AS DATE) IS NULL": "from Int128 to Date",
        "TRY_CAST(t AS BIGINT) > 1": "from Date to Int64",
        "TRY_CAST(ts AS DOUBLE) > 1": "to Float64",
        "TRY_CAST(s AS REAL) > 1": "to Float32",
        "TRY_CAST(s AS DECIMAL(40,2)) > 1": "40 digits",
    }.items():
        with pytest.raises(ValueError, match="; expected ") as caught:
            compile_rule(sql, COLUMNS)
        assert found in str(caught.value)
    assert computed("TRY_CAST(t AS DATE)", t=pl.Series([dt.datetime(2025, 1, 15, 10, tzinfo=dt.UTC)])) == [
        dt.date(2025, 1, 15)
    ]


LEAVES = st.sampled_from(["i", "j", "d", "e", "LENGTH(s)", "7", "0.125", "DAY(t)"])
ARITHMETIC = st.recursive(
    LEAVES,
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
    max_leaves=6,
)
WIDE = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=300, deadline=None)
@given(
    ARITHMETIC,
    WIDE,
    st.integers(-1_000, 1_000),
    st.integers(-(10**18) + 1, 10**18 - 1),
    st.integers(-(10**38) + 1, 10**38 - 1),
)
def test_sums_and_products_are_exact_or_fail(sql: str, i: int, j: int, d: int, e: int) -> None:
    """Python's own arithmetic is the oracle."""
    with localcontext(prec=500):
        exact: dict[str, Any] = {"i": i, "j": j, "d": Decimal(d).scaleb(-4), "e": Decimal(e).scaleb(-10)}
        columns = {
            "i": pl.Series([i]), "j": pl.Series([j]), "d": pl.Series([exact["d"]], dtype=pl.Decimal(18, 4)),
            "e": pl.Series([exact["e"]], dtype=pl.Decimal(38, 10)), "s": pl.Series(["abc"]),
            "t": pl.Series([dt.date(2025, 1, 31)]),
        }  # fmt: skip
        used = {name: values for name, values in columns.items() if re.search(rf"\b{name}\b", sql)}
        assume(used)
        try:
            (found,) = computed(sql, **used)
        except ValueError:  # more decimals than any type has
            assume(False)
        python = re.sub(r"([0-9.]+)", r"Decimal('\1')", sql.replace("LENGTH(s)", "3").replace("DAY(t)", "31"))
        assert found in ("failed", eval(python, {"Decimal": Decimal}, exact))


def test_quotients_and_rounding_are_as_documented() -> None:
    """Six decimals more than the dividend, twelve at most unless it has more itself, half to even; so is ROUND."""
    for scale, kept in {0: 6, 2: 8, 4: 10, 6: 12, 8: 12, 12: 12, 14: 14, 20: 20}.items():
        (third,) = computed("a / 3", a=pl.Series([Decimal(2)], dtype=pl.Decimal(30, scale)))
        assert str(third) == f"0.{'6' * (kept - 1)}7"
    ties = pl.Series([Decimal("0.00000000015"), Decimal("0.00000000025")], dtype=pl.Decimal(18, 11))
    assert computed("a / 20", a=ties) == [Decimal("0.000000000008"), Decimal("0.000000000012")]
    halves = pl.Series([Decimal("0.005"), Decimal("0.015"), Decimal("-0.005"), Decimal("2.675")])
    assert computed("ROUND(a, 2)", a=halves) == [Decimal(0), Decimal("0.02"), Decimal(0), Decimal("2.68")]
    assert computed("ROUND(a)", a=pl.Series([0.5, 1.5, 2.5])) == [0.0, 2.0, 2.0]
    assert computed("ROUND(a, 1)", a=pl.Series([7])) == [7]
