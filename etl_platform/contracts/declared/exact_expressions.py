"""Arithmetic and casts of a compiled expression, made exact: what does not hold to the last digit is null or an error.

Polars multiplies integers modulo their width (the day of a month is one of 8 bits: `DAY(t) * 100` is 28), rounds where
a text becomes a decimal and cuts where a decimal becomes an integer. So integers are added and multiplied as decimals
of 38 digits, whose overflow is an error, everything that counts is 128 bits wide, and a TRY_CAST that would lose a
digit is null.

Belongs here: rewriting an expression. Not here: what an expression may say (`expressions.py`).
"""

from __future__ import annotations

import io
import json
from typing import Any

import polars as pl

_WIDE: dict[str, Any] = {"Decimal": [38, 0]}
_DISTINCT: dict[pl.DataType, int] = {pl.Float16(): 2**11, pl.Float32(): 2**24, pl.Float64(): 2**53}
"""Where a binary float begins to skip whole numbers."""
_KEPT_DIGITS = 15
"""Significant digits of any decimal that a double keeps."""
_FURTHER = 9
"""Decimals that a text is read with beyond those of its type."""
_ZEROS = 99
_SCIENTIFIC = r"^([+-]?)([0-9]*)(?:\.([0-9]*))?[eE]([+-]?[0-9]{1,2})$"


def exactly(expression: pl.Expr, frame: pl.DataFrame) -> pl.Expr:
    """`expression` over columns such as `frame` has, exact. Raises ValueError (found, expected) for a cast that has no
    exact meaning."""
    return _load(_Exact(frame).node(_dump(expression)))


def lost_in_casts(expression: pl.Expr, frame: pl.DataFrame) -> pl.Expr | None:
    """True where a TRY_CAST of `expression` made null of a value; None where it has none."""
    exact = _Exact(frame)
    exact.node(_dump(expression))
    return pl.any_horizontal(exact.losses) if exact.losses else None


