"""SQL expressions of dataset declarations: what they may say, compiled and tried out when the file is loaded.

An expression sees one row at a time: its result must not depend on which other rows happen to be in the same batch,
on the clock or on a file. So functions are an allow-list, queries, windows and aggregates are refused, and so is what
makes a run fail on one bad row (a strict cast) or lets it pass (a division by zero is NaN, above every number).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from etl_platform.contracts.declared.exact_expressions import exactly, lost_in_casts
from etl_platform.contracts.document import near

FUNCTIONS = frozenset(
    """
    ABS CEIL CEILING FLOOR ROUND SIGN GREATEST LEAST COALESCE IFNULL NULLIF IF
    CONCAT CONCAT_WS ENDS_WITH INITCAP LEFT LENGTH LOWER LTRIM OCTET_LENGTH REGEXP_LIKE REPLACE REVERSE RIGHT RTRIM
    STARTS_WITH STRPOS SUBSTR TRIM TRY_CAST UPPER DATE DATE_PART DAY EXTRACT HOUR MINUTE MONTH QUARTER SECOND
    STRFTIME WEEK YEAR
    """.split()  # noqa: SIM905 - reads as a list
)
_BEFORE_BRACKET = frozenset(
    "AND OR NOT IN THEN WHEN ELSE CASE BETWEEN LIKE ILIKE IS FROM ON RLIKE REGEXP DECIMAL NUMERIC VARCHAR CHAR".split()  # noqa: SIM905
)
_REFUSED_WORDS = frozenset(
    """
    SELECT WITH OVER EXISTS UNION WINDOW PARTITION CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIMESTAMP LOCALTIME
    """.split()  # noqa: SIM905
)
# Polars' parser knows more ways to quote ($$...$$, `...`) than the pattern below: behind them a function would pass.
_SIGNS = frozenset("+-*/%(),.<>=!~|&^[]")
_BEFORE_TEXT = frozenset({"DATE", "TIMESTAMP", "TIME", "INTERVAL"})
_TOKENS = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<name>\"[^\"]+\")|(?P<comment>--|/\*)|(?P<word>[^\W\d]\w*)"
    r"|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|(?P<cast>::)|(?P<space>\s+)|(?P<sign>.)",
    re.DOTALL,
)
_TRIAL_ROWS = 2
_FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def compile_expression(sql: str, columns: Mapping[str, pl.DataType]) -> tuple[pl.Expr, pl.DataType]:
    """The expression and the type of its result. Raises ValueError (found, expected) for all that it may not say."""
    _check_words(sql)
    try:
        expression = pl.sql_expr(sql)
    except _FAILURES as error:
        raise ValueError(f"found {sql!r} ({_first_line(error)}); expected one SQL expression") from None
    used = expression.meta.root_names()
    for name in used:
        if name not in columns:
            raise ValueError(f"found column {name!r}; expected {near(name, columns)}")
    if not used:
        raise ValueError(f"found {sql!r}, which looks at no column; expected one of {', '.join(columns)}")
    trials = [_prepared(frame) for frame in _trials({n: columns[n] for n in used})]
    try:
        exact = exactly(expression, trials[0])
        results = [frame.select(exact.alias("v")) for frame in trials]
    except _FAILURES as error:
        raise ValueError(f"found {sql!r} ({_first_line(error)}); expected types that fit together") from None
    if "-" in sql:
        _require_time_spans(expression, {name: columns[name] for name in used}, sql)
    if any(result.height != height for result, height in zip(results, (0, _TRIAL_ROWS), strict=True)):
        raise ValueError(f"found {sql!r}, one value for all rows; expected one value for each row")
    return exact, results[0].schema["v"]


def compile_losses(sql: str, columns: Mapping[str, pl.DataType]) -> pl.Expr | None:
    """True where a TRY_CAST of an expression that compiles made null of a value; None where it has none."""
    frame = _prepared(_trials(columns)[0])
    return lost_in_casts(pl.sql_expr(sql), frame) if "TRY_CAST" in sql.upper() else None


def compile_rule(sql: str, columns: Mapping[str, pl.DataType]) -> pl.Expr:
    """An expression that is true for a good row. Raises ValueError (found, expected)."""
    expression, dtype = compile_expression(sql, columns)
    if dtype != pl.Boolean():
        raise ValueError(f"found {sql!r} of type {dtype}; expected an expression that is true or false")
    return expression


def evaluate(frame: pl.DataFrame, expression: pl.Expr) -> pl.DataFrame:
    """`value` of each row of `frame`, and `failed` where it cannot be computed (a decimal overflows): null there."""
    return _evaluate(_prepared(frame.select(sorted(set(expression.meta.root_names())))), expression)


def _evaluate(frame: pl.DataFrame, expression: pl.Expr) -> pl.DataFrame:
    try:
        return frame.select(expression.alias("value")).with_columns(failed=False)
    except _FAILURES:
        if frame.height == 1:
            empty = frame.clear().select(expression.alias("value"))
            return pl.DataFrame([[None]], schema=empty.schema).with_columns(failed=True)
        # Halves until the one row is alone: a few such rows among many cost a few passes.
        middle = frame.height // 2
        halves = (frame.head(middle), frame.tail(frame.height - middle))
        return pl.concat([_evaluate(half, expression) for half in halves])


def _prepared(frame: pl.DataFrame) -> pl.DataFrame:
    """Integers wide enough that no product of two wraps around; times without zone, as SQL's literals are."""
    naive = pl.col(pl.Datetime).dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    has_times = any(isinstance(dtype, pl.Datetime) for dtype in frame.schema.values())
    return frame.with_columns(pl.col(pl.Int64, pl.Int32).cast(pl.Int128), *([naive] if has_times else []))


