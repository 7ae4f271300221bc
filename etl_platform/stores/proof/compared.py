"""What arrived, as the warehouse itself adds it up, against what was sent. Asked in the load's own transaction.

Belongs here: which figures of a column are compared, how each dialect is asked for them, and the difference as an
error. Not here: counting what is sent (`sent.py`), which rows are asked for and when (each store's load).

All figures but one are exact: the sum of binary numbers depends on the order of adding, and may differ by what that
can explain. Text is compared by its length, times by the sum of their microseconds.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.types as at

from etl_platform.contracts.identifiers import Dialect, quote
from etl_platform.errors import StorageError
from etl_platform.stores.proof.sent import (
    EXACT,
    LARGEST,
    LAST_DIGITS,
    Floats,
    Lists,
    Numbers,
    Sent,
    SentColumn,
    Texts,
)

_DAY = 86_400_000_000
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a number of days in SQL, in no zone
_FIRST, _LAST = -719_162, 2_932_896
"""The days of Python's calendar, from year 1 to 9999."""

_TEXT: dict[Dialect, str] = {"duckdb": "VARCHAR", "postgres": "text", "snowflake": "VARCHAR"}


@dataclass(frozen=True)
class Figure:
    """One figure of what was sent, and the SQL that gives it for what arrived. column: None for the rows.

    slack: so much may differ.
    """

    column: str | None
    what: str
    sql: str
    sent: Decimal
    slack: Decimal = Decimal(0)


def figures(sent: Sent, dialect: Dialect, *, is_utf8: bool = True) -> list[Figure]:
    """What is compared. is_utf8: the database stores text as UTF-8, so that its bytes are those that were sent."""
    sent.finish()
    found = [Figure(None, "rows", "count(*)", Decimal(sent.rows))]
    for column in sent.columns:
        if column.nullable:
            found.append(_figure(column, "values that are not null", f"count({_name(column, dialect)})", column.values))
        found += _of_type(column, sent.rows, dialect, is_utf8)
    return found


def select_list(compared: Sequence[Figure], dialect: Dialect) -> str:
    """What to select: each figure as text, whatever type the warehouse adds it up in."""
    return ", ".join(f"CAST({figure.sql} AS {_TEXT[dialect]})" for figure in compared)


def require_same(subject: str, compared: Sequence[Figure], arrived: Sequence[object]) -> None:
    """Raises StorageError that names each column whose figures differ. arrived: the row of `select_list`."""
    if found := differences(compared, arrived):
        raise StorageError(
            subject,
            found=f"what arrived is not what was sent: {'; '.join(found)}",
            expected="the same rows and values in the warehouse as in the lake",
            next_step="nothing was changed, the old rows stand; run `etl-platform doctor`, which tries every type, "
            "and install the drivers' versions of the lock (pgpq, psycopg, duckdb, pyarrow)",
        )


def differences(compared: Sequence[Figure], arrived: Sequence[object]) -> list[str]:
    """The figures that differ, each with its column and both numbers. arrived: the row of `select_list`."""
    return [
        f"{f'column {figure.column}: ' if figure.column else ''}{figure.what}: sent {_spell(figure.sent)}, "
        f"arrived {_spell(found)}"
        for figure, found in zip(compared, map(_number, arrived), strict=True)
        if not found.is_finite() or abs(EXACT.subtract(found, figure.sent)) > figure.slack
    ]


def _of_type(column: SentColumn, rows: int, dialect: Dialect, is_utf8: bool) -> Iterator[Figure]:
    match column.tally:
        case Numbers() as numbers if at.is_decimal(numbers.kind) or at.is_integer(numbers.kind):
            yield _sum(column, numbers, dialect)
        case Numbers() as numbers if at.is_boolean(numbers.kind):
            name = _name(column, dialect)
            sql = f"count_if({name})" if dialect == "snowflake" else f"count(*) FILTER (WHERE {name})"
            yield _figure(column, "values that are true", sql, numbers.total)
        case Numbers() as numbers if at.is_date(numbers.kind):
            yield _figure(column, "sum of days since 1970", _days(_name(column, dialect), dialect), numbers.total)
        case Numbers() as numbers:
            yield _times(column, numbers, rows, dialect)
        case Texts() as texts:
            yield _length(column, texts, dialect, is_utf8)
        case Lists() as lists:
            yield from _items(column, lists, dialect, is_utf8)
        case Floats() as floats:
            yield from _binary(column, floats, dialect)


def _sum(column: SentColumn, numbers: Numbers, dialect: Dialect) -> Figure:
    name = _name(column, dialect)
    if dialect == "snowflake":
        # Its sums have 38 digits whatever the column has; the emulator's are binary unless it is told.
        name = f"CAST({name} AS NUMBER(38,{_scale(numbers)}))"
    if dialect == "postgres" or not _may_overflow(column, numbers):
        return _figure(column, "sum", f"sum({name})", numbers.total)
    scale = _scale(numbers)
    modulus = Decimal(1).scaleb(LAST_DIGITS - scale, EXACT)
    kind = f"{'NUMBER' if dialect == 'snowflake' else 'DECIMAL'}(38,{scale})"
    remainder = f"CAST({name} % CAST('{modulus:f}' AS {kind}) AS {kind})"
    return _figure(
        column, f"sum of the last {LAST_DIGITS} digits", f"sum({remainder})", EXACT.scaleb(numbers.last_digits, -scale)
    )


