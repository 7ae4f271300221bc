"""Typed rows against the contract's rules: which row breaks which rule.

`find_failures` judges rows on their way in: all rules of the Pandera schema as one Polars query. Pandera's own
validation runs one query per rule and formats every failing row in Python, which was half of the CPU of silver
(3.1 of 6.0 s per million rows with 1 % of broken ones). `validate` is Pandera itself; the asset checks judge what is
*stored* by it, so that two readings of the same schema must agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandera.errors
import pandera.polars as pa
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.rules import presence_rule
from etl_platform.errors import SchemaMismatchError
from etl_platform.limits import VALIDATED_COLUMNS
from etl_platform.transforms.failures import FAILURE_SCHEMA, failures_of, no_failures
from etl_platform.transforms.per_contract import once_per_contract

_ROW_CHECKS = "DataFrameSchema"


def find_failures(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Failures (FAILURE_SCHEMA) of `frame`, whose columns must already have the contract's types."""
    rules = _named_rules(contract)
    if not rules:
        return no_failures()
    flags = frame.select(expression for _, _, expression in rules).get_columns()
    failures = [
        failures_of(~holds, name, column, frame.get_column(column) if column else None)
        for (name, column, _), holds in zip(rules, flags, strict=True)
        if not holds.all()
    ]
    return pl.concat([no_failures(), *failures])


@once_per_contract
def _named_rules(contract: Contract) -> tuple[tuple[str, str, pl.Expr], ...]:
    return tuple((name, column, expression.alias(name)) for name, column, expression in rule_expressions(contract))


def rule_expressions(contract: Contract) -> list[tuple[str, str, pl.Expr]]:
    """(rule, column to show, expression that is false for a broken row) of every rule that typed rows can break."""
    return [
        (rule.name, rule.columns[0] if rule.columns else "", rule.expression)
        for rule in contract.rules
        if rule.expression is not None
    ]


def validate(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The same by Pandera.

    Raises SchemaMismatchError when a column has another type than the contract's: that is a fault of ours, not of
    the data.
    """
    found = [_row_failures(cases, frame, contract) for cases in _failure_cases(frame, contract)]
    return pl.concat(found) if found else no_failures()


def _failure_cases(frame: pl.DataFrame, contract: Contract) -> Iterator[pl.DataFrame]:
    """What Pandera finds, part by part of the schema."""
    present = set(frame.columns)
    for schema in _parts(contract):
        seen = frame if schema.checks else frame.select(name for name in schema.columns if name in present)
        try:
            schema.validate(seen, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            yield errors.failure_cases


@once_per_contract
def _parts(contract: Contract) -> tuple[pa.DataFrameSchema, ...]:
    """The contract's schema; a wide one as schemas of some of its columns each, and one of its checks.

    For each column Pandera asks for the names of all: a thousand columns took 2.4 s whatever their rows.
    """
    whole = contract.schema
    if len(whole.columns) <= 2 * VALIDATED_COLUMNS:
        return (whole,)
    names = list(whole.columns)
    parts = [names[start : start + VALIDATED_COLUMNS] for start in range(0, len(names), VALIDATED_COLUMNS)]
    columns = (pa.DataFrameSchema({name: whole.columns[name] for name in part}) for part in parts)
    return (*columns, pa.DataFrameSchema(checks=whole.checks))


def _row_failures(cases: pl.DataFrame, frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    structural = cases.filter(pl.col("index").is_null())
    if structural.height:
        worst = structural.row(0, named=True)
        raise SchemaMismatchError(
            f"dataset {contract.dataset} column {worst['column']}",
            found=f"{worst['check']}: {worst['failure_case']}",
            expected="the contract's columns and types",
        )
    names = pl.DataFrame(
        {
            "check_number": range(len(contract.row_rules)),
            "rule": [r.name for r in contract.row_rules],
            "looked_at": [r.columns[0] if r.columns else None for r in contract.row_rules],
        },
        schema={"check_number": pl.Int32, "rule": pl.String, "looked_at": pl.String},
    )
    keyed = cases.select(
        pl.col("index").cast(pl.UInt32), "schema_context", "column", pl.col("check_number").cast(pl.Int32)
    )
    absent = keyed.filter(pl.col("schema_context") != _ROW_CHECKS).select(
        "index", rule=pl.col("column") + presence_rule(""), column="column"
    )
    broken = (
        keyed.filter(pl.col("schema_context") == _ROW_CHECKS)
        .join(names, on="check_number", how="left")
        .select("index", "rule", column="looked_at")
    )
    failures = pl.concat([absent, broken])
    return failures.with_columns(found=_found(failures, frame)).select(FAILURE_SCHEMA.names()).cast(FAILURE_SCHEMA)


def _found(failures: pl.DataFrame, frame: pl.DataFrame) -> pl.Series:
    """The value of the first column that a rule looks at, as text."""
    found = pl.Series("found", [None] * failures.height, dtype=pl.String)
    for column in failures.get_column("column").drop_nulls().unique():
        if column in frame.columns:
            rows = (failures.get_column("column") == column).fill_null(False).arg_true()
            values = frame.get_column(column).gather(failures.get_column("index").gather(rows))
            found = found.scatter(rows, values.cast(pl.String))
    return found
