"""What a column of a sample is: its type by the very casts that will read it later, and every doubt in a sentence.

Belongs here: one column. Not here: names, keys, what the whole file shares (`infer.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import polars as pl

from etl_platform.contracts.declared.column_types import format_type
from etl_platform.limits import FIRST_VALUES, VALUE_CHARACTERS
from etl_platform.transforms.casts import Dialect, cast_series

CODE_WORDS = {"id", "code", "no", "nr", "number", "key", "zip", "postcode", "phone", "account", "iban", "isin", "ref"}
FEW_VALUES, ENOUGH_ROWS = 8, 30
CODE_DIGITS = 4
HEADROOM, LEAST_PRECISION, MOST_PRECISION = 3, 18, 38
_MONTH_NAMES = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y")
DATE_FORMATS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", *_MONTH_NAMES,
    "%Y%m%d",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S%.f", "%H:%M")
TIMESTAMP_FORMATS = (
    *(f"{date} {clock}" for date in DATE_FORMATS[1:-1] for clock in _CLOCKS), "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S",
)  # fmt: skip
INTEGER, DECIMAL = r"^[+-]?[0-9]+$", r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)$"
_FLOAT = r"^[+-]?[0-9.]+[eE][+-]?[0-9]+$"
LIKE_NUMBER = r"^[(+-]?\s*[0-9][0-9.,'’\s]*([eE][+-]?[0-9]+)?\s*[%)-]?$"
LIKE_DATE = r"^[0-9]{1,4}[./-]([0-9]{1,2}|[A-Za-z]{3,9})[./-][0-9]{1,4}([ T].*)?$"
_UTC = pl.Datetime("us", "UTC")


@dataclass
class Guess:
    """One column. doubts: sentences for the reader of the declaration. is_mapped: no name in the declaration stands
    for `sent_as` alone, so that the institution's file must say which column it is."""

    name: str
    sent_as: str
    type: str = "string"
    required: bool = True
    formats: tuple[str, ...] = ()
    is_mapped: bool = False
    doubts: list[str] = field(default_factory=list)


def guess_column(guess: Guess, values: pl.Series, dialect: Dialect) -> Guess:
    """`guess` with type, formats and doubts. `values`: as a reader gave them, null where they say "no value"."""
    present = values.drop_nulls()
    if present.is_empty():
        guess.required = False
        guess.doubts.append("no value in the sample: its type is a guess")
        return guess
    if len(present) < len(values):
        guess.required = False
        guess.doubts.append(f"{len(values) - len(present)} of {len(values)} rows have no value: nulls are kept")
    if values.dtype == pl.String:
        _guess_text(guess, present.str.strip_chars(), dialect)
    else:
        _guess_typed(guess, present)
    return guess


def cannot_be_declared(values: pl.Series) -> str | None:
    """Why no declared type holds the values of a column, if none does."""
    if values.dtype in (pl.String, pl.Null) or values.dtype.is_float():
        return None
    if values.dtype.is_nested() or not _reads(values.drop_nulls(), pl.String(), Dialect()):
        return f"a column of type {values.dtype} cannot be declared"
    return None


def _guess_typed(guess: Guess, values: pl.Series) -> None:
    """A type of the file's own."""
    dtype, kind = values.dtype, ""
    if isinstance(dtype, pl.Decimal):
        kind = format_type(pl.Decimal(min(MOST_PRECISION, dtype.precision or MOST_PRECISION), dtype.scale))
    elif dtype.is_integer():
        kind = "integer" if _reads(values, pl.Int64(), Dialect()) else ""
        if not kind:
            guess.doubts.append("larger than an integer holds: kept as text")
    elif dtype.is_float():
        kind = "float"
        guess.doubts.append("binary floats: amounts of money should be decimal(precision,scale)")
        if wrong := values.cast(pl.Float64).is_finite().not_().sum():
            guess.doubts.append(f"{wrong} values are NaN or infinite: their rows go to quarantine")
    elif dtype == pl.Boolean:
        kind = "boolean"
    elif dtype == pl.Date:
        kind = "date"
    elif isinstance(dtype, pl.Datetime):
        kind = "timestamp"
        if dtype.time_zone is None:
            guess.doubts.append("times without time zone: the institution's time_zone decides what they mean")
        if not _reads(values, _UTC, Dialect()):
            guess.doubts.append(
                "finer than microseconds, or outside the years 1000 to 9999: such rows go to quarantine"
            )
    elif dtype == pl.Binary:
        guess.doubts.append("bytes that are text in UTF-8")
    elif dtype != pl.String:
        guess.doubts.append(f"a column of type {dtype}: kept as text")
    guess.type = kind or "string"


