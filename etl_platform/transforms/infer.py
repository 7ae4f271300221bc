"""From a sample of a sender's rows to the columns of a declaration: what it surely is, and every doubt in a sentence.

Belongs here: guesses from values, by the very casts that will read them later. Not here: reading the sample, writing
the declaration (`cli/infer.py`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from etl_platform.contracts.column_types import format_type
from etl_platform.contracts.identifiers import ALLOWED
from etl_platform.contracts.shaping import Naming
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION
from etl_platform.transforms.casts import Dialect, cast_series

NULL_TEXTS = ("NULL", "null", "N/A", "n/a", "NA", "#N/A", "None", "none", "-", "--")
CODE_WORDS = {"id", "code", "no", "nr", "number", "key", "zip", "postcode", "phone", "account", "iban", "isin", "ref"}
FEW_VALUES, ENOUGH_ROWS, WIDEST_KEY_SEARCH = 8, 30, 12
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
_INTEGER, _DECIMAL, _FLOAT = r"^[+-]?[0-9]+$", r"^[+-]?[0-9]*[.]?[0-9]+$", r"^[+-]?[0-9.]+[eE][+-]?[0-9]+$"
_GROUPED = {",": r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$", ".": r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?$"}
_COMMA_DECIMAL = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+$"


@dataclass
class Guess:
    """One column. doubts: sentences for the reader of the declaration."""

    name: str
    sent_as: str
    type: str
    required: bool = True
    formats: tuple[str, ...] = ()
    doubts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Inferred:
    """columns: in the sender's order. left_out: columns that no type holds, with why. null_texts, dialect: what the
    institution file must say for the sample to be read."""

    columns: tuple[Guess, ...]
    left_out: dict[str, str]
    key: tuple[str, ...]
    key_doubt: str
    null_texts: tuple[str, ...]
    dialect: Dialect


def infer(rows: pl.DataFrame) -> Inferred:
    """Guess the columns of `rows`, as a reader gave them: text, or a Parquet file's own types."""
    null_texts = _null_texts(rows)
    present = rows.with_columns(
        pl.when(~pl.col(pl.String).str.strip_chars().is_in([*null_texts, ""])).then(pl.col(pl.String)).name.keep()
    )
    dialect = _dialect(present)
    guesses: list[Guess] = []
    left_out: dict[str, str] = {}
    taken: set[str] = set()
    forms: set[str] = set()
    for position, sent_as in enumerate(rows.columns, 1):
        form = Naming().apply(sent_as)
        values = present.get_column(sent_as)
        if form in forms:
            left_out[sent_as] = "another column has the same name but for case and special characters"
        elif values.dtype.is_nested() or values.dtype == pl.Binary:
            left_out[sent_as] = f"a column of type {values.dtype} cannot be declared"
        else:
            guesses.append(_guess(values, _portable(form, position, taken), sent_as, dialect))
        forms.add(form)
    key, doubt = _key(present, guesses)
    return Inferred(tuple(guesses), left_out, key, doubt, null_texts, dialect)


def _null_texts(rows: pl.DataFrame) -> tuple[str, ...]:
    """Words for "no value" that stand among values: in a column of nothing else they may be values."""
    found: set[str] = set()
    for column in rows.select(pl.col(pl.String)).iter_columns():
        distinct = column.drop_nulls().unique()
        words = distinct.filter(distinct.is_in(list(NULL_TEXTS)))
        if 0 < len(words) < len(distinct):
            found.update(words)
    return tuple(word for word in NULL_TEXTS if word in found)


def _dialect(rows: pl.DataFrame) -> Dialect:
    """A decimal comma or thousands marks, where a column shows them beyond doubt."""
    for column in rows.select(pl.col(pl.String)).iter_columns():
        values = column.drop_nulls().str.strip_chars()
        if values.is_empty():
            continue
        is_plain = values.str.contains(_INTEGER)
        if (is_plain | values.str.contains(_COMMA_DECIMAL)).all() and not is_plain.all():
            thousands = "." if values.str.contains(_GROUPED["."]).any() else ""
            # 1,234 in every row may be a thousand or a fraction: only other digits after the comma decide.
            if not (values.str.contains(_GROUPED[","]) | is_plain).all():
                return Dialect(decimal=",", thousands=thousands)
        if (values.str.contains(_DECIMAL) | values.str.contains(_GROUPED[","])).all() and (
            values.str.contains(_GROUPED[","]).any()
        ):
            return Dialect(thousands=",")
    return Dialect()


def _portable(form: str, position: int, taken: set[str]) -> str:
    name = (
        re.sub(r"[^a-z0-9_]", "", form.replace("ß", "ss").encode("ascii", "ignore").decode()).strip("_")[:60]
        or f"column_{position}"
    )
    if not name[0].isalpha() or name in {BUSINESS_DATE, INSTITUTION}:
        name = f"sent_{name}"[:60]
    base, number = name, 2
    while name in taken:
        name, number = f"{base[:56]}_{number}", number + 1
    assert ALLOWED.fullmatch(name)
    taken.add(name)
    return name


