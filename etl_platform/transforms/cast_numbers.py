"""Numbers, exactly or not at all: text in a sender's marks, binary floats, integers and decimals to a contract's type.

Belongs here: decimals, integers, floats. Not here: times (`cast_times.py`), which cast serves which type (`casts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial

import polars as pl

from etl_platform.transforms.dialect import Dialect

# `\d` would also take the digits of other scripts.
SCIENTIFIC = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]{1,3}$"
_DISTINCT: dict[pl.DataType, tuple[int, int]] = {
    pl.Float16(): (2**11, 3), pl.Float32(): (2**24, 6), pl.Float64(): (2**53, 15),
}  # fmt: skip
"""Per binary float: where it begins to skip whole numbers, and how many significant digits of any decimal it keeps."""
_QUICK_EXTRA = 9
"""Decimals that the quick path reads beyond the type's own, to see that they are zero."""


def to_decimal(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as Decimal; null where a digit would be lost."""
    assert isinstance(dtype, pl.Decimal)
    source = values.dtype
    if isinstance(source, pl.Decimal) and source.scale <= dtype.scale and _digits(source) <= _digits(dtype):
        return values.cast(dtype)
    if source.is_float():
        return _decimal_of_float(values, dtype)
    if are_plain_decimals(source, dtype, dialect):
        return to_decimals([(values, dtype)])[0]
    return _checked_decimal(values, dtype, dialect)


def are_plain_decimals(source: pl.DataType, dtype: pl.Decimal, dialect: Dialect) -> bool:
    """Whether values of `source` are text that `to_decimals` reads as `dtype`."""
    has_marks = (dialect.decimal, dialect.thousands) != (".", "")
    return source == pl.String and not has_marks and _room(dtype) > 0


def to_decimals(texts: Sequence[tuple[pl.Series, pl.Decimal]]) -> list[pl.Series]:
    """Columns of plain decimals, each as `to_decimal` gives it, in one query: one each costs small files more."""
    return [
        _rest_by(values, quick, partial(_checked_decimal, dtype=dtype, dialect=Dialect()))
        for (values, dtype), quick in zip(texts, _quick_decimals(texts), strict=True)
    ]


def to_integer(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as integer; null where it is none or does not fit."""
    if values.dtype.is_integer():
        return values.cast(dtype, strict=False)
    if values.dtype.is_float():
        return _whole(values).cast(dtype, strict=False)
    if values.dtype == pl.Boolean:
        return pl.Series(values.name, [None] * len(values), dtype)
    if values.dtype == pl.String:
        quick = values.cast(dtype, strict=False)
        return _rest_by(values, quick, lambda rest: _checked_integer(rest, dtype, dialect))
    return _checked_integer(values, dtype, dialect)


def to_float(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    """`values` as the nearest double; null where there is no finite one."""
    if values.dtype.is_numeric():
        return finite(values.cast(dtype))
    text = _plain_number(values, dialect) if dialect.decimal != "." or dialect.thousands else values.cast(pl.String)
    return finite(text.str.strip_chars().cast(dtype, strict=False))


def finite(values: pl.Series) -> pl.Series:
    """`values` with null for NaN and infinity."""
    return values.to_frame("v").select(pl.when(pl.col("v").is_finite()).then("v")).to_series()


def _decimal_of_float(values: pl.Series, dtype: pl.Decimal) -> pl.Series:
    """A binary float as the one decimal of this scale that it can stand for, null where there are several.

    A double keeps 15 significant digits of any decimal, and every decimal of a scale while they are fewer than 2**53:
    within either its shortest text is what was meant. A text that is longer than the scale only by the noise of
    earlier arithmetic (104.06000000000002) is read without it.
    """
    known = finite(values)
    text = known.to_frame("v").select(pl.when(_is_distinct(known.dtype, dtype)).then(pl.col("v").cast(pl.String)))
    return _rest_by(known, _quick_decimal(text.to_series(), dtype), lambda rest: _checked_float(rest, dtype))


def _checked_float(values: pl.Series, dtype: pl.Decimal) -> pl.Series:
    _, kept = _DISTINCT[values.dtype]
    own, rounded = pl.col("v").cast(pl.String), pl.col("v").round_sig_figs(kept).cast(pl.String)
    is_distinct = _is_distinct(values.dtype, dtype)
    frame = values.to_frame("v").select(
        own=pl.when(is_distinct | (_significant(own) <= kept)).then(own),
        rounded=pl.when(is_distinct & (_significant(rounded) + 3 <= _significant(own))).then(rounded),
    )
    exact, quiet = (_checked_decimal(frame.get_column(name), dtype, Dialect()) for name in ("own", "rounded"))
    return exact.zip_with(exact.is_not_null(), quiet)


def _is_distinct(source: pl.DataType, dtype: pl.Decimal) -> pl.Expr:
    """Whether the floats around `v` are closer than the decimals of the scale."""
    most, _ = _DISTINCT[source]
    return pl.col("v").cast(pl.Float64).abs() * 10.0**dtype.scale <= most


def _significant(text: pl.Expr) -> pl.Expr:
    """Number of significant digits of a float's text."""
    return text.str.replace(r"e.*$", "").str.replace_all(r"[-.]", "").str.strip_chars("0").str.len_bytes()


def digits_of(values: pl.Series) -> pl.Series:
    """Numbers as the text of an identifier: 1001.0 is `1001`, and null is what stands for several whole numbers or
    for none. A decimal with a fraction keeps its text, no digit of it is uncertain."""
    if values.dtype.is_float():
        return _whole(values).cast(pl.String)
    text = values.cast(pl.String)
    return text.str.replace(r"\.0+$", "") if isinstance(values.dtype, pl.Decimal) and values.dtype.scale else text


def digits_of_bare(values: pl.Series, is_bare: pl.Series) -> pl.Series:
    """Text of JSON as that of an identifier: what was sent as a bare number with a fraction or an exponent becomes its
    digits as by `digits_of` of the double that its writer had. Numbers without either are digits already, however many.
    """
    at = (is_bare & values.str.contains(r"^-?[0-9]+[.eE]")).fill_null(False).arg_true()
    if at.is_empty():
        return values
    first_doubtful, _ = _DISTINCT[pl.Float64()]
    whole = _checked_integer(values.gather(at), pl.Int64(), Dialect()).to_frame("v")
    exact = pl.when(pl.col("v").abs() < first_doubtful).then("v").cast(pl.String)
    return values.clone().scatter(at, whole.select(exact).to_series())  # it changes its own series


def _whole(values: pl.Series) -> pl.Series:
    """Floats that are whole numbers below where a float begins to skip some, as integers, else null."""
    first_doubtful, _ = _DISTINCT[values.dtype]  # itself what its odd neighbour is rounded to
    frame = values.cast(pl.Float64).to_frame("v")
    exact = (pl.col("v").is_finite()) & (pl.col("v") == pl.col("v").round(0)) & (pl.col("v").abs() < first_doubtful)
    return frame.select(pl.when(exact).then(pl.col("v")).cast(pl.Int64, strict=False)).to_series()


def _plain_number(values: pl.Series, dialect: Dialect) -> pl.Series:
    """Number text with `.` as decimal mark and no thousands marks, surrounding blanks dropped."""
    column = pl.col("v").str.strip_chars()
    if dialect.thousands:
        mark = re.escape(dialect.thousands)
        grouped = rf"^[+-]?[0-9]{{1,3}}({mark}[0-9]{{3}})+({re.escape(dialect.decimal)}[0-9]*)?$"
        bare = column.str.replace_all(dialect.thousands, "", literal=True)
        # 1.23 with `.` as thousands mark is no grouping: it stays as it is and fails the cast.
        column = pl.when(column.str.contains(grouped)).then(bare).otherwise(column)
        column = pl.when(column.str.contains(dialect.thousands, literal=True)).then(None).otherwise(column)
    if dialect.decimal != ".":
        column = (
            pl.when(column.str.contains(".", literal=True))
            .then(None)
            .otherwise(column.str.replace(dialect.decimal, ".", literal=True))
        )
    text = values.cast(pl.String).to_frame("v").select(column).to_series()
    return _without_exponents(text)


def _without_exponents(text: pl.Series) -> pl.Series:
    """`1.5e3` as `1500`: rare, so only those values leave the vectorised path."""
    marked = text.str.contains("[eE]")
    if not marked.any():
        return text
    found = text.filter(marked & text.str.contains(SCIENTIFIC)).unique()
    plain = {value: _expand(value) for value in found}
    return text.replace_strict(plain, default=text, return_dtype=pl.String) if plain else text


def _expand(value: str) -> str | None:
    try:
        return format(Decimal(value), "f")
    except InvalidOperation:
        return None


def _quick_decimal(text: pl.Series, dtype: pl.Decimal) -> pl.Series:
    """Eight times cheaper than the pattern: read nine decimals more than the type has and see that they are zero.

    Null (left to the pattern) is what could hide a digit behind them: text longer than those decimals, and an exponent.
    """
    return _quick_decimals([(text, dtype)])[0] if _room(dtype) else pl.repeat(None, len(text), dtype=dtype, eager=True)


def _quick_decimals(texts: Sequence[tuple[pl.Series, pl.Decimal]]) -> list[pl.Series]:
    steps = [_quick_steps(str(number), dtype) for number, (_, dtype) in enumerate(texts)]
    # One query: as three they cost small files more than the reading itself.
    return (
        pl.DataFrame([values.alias(str(number)) for number, (values, _) in enumerate(texts)])
        .lazy()
        .select(wide for wide, _, _ in steps)
        .with_columns(narrow for _, narrow, _ in steps)
        .select(exact for _, _, exact in steps)
        .collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())  # there is nothing to optimise
        .get_columns()
    )


@lru_cache(maxsize=1_000)
def _quick_steps(name: str, dtype: pl.Decimal) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The value of text column `name` with further decimals, that value without them, and the latter where both agree;
    each step replaces or uses what the one before gave."""
    narrow, wide = f"{name} narrow", pl.Decimal(38, dtype.scale + _room(dtype))
    is_plain = (pl.col(name).str.len_bytes() <= wide.scale) & ~pl.col(name).str.contains("[eE]")
    fits = pl.col(name).abs() < pl.lit(10 ** _digits(dtype)).cast(wide)
    return (
        pl.when(is_plain).then(pl.col(name)).cast(wide, strict=False),
        pl.when(fits).then(pl.col(name)).cast(dtype, strict=False).alias(narrow),
        pl.when(pl.col(narrow).cast(wide) == pl.col(name)).then(pl.col(narrow)).alias(name),
    )


def _room(dtype: pl.Decimal) -> int:
    """Decimals beyond the type's own that a value can be read with."""
    return max(0, min(_QUICK_EXTRA, 37 - (dtype.precision or 38)))


def _rest_by(values: pl.Series, quick: pl.Series, careful: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """`quick` where it decided; `careful` for the values that it left."""
    if quick.null_count() == values.null_count():
        return quick
    left = quick.is_null() & values.is_not_null()
    return quick.scatter(left.arg_true(), careful(values.filter(left)))


def _checked_decimal(values: pl.Series, dtype: pl.Decimal, dialect: Dialect) -> pl.Series:
    text = _plain_number(values, dialect)
    # A cast rounds surplus decimals without a word and raises beyond the precision: the pattern decides first.
    scale = dtype.scale
    fits = rf"^[+-]?0*[0-9]{{0,{_digits(dtype)}}}(?:\.[0-9]{{0,{scale}}}0*)?$"
    exact = pl.when(pl.col("v").str.contains(fits) & pl.col("v").str.contains("[0-9]")).then(pl.col("v"))
    # 18 digits and more of fraction overflow the parser although the surplus is zeros: drop them first.
    trimmed = exact.str.replace(rf"(\.[0-9]{{{scale}}})0+$", "${1}")
    return text.to_frame("v").select(trimmed.cast(dtype, strict=False)).to_series()


def _digits(dtype: pl.Decimal) -> int:
    """Digits before the decimal mark."""
    return (dtype.precision or 38) - dtype.scale


def _checked_integer(values: pl.Series, dtype: pl.DataType, dialect: Dialect) -> pl.Series:
    text = _plain_number(values, dialect)
    is_whole = pl.col("v").str.contains(r"^[+-]?[0-9]+(\.0*)?$")
    whole = pl.when(is_whole).then(pl.col("v").str.replace(r"\.0*$", ""))
    return text.to_frame("v").select(whole.str.strip_prefix("+").cast(dtype, strict=False)).to_series()