def _guess_text(guess: Guess, values: pl.Series, dialect: Dialect) -> None:
    distinct = values.unique()
    words = distinct.str.to_lowercase()
    if words.is_in(["true", "false", "yes", "no"]).all():
        guess.type = "boolean"
        if len(distinct) == 1:
            guess.doubts.append(f"always {distinct[0]}: may be a code, which is text")
    elif _guess_time(guess, distinct, dialect) or _guess_number(guess, distinct, dialect):
        return
    elif words.is_in(["y", "n", "t", "f"]).all():
        guess.doubts.append("may be a boolean, which reads y, n, t and f as well")
    elif distinct.str.contains(r"^[\[{].*[\]}]$").all():
        guess.doubts.append("nested values: kept as text, as JSON")
    elif not _doubt_mixed(guess, values) and len(distinct) <= FEW_VALUES and len(values) >= ENOUGH_ROWS:
        guess.doubts.append("few different values; if these are all, add an `allowed` list of them")


def _doubt_mixed(guess: Guess, values: pl.Series) -> bool:
    """Text that is almost something else: a person should know what stands in the way."""
    for what, pattern in (("dates", LIKE_DATE), ("numbers", LIKE_NUMBER)):
        alike = values.str.contains(pattern)
        if not alike.any():
            continue
        if alike.all():
            guess.doubts.append(f"looks like {what} that no one format reads, e.g. {shown(values[0])}: kept as text")
        else:
            at = int(alike.not_().arg_max() or 0)
            last = "; it is the last row: a trailer line?" if at == len(values) - 1 else ""
            found = f"{alike.sum()} of {len(values)} values look like {what}, {shown(values[at])} does not"
            guess.doubts.append(f"{found}: kept as text{last}")
        return True
    return False


def shown(text: str) -> str:
    """A value for a comment."""
    return repr(text if len(text) <= VALUE_CHARACTERS else text[:VALUE_CHARACTERS] + "...")


def _guess_number(guess: Guess, distinct: pl.Series, dialect: Dialect) -> bool:
    if distinct.str.contains(INTEGER).all():
        _guess_integer(guess, distinct)
        return True
    has_exponents = distinct.str.contains(_FLOAT)
    if has_exponents.any() and (distinct.str.contains(DECIMAL) | has_exponents).all():
        if not _reads(distinct, pl.Float64(), dialect):
            return False
        guess.type = "float"
        guess.doubts.append("exponents in the sample: read as binary floating point")
        return True
    return _guess_decimal(guess, distinct, dialect)


def _guess_decimal(guess: Guess, distinct: pl.Series, dialect: Dialect) -> bool:
    digits = distinct.str.replace_all(re.escape(dialect.thousands), "") if dialect.thousands else distinct
    mark = re.escape(dialect.decimal)
    if not digits.str.contains(rf"^[+-]?([0-9]+{mark}?[0-9]*|{mark}[0-9]+)$").all():
        return False
    parts = digits.str.strip_chars_start("+-").str.split_exact(dialect.decimal, 1).struct.unnest()
    before, after = (int(parts[n].str.len_chars().max() or 0) for n in ("field_0", "field_1"))  # type: ignore[arg-type]
    scale = max(2, after)
    if before + scale > MOST_PRECISION:
        guess.doubts.append(f"{before} digits before and {after} after the decimal mark are too many: kept as text")
        return True
    dtype = pl.Decimal(min(MOST_PRECISION, max(LEAST_PRECISION, before + HEADROOM + scale)), scale)
    if not _reads(distinct, dtype, dialect):
        return False
    guess.type = format_type(dtype)
    guess.doubts.append(
        f"{before} digits before and {after} after the decimal mark in the sample; the type has headroom"
    )
    if parts["field_1"].str.strip_chars_end("0").fill_null("").str.len_chars().max() == 0 and after:
        guess.doubts.append("every value is whole: may be an integer, which reads 12.0 as 12")
    _doubt_marks(guess, distinct, dialect)
    return True


