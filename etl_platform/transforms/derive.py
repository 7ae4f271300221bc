"""Columns that a sender does not send: missing values flagged and filled, then derived columns computed, exactly.

Between `normalise` (casts) and `validate` (rules), on batches. What cannot be computed exactly is a failure of the
column's type rule, as if it had not been readable: nothing is rounded, wrapped or infinite.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.declared.column_types import literal
from etl_platform.contracts.declared.expressions import evaluate
from etl_platform.contracts.rules import type_rule
from etl_platform.contracts.shaping import DerivedColumn, flag_column
from etl_platform.transforms.casts import shown_text
from etl_platform.transforms.failures import failures_of, no_failures


@dataclass(frozen=True)
class Derived:
    """frame: all columns of the contract, in its order. failures: values that do not fit (FAILURE_SCHEMA)."""

    frame: pl.DataFrame
    failures: pl.DataFrame


def derive(frame: pl.DataFrame, contract: Contract) -> Derived:
    """`frame` (the sender's columns, typed) with flags, fills and derived columns."""
    if not contract.nulls and not contract.derived:
        return Derived(frame, no_failures())
    dtypes = {column.name: column.dtype for column in contract.columns}
    filled = frame.with_columns(_null_policies(contract, dtypes))
    failures = [no_failures()]
    for column in contract.derived:
        result = evaluate(filled, column.expression)
        computed = result["value"]
        exact = _exactly(computed, dtypes[column.name]).alias(column.name)
        wrong = exact.is_null() & computed.is_not_null() | result["failed"]
        if column.lost is not None and computed.null_count():
            # A value is there, and does not fit: that is another finding than none.
            lost = evaluate(filled, column.lost)["value"].fill_null(False)
            wrong = wrong | (computed.is_null() & lost)
        if wrong.any():
            failures.append(failures_of(wrong, type_rule(column.name), column.name, _found(filled, column, computed)))
        filled = filled.with_columns(exact)
    return Derived(filled.select(list(dtypes)), pl.concat(failures))


def _found(frame: pl.DataFrame, column: DerivedColumn, computed: pl.Series) -> pl.Series:
    """What did not fit; where not even that could be computed, the one value that it rests on."""
    own = computed.cast(pl.String)
    names = set(column.expression.meta.root_names())
    return own.zip_with(own.is_not_null(), shown_text(frame.get_column(names.pop()))) if len(names) == 1 else own


def _null_policies(contract: Contract, dtypes: dict[str, pl.DataType]) -> list[pl.Expr]:
    expressions = []
    for name, policy in contract.nulls.items():
        if policy.action == "flag":
            expressions.append(pl.col(name).is_null().alias(flag_column(name)))
        else:
            expressions.append(pl.col(name).fill_null(literal(policy.value, dtypes[name])))
    return expressions


def _exactly(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """`values` as `dtype`, null where that would change them."""
    if isinstance(dtype, pl.Datetime):
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if values.dtype.is_float():
        values = values.to_frame("v").select(pl.when(pl.col("v").is_finite()).then("v")).to_series()
    typed = values.cast(dtype, strict=False)
    if isinstance(dtype, pl.Float64) or not values.dtype.is_numeric():
        return typed
    frame = pl.DataFrame({"typed": typed, "v": values})
    same = pl.col("typed").cast(values.dtype, strict=False) == pl.col("v")
    return frame.select(pl.when(same).then("typed")).to_series()
