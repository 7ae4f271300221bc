"""Broken rules as data: one line per (row of a batch, rule), and their fold into one quarantine row per row."""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.rules import Rule, presence_rule, type_rule
from etl_platform.limits import FOUND_CHARACTERS
from etl_platform.readers.no_rows import no_rows

FAILURE_SCHEMA = pl.Schema({"index": pl.UInt32(), "rule": pl.String(), "column": pl.String(), "found": pl.String()})
_VALUE_RULES = (type_rule, presence_rule)


def no_failures() -> pl.DataFrame:
    """No line, all columns."""
    return no_rows(FAILURE_SCHEMA)


def failures_of(mask: pl.Series, rule: str, column: str, found: pl.Series | None = None) -> pl.DataFrame:
    """Failures of the rows where `mask` is true; `found` is the offending text, aligned with `mask`."""
    index = mask.arg_true()
    shown = (
        found.gather(index).cast(pl.String).str.slice(0, FOUND_CHARACTERS)
        if found is not None
        else pl.Series([None] * len(index), dtype=pl.String)
    )
    return pl.DataFrame({"index": index.cast(pl.UInt32), "found": shown}).select(
        "index", rule=pl.lit(rule), column=pl.lit(column), found=pl.col("found")
    )


def fold(failures: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """One row per failed row: `index`, `rules`, `columns`, `reason` (sentences with what was found).

    A value that did not read as its type is null from then on: its `_is_present` failure is the same finding
    and is dropped. So is a rule that looks at it where the column may be missing: it would take it for a missing one.
    What a derived column lacks because a value that it rests on failed is dropped too.
    """
    unread = failures.filter(pl.col("rule").str.ends_with(type_rule(""))).select("index", "column")
    again = unread.join(_blind_without(contract), on="column").select("index", "rule")
    if contract.derived:
        again = pl.concat([again, _consequences(failures, contract)])
    lines = failures.join(again, on=["index", "rule"], how="anti").join(
        _sentences((*_text_rules(contract), *contract.rules)), on="rule", how="left"
    )
    found = pl.when(pl.col("found").is_not_null()).then(pl.format(" (found '{}')", "found")).otherwise(pl.lit(""))
    sentence = pl.coalesce(pl.col("sentence"), pl.col("rule"))
    return (
        lines.with_columns(reason=pl.format("{}: {}{}", "rule", sentence, found))
        .sort("index", "order", nulls_last=True)
        .group_by("index", maintain_order=True)
        .agg(
            rules=pl.col("rule").unique(maintain_order=True),
            columns=pl.col("rule_columns").explode(empty_as_null=False).drop_nulls().unique(maintain_order=True),
            reason=pl.col("reason").str.join("; "),
        )
    )


def _text_rules(contract: Contract) -> list[Rule]:
    """Nearly everything reads as text, so that this is no check of its own; a number that is not certain does not."""
    texts = [column.name for column in contract.columns if column.dtype == pl.String()]
    return [Rule(type_rule(name), f"{name} reads as text, exactly.", (name,)) for name in texts]


def _blind_without(contract: Contract) -> pl.DataFrame:
    """`column`, `rule`: rules that say nothing about a row whose value of that column did not read."""
    pairs = [(c.name, presence_rule(c.name)) for c in contract.columns]
    maybe = [c.name for c in contract.columns if c.nullable or c.name in contract.nulls]
    pairs += [(name, r.name) for name in maybe for r in contract.row_rules if name in r.columns]
    return pl.DataFrame(pairs, schema={"column": pl.String, "rule": pl.String}, orient="row")


def _consequences(failures: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """`index`, `rule`: presence and type of derived columns that rest on a value which is missing or did not read."""
    pairs = [(d.name, name) for d in contract.derived for name in d.inputs]
    rules = [(given(name), implied(own)) for own, name in pairs for given in _VALUE_RULES for implied in _VALUE_RULES]
    links = pl.DataFrame(rules, schema={"rule": pl.String, "implied": pl.String}, orient="row")
    return failures.join(links, on="rule").select("index", rule="implied")


def _sentences(rules: tuple[Rule, ...]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "rule": [r.name for r in rules],
            "sentence": [r.sentence for r in rules],
            "rule_columns": [list(r.columns) for r in rules],
            "order": range(len(rules)),
        },
        schema={"rule": pl.String, "sentence": pl.String, "rule_columns": pl.List(pl.String), "order": pl.Int64},
    )