def _doubt_marks(guess: Guess, distinct: pl.Series, dialect: Dialect) -> None:
    mark, read, other = dialect.decimal, "decimal", "thousands"
    if dialect.thousands and dialect.decimal == ".":
        mark, read, other = dialect.thousands, other, read
    if distinct.str.contains(rf"^[+-]?[1-9][0-9]{{0,2}}{re.escape(mark)}[0-9]{{3}}$").all():
        guess.doubts.append(
            f"{shown(distinct.sort()[0])} and its like can be read in two ways: {mark} is taken as {read} mark, not as "
            f"{other} mark (`numbers` in the institution's file)"
        )


def _guess_integer(guess: Guess, distinct: pl.Series) -> None:
    words = set(guess.name.split("_"))
    if distinct.str.contains(r"^[+-]?0[0-9]").any():
        guess.doubts.append("leading zeros: kept as text, as numbers would lose them")
    elif not _reads(distinct, pl.Int64(), Dialect()):
        guess.doubts.append("more digits than an integer has: kept as text")
    elif words & CODE_WORDS:
        guess.doubts.append("integers that look like codes: kept as text, so that leading zeros survive")
    else:
        guess.type = "integer"
        lengths = distinct.str.len_bytes().unique()
        if distinct.is_in(["0", "1"]).all():
            guess.doubts.append("only 0 and 1: may be a boolean")
        elif len(distinct) > 1 and len(lengths) == 1 and lengths[0] >= CODE_DIGITS:
            guess.doubts.append(f"every value has {lengths[0]} digits: may be a code, which is text")


def _guess_time(guess: Guess, distinct: pl.Series, dialect: Dialect) -> bool:
    fitting = list(_fitting(distinct, pl.Date(), DATE_FORMATS, dialect))
    if fitting:
        guess.type = "date"
        if fitting[0] == "%Y%m%d":
            guess.doubts.append("eight digits: read as dates (YYYYMMDD); may be a number or a code")
    elif _shape("%Y-%m-%d").match(distinct[0]) and _reads(distinct, _UTC, Dialect()):
        guess.type = "timestamp"
        if not distinct.str.contains(r"(Z|[+-][0-9]{2}:?[0-9]{2})$").all():
            guess.doubts.append("times without offset: the institution's time_zone decides what they mean")
        return True
    else:
        fitting = list(_fitting(distinct, _UTC, TIMESTAMP_FORMATS, dialect))
        if not fitting:
            return False
        guess.type = "timestamp"
        guess.doubts.append("times without offset: the institution's time_zone decides what they mean")
    if fitting[0] != "%Y-%m-%d":
        guess.formats = (fitting[0],)
    if len(fitting) > 1:
        guess.doubts.append(
            f"day and month cannot be told apart in the sample: {fitting[0]} is a guess, not {fitting[1]}"
        )
    return True


def _fitting(values: pl.Series, dtype: pl.DataType, formats: Sequence[str], dialect: Dialect) -> Iterator[str]:
    for fmt in formats:
        # Most columns are no times in most formats: one value says so, a thousand times sooner than the cast.
        if not _shape(fmt).fullmatch(values[0]):
            continue
        own = Dialect(date_formats=(fmt,), datetime_formats=(fmt,))
        if fmt.startswith("%Y%m%d") and not values.str.contains(r"^(19|20)[0-9]{6}([T0-9]|$)").all():
            continue
        if _reads(values, dtype, own):
            yield fmt


@cache
def _shape(fmt: str) -> re.Pattern[str]:
    """What every text of the format has in common: digits and separators where it has them. It may match more."""
    pieces = []
    for month, directive, other in re.findall(r"(%b|%B)|(%\.f|%[A-Za-z])|(.)", fmt):
        if other:
            pieces.append(".+" if other == " " else ".*" if other == "T" else re.escape(other))
        else:
            pieces.append("[^0-9]+" if month else ".*" if directive == "%.f" else r"\s*[+-]?[0-9]+")
    return re.compile("".join(pieces), re.DOTALL)


def _reads(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> bool:
    """Whether the cast has a value for all of them; a few are asked first."""
    few = values.head(FIRST_VALUES)
    if len(values) > len(few) and cast_series(few, dtype, dialect).null_count():
        return False
    return cast_series(values, dtype, dialect).null_count() == 0