class _Exact:
    """Rewrites nodes of an expression, as Polars serialises them, from the leaves up."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self.losses: list[pl.Expr] = []

    def node(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.node(part) for part in node]
        if not isinstance(node, dict) or "Literal" in node:
            return node
        node = {name: self.node(part) for name, part in node.items()}
        if "Cast" in node and node["Cast"]["options"] == "NonStrict":
            return self._wide(self._cast(node))
        if "BinaryExpr" in node and node["BinaryExpr"]["op"] in ("Plus", "Minus", "Multiply"):
            return self._arithmetic(node, node["BinaryExpr"], ("left", "right"))
        return self._function(node) if "Function" in node else node

    def _function(self, node: Any) -> Any:
        match node["Function"]["function"]:
            case {"Sql": {"Binary": "Mul"}}:
                return self._arithmetic(node, node["Function"]["input"], (0, 1))
            case {"Sql": {"Round": {"decimals": decimals}}} if not self._type(node).is_integer():
                # Its own mode depends on the type: decimals away from zero, doubles to even.
                node["Function"]["function"] = {"Round": {"decimals": decimals, "mode": "HalfToEven"}}
                return node
            case _:
                return self._wide(node)

    def _arithmetic(self, node: Any, holder: Any, places: tuple[Any, Any]) -> Any:
        types = [self._type(holder[place]) for place in places]
        if not all(dtype.is_integer() or dtype == pl.Boolean() for dtype in types):
            return node
        for place in places:
            holder[place] = _as(_as(holder[place], "Int128"), _WIDE)
        return _as(node, "Int128")

    def _wide(self, node: Any) -> Any:
        dtype = self._type(node)
        return _as(node, "Int128") if dtype.is_integer() and dtype != pl.Int128() else node

    def _cast(self, node: Any) -> Any:
        given = node["Cast"]["dtype"]["Literal"]
        if isinstance(given, dict) and given.get("Decimal", [1])[0] > _WIDE["Decimal"][0]:
            raise ValueError(f"found a cast to DECIMAL of {given['Decimal'][0]} digits; expected 38 at most")
        value, source, target = _load(node["Cast"]["expr"]), self._type(node["Cast"]["expr"]), self._type(node)
        exact = _exact_cast(value, source, target)
        if target != pl.String():  # everything has a text, and `||` makes one of its sides
            self.losses.append(exact.is_null() & value.is_not_null())
        return _dump(exact)

    def _type(self, node: Any) -> pl.DataType:
        return self._frame.select(_load(node).alias("v")).dtypes[0]


def _exact_cast(value: pl.Expr, source: pl.DataType, target: pl.DataType) -> pl.Expr:
    """`value` as `target`, null where it is no such value exactly. A double is the nearest one, and finite; a
    timestamp as DATE is its day."""
    _require_meaning(source, target)
    typed = value.cast(target, strict=False)
    is_exact = pl.lit(True)
    if isinstance(target, pl.Decimal) and source == pl.String:
        typed = _decimal_of_text(value, target)
    elif isinstance(target, pl.Decimal) and source.is_float():
        typed = _decimal_of_float(value, source, target)
    elif isinstance(source, pl.Decimal) and (isinstance(target, pl.Decimal) or target.is_integer()):
        is_exact = typed == value
    elif source.is_float() and target.is_integer():
        is_exact = (value == value.floor()) & (value.abs() < _DISTINCT[source])
    elif source.is_numeric() and target == pl.Boolean:
        is_exact = (value == 0) | (value == 1)
    elif target.is_float():
        is_exact = typed.is_finite()
    return pl.when(is_exact).then(typed)


def _require_meaning(source: pl.DataType, target: pl.DataType) -> None:
    if target in (pl.Float16, pl.Float32):
        raise ValueError(f"found a cast to {target}, which changes most decimals; expected DOUBLE or DECIMAL")
    for one, other in ((source, target), (target, source)):
        if one.is_temporal() and (other.is_numeric() or other == pl.Boolean):
            raise ValueError(
                f"found a cast from {source} to {target}; expected functions such as YEAR(...), or INTERVAL"
            )


def _decimal_of_text(text: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    """A text with no more characters than a wider type has decimals is read as that type, which shows what was lost;
    the pattern, which costs eight times more, sees the others alone."""
    wide = pl.Decimal(38, dtype.scale + min(_FURTHER, 38 - (dtype.precision or 38)))
    is_short = (text.str.len_bytes() <= wide.scale) & ~text.str.contains("[eE]")
    read = pl.when(is_short).then(text).cast(wide, strict=False)
    narrow = read.cast(dtype, strict=False)
    rest = _checked_decimal(pl.when(~is_short).then(text), dtype)
    return pl.when(narrow == read).then(narrow).otherwise(rest)


def _checked_decimal(text: pl.Expr, dtype: pl.Decimal) -> pl.Expr:
    with_exponent = pl.when(text.str.contains("[eE]")).then(text)
    plain = pl.when(with_exponent.is_not_null()).then(_without_exponent(with_exponent)).otherwise(text)
    before = (dtype.precision or 38) - dtype.scale
    fits = rf"^[+-]?0*[0-9]{{0,{before}}}(?:\.[0-9]{{0,{dtype.scale}}}0*)?$"
    exact = pl.when(plain.str.contains(fits) & plain.str.contains("[0-9]")).then(plain)
    # Zeros beyond the scale are no digits, but more than the parser takes.
    return exact.str.replace(rf"(\.[0-9]{{{dtype.scale}}})0+$", "${1}").cast(dtype, strict=False)


def _decimal_of_float(value: pl.Expr, source: pl.DataType, dtype: pl.Decimal) -> pl.Expr:
    """By its shortest text, where no other decimal of the scale, or of fifteen digits, has the same double."""
    text = value.cast(pl.Float64).cast(pl.String)
    digits = text.str.replace(r"e.*$", "").str.replace_all(r"[-.]", "").str.strip_chars("0").str.len_bytes()
    is_distinct = value.cast(pl.Float64).abs() * 10.0**dtype.scale < _DISTINCT[source]
    return _decimal_of_text(pl.when(is_distinct | (digits <= _KEPT_DIGITS)).then(text), dtype)


def _without_exponent(text: pl.Expr) -> pl.Expr:
    """`-1.5e3` as `-1500.`: the point moved over digits and zeros."""
    parts = text.str.extract_groups(_SCIENTIFIC)
    sign, before, after = (parts.struct.field(str(number)).fill_null("") for number in (1, 2, 3))
    power = parts.struct.field("4").cast(pl.Int64, strict=False)
    zeros = pl.lit("0" * _ZEROS)
    padded = pl.concat_str(zeros, before, after, zeros)
    point = _ZEROS + before.str.len_bytes().cast(pl.Int64) + power
    moved = pl.concat_str(sign, padded.str.slice(0, point), pl.lit("."), padded.str.slice(point))
    return pl.when(power.is_not_null() & (before.str.len_bytes() + after.str.len_bytes() > 0)).then(moved)


def _as(node: Any, dtype: Any) -> Any:
    return {"Cast": {"expr": node, "dtype": {"Literal": dtype}, "options": "Strict"}}


def _dump(expression: pl.Expr) -> Any:
    return json.loads(expression.meta.serialize(format="json"))


def _load(node: Any) -> pl.Expr:
    return pl.Expr.deserialize(io.StringIO(json.dumps(node)), format="json")