def _may_overflow(column: SentColumn, numbers: Numbers) -> bool:
    if not numbers.is_wide or numbers.low is None or numbers.high is None:
        return False
    largest = EXACT.scaleb(max(abs(numbers.low), abs(numbers.high)), _scale(numbers))
    return EXACT.multiply(largest, Decimal(column.values)) >= Decimal(10) ** 38


def _days(name: str, dialect: Dialect) -> str:
    if dialect == "snowflake":
        return f"sum(CAST(DATEDIFF('day', DATE '1970-01-01', {name}) AS NUMBER(38,0)))"
    return f"sum({name} - DATE '1970-01-01')"


def _times(column: SentColumn, numbers: Numbers, rows: int, dialect: Dialect) -> Figure:
    name, kind = _name(column, dialect), numbers.kind
    total = EXACT.multiply(numbers.total, _microseconds(kind))
    what = "sum of microseconds"
    if dialect == "snowflake":
        sql = f"sum(CAST(DATE_PART(EPOCH_MICROSECOND, {name}) AS NUMBER(38,0)))"
    elif dialect == "duckdb":
        sql = f"sum(epoch_us({name}))"
    elif (start := _common_day(numbers, rows)) is not None:
        # A third of the cost of taking each time apart. The sum of intervals holds 2^31 days.
        literal = f"timestamptz '{_EPOCH + dt.timedelta(start)}Z'"
        what += f" since {_EPOCH + dt.timedelta(start):%Y-%m-%d}"
        sql = f"extract(epoch FROM sum({name} - {literal})) * 1000000"
        total = EXACT.subtract(total, Decimal(start * _DAY * column.values))
    else:
        sql = f"sum(extract(epoch FROM {name})) * 1000000"
    return _figure(column, what, sql, total)


def _common_day(numbers: Numbers, rows: int) -> int | None:
    """A day from which the distance of all times together stays within an interval of Postgres."""
    if not at.is_timestamp(numbers.kind) or numbers.low is None or numbers.high is None:
        return None
    day = EXACT.divide(Decimal(_DAY), _microseconds(numbers.kind))
    first, last = (int(EXACT.divide_int(end, day)) for end in (numbers.low, numbers.high))
    first -= 1  # divided towards zero
    fits = rows * (last - first + 1) < 2**31 and rows * _DAY < 2**63
    return first if fits and _FIRST <= first <= _LAST else None


def _microseconds(kind: pa.DataType) -> Decimal:
    return {"s": Decimal(10**6), "ms": Decimal(1000), "us": Decimal(1), "ns": Decimal("0.001")}[kind.unit]


def _length(column: SentColumn, texts: Texts, dialect: Dialect, is_utf8: bool) -> Figure:
    name = _name(column, dialect)
    if dialect == "snowflake":
        return _figure(column, "characters", f"sum(CAST(length({name}) AS NUMBER(38,0)))", texts.characters)
    return _figure(column, "bytes of text", f"sum({_bytes_of(name, dialect, is_utf8)})", texts.bytes)


def _bytes_of(text: str, dialect: Dialect, is_utf8: bool) -> str:
    if dialect == "duckdb":
        return f"strlen({text})"
    return f"octet_length({text})" if is_utf8 else f"octet_length(convert_to({text}, 'UTF8'))"


def _items(column: SentColumn, lists: Lists, dialect: Dialect, is_utf8: bool) -> Iterator[Figure]:
    name = _name(column, dialect)
    count = {"duckdb": "len", "postgres": "cardinality", "snowflake": "array_size"}[dialect]
    yield _figure(column, "items", f"sum(CAST({count}({name}) AS {_whole(dialect)}))", lists.items)
    if dialect != "snowflake":
        bytes_of = _bytes_of(f"array_to_string({name}, '')", dialect, is_utf8)
        yield _figure(column, "bytes of text", f"sum({bytes_of})", lists.texts.bytes)


def _whole(dialect: Dialect) -> str:
    return "NUMBER(38,0)" if dialect == "snowflake" else "bigint"


def _binary(column: SentColumn, floats: Floats, dialect: Dialect) -> Iterator[Figure]:
    name, kind = _name(column, dialect), "double precision" if dialect == "postgres" else "DOUBLE"
    usual = f"{name} BETWEEN CAST('-{LARGEST}' AS {kind}) AND CAST('{LARGEST}' AS {kind})"
    yield _figure(column, f"values within {LARGEST}", f"count(CASE WHEN {usual} THEN 1 END)", floats.usual)
    slack = Decimal(floats.amounts) * Decimal(4 * sys.float_info.epsilon * max(floats.usual, 1))
    if dialect == "snowflake":
        # How many digits of a binary number its text has there is not promised.
        slack += Decimal(floats.amounts) * Decimal("1e-6")
    total = f"sum(CASE WHEN {usual} THEN {name} END)"
    yield Figure(column.name, "sum, within what rounding explains", total, Decimal(floats.total), slack)


def _figure(column: SentColumn, what: str, sql: str, sent: Decimal | int) -> Figure:
    return Figure(column.name, what, sql, Decimal(sent))


def _name(column: SentColumn, dialect: Dialect) -> str:
    return quote(column.name, dialect)


def _scale(numbers: Numbers) -> int:
    return int(numbers.kind.scale) if at.is_decimal(numbers.kind) else 0


def _number(arrived: object) -> Decimal:
    # The sum of no values is null.
    return Decimal(0) if arrived is None else Decimal(str(arrived))


def _spell(number: Decimal) -> str:
    return f"{number:,f}".rstrip("0").rstrip(".") if "." in f"{number:f}" else f"{number:,f}"