def _trials(columns: Mapping[str, pl.DataType]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """No row, and two rows with and without values: enough for Polars to look at every constant."""
    samples = {pl.String: "a", pl.Boolean: True}
    values = {
        name: pl.Series([0.1 if _is_fraction(dtype) else samples.get(type(dtype), 1), None]).cast(dtype)
        for name, dtype in columns.items()
    }
    frame = pl.DataFrame(values)
    return frame.clear(), frame


def _is_fraction(dtype: pl.DataType) -> bool:
    """A decimal without a digit before its point: it has no 1."""
    return isinstance(dtype, pl.Decimal) and dtype.precision == dtype.scale


def _require_time_spans(expression: pl.Expr, columns: Mapping[str, pl.DataType], sql: str) -> None:
    """Polars compares a time span with a number by the span's microseconds: `a - b < 5` would not mean days."""
    if not any(dtype.is_temporal() for dtype in columns.values()):
        return
    frame = _prepared(_trials(columns)[0])
    for left, right in _comparisons(json.loads(expression.meta.serialize(format="json"))):
        sides = [
            frame.select(pl.Expr.deserialize(io.StringIO(json.dumps(side)), format="json")) for side in (left, right)
        ]
        types = [side.dtypes[0] for side in sides]
        if any(dtype == pl.Duration for dtype in types) and any(dtype.is_numeric() for dtype in types):
            raise ValueError(f"found a span of time beside a number in {sql!r}; expected e.g. INTERVAL '5 days'")


def _comparisons(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        binary = node.get("BinaryExpr")
        if isinstance(binary, dict) and str(binary["op"]).startswith(("Lt", "Gt", "Eq", "NotEq")):
            yield binary["left"], binary["right"]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _comparisons(part)


def _check_words(sql: str) -> None:
    tokens = [m for m in _TOKENS.finditer(sql) if m.lastgroup != "space"]
    for position, token in enumerate(tokens):
        kind, word = token.lastgroup, token.group().upper()
        after = tokens[position + 1].group() if position + 1 < len(tokens) else ""
        if kind == "comment":
            raise ValueError(f"found a comment in {sql!r}; expected it in the declaration, after #")
        if kind == "cast" or (kind == "word" and word == "CAST"):
            raise ValueError(f"found {word} in {sql!r}; expected TRY_CAST(... AS ...): null where a value does not fit")
        if kind == "word" and word in _REFUSED_WORDS:
            raise ValueError(f"found {word} in {sql!r}; expected an expression over the columns of one row")
        if kind == "word" and after == "(" and word not in FUNCTIONS | _BEFORE_BRACKET:
            raise ValueError(f"found function {word} in {sql!r}; expected {near(word, FUNCTIONS)}")
        if kind == "name" and after == "(":
            raise ValueError(f"found {word} as function in {sql!r}; expected a function's name without quotes")
        if kind == "sign" and word not in _SIGNS:
            raise ValueError(f"found {word} in {sql!r}; expected one SQL expression, its texts in single quotes")
        if (
            kind == "word"
            and word not in _BEFORE_TEXT
            and after[:1] == "'"
            and token.end() == tokens[position + 1].start()
        ):
            raise ValueError(f"found {word} before a text in {sql!r}; expected texts in plain single quotes")
        if word in {"/", "%"} and not _is_safe_divisor(tokens[position + 1 :]):
            raise ValueError(
                f"found {word} by a value that may be zero in {sql!r}; expected a number or NULLIF(..., 0)"
            )


def _is_safe_divisor(tokens: list[re.Match[str]]) -> bool:
    tokens = tokens[1:] if tokens and tokens[0].group() == "-" else tokens
    if not tokens:
        return False
    first = tokens[0]
    if first.group().upper() != "NULLIF":
        return first.lastgroup == "number" and float(first.group()) != 0
    depth = 0
    for position, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.group(), 0)
        if token.group() == ")" and depth == 0:
            comma, last = tokens[position - 2 : position]
            return comma.group() == "," and last.lastgroup == "number" and float(last.group()) == 0
    return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