def _guess(values: pl.Series, name: str, sent_as: str, dialect: Dialect) -> Guess:
    present = values.drop_nulls()
    guess = Guess(name, sent_as, "string")
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


def _guess_typed(guess: Guess, values: pl.Series) -> None:
    """A type of the file's own."""
    dtype = values.dtype
    if isinstance(dtype, pl.Decimal):
        guess.type = format_type(pl.Decimal(min(MOST_PRECISION, dtype.precision or MOST_PRECISION), dtype.scale))
    elif dtype.is_integer():
        guess.type = "integer"
    elif dtype.is_float():
        guess.type = "float"
        guess.doubts.append("binary floats: amounts of money should be decimal(precision,scale)")
    elif dtype == pl.Boolean:
        guess.type = "boolean"
    elif dtype == pl.Date:
        guess.type = "date"
    elif isinstance(dtype, pl.Datetime):
        guess.type = "timestamp"
        if dtype.time_zone is None:
            guess.doubts.append("times without time zone: the institution's time_zone decides what they mean")


def _guess_text(guess: Guess, values: pl.Series, dialect: Dialect) -> None:
    distinct = values.unique()
    if distinct.str.to_lowercase().is_in(["true", "false", "yes", "no"]).all():
        guess.type = "boolean"
    elif _guess_time(guess, distinct, dialect) or _guess_number(guess, distinct, dialect):
        return
    elif len(distinct) <= FEW_VALUES and len(values) >= ENOUGH_ROWS:
        shown = ", ".join(sorted(distinct))
        guess.doubts.append(f"few different values; if these are all, add allowed: [{shown}]")


def _guess_number(guess: Guess, distinct: pl.Series, dialect: Dialect) -> bool:
    if distinct.str.contains(_INTEGER).all():
        _guess_integer(guess, distinct)
        return True
    if (distinct.str.contains(_DECIMAL) | distinct.str.contains(_FLOAT)).all() and distinct.str.contains(_FLOAT).any():
        guess.type = "float"
        guess.doubts.append("exponents in the sample: read as binary floating point")
        return True
    wide = pl.Decimal(MOST_PRECISION, 15)
    if not _reads(distinct, wide, dialect):
        return False
    digits = distinct.str.replace_all(re.escape(dialect.thousands), "") if dialect.thousands else distinct
    parts = digits.str.strip_chars_start("+-").str.split_exact(dialect.decimal, 1).struct.unnest()
    before, after = (int(parts[n].str.len_chars().max() or 0) for n in ("field_0", "field_1"))  # type: ignore[arg-type]
    scale = max(2, after)
    guess.type = format_type(pl.Decimal(min(MOST_PRECISION, max(LEAST_PRECISION, before + HEADROOM + scale)), scale))
    guess.doubts.append(
        f"{before} digits before and {after} after the decimal mark in the sample; the type has headroom"
    )
    return True


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
    elif _reads(distinct, pl.Datetime("us", "UTC"), Dialect()):
        guess.type = "timestamp"
        if not distinct.str.contains(r"(Z|[+-][0-9]{2}:?[0-9]{2})$").all():
            guess.doubts.append("times without offset: the institution's time_zone decides what they mean")
        return True
    else:
        fitting = list(_fitting(distinct, pl.Datetime("us", "UTC"), TIMESTAMP_FORMATS, dialect))
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
        own = Dialect(date_formats=(fmt,), datetime_formats=(fmt,))
        if fmt.startswith("%Y%m%d") and not values.str.contains(r"^(19|20)[0-9]{6}([T0-9]|$)").all():
            continue
        if _reads(values, dtype, own):
            yield fmt


def _reads(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> bool:
    return cast_series(values, dtype, dialect).null_count() == 0


def _key(rows: pl.DataFrame, guesses: Sequence[Guess]) -> tuple[tuple[str, ...], str]:
    """The first column, or pair of columns, whose values are all there and all different; codes before the rest."""
    full = [g for g in guesses if g.required and not g.type.startswith(("decimal", "float"))]
    ranked = sorted(full, key=lambda g: not set(g.name.split("_")) & CODE_WORDS)[:WIDEST_KEY_SEARCH]
    for size in (1, 2):
        found = [c for c in itertools.combinations(ranked, size) if rows.select(g.sent_as for g in c).is_unique().all()]
        if found:
            others = [" + ".join(g.name for g in c) for c in found[1:4]]
            doubt = f"unique in {rows.height} rows of the sample" + (f"; so is {', '.join(others)}" if others else "")
            return tuple(g.name for g in found[0]), doubt
    return (), "no column or pair of columns is unique in the sample: whole rows are compared"
