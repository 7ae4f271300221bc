"""What each check of a gold table says: its schema, the rules of its contract, its keys, and that every source row is
in exactly one group.

The same verdicts before rows are stored, which keeps a broken table from taking the place of a right one, and of what
is stored. Not here: computing (`aggregate.py`), telling people (`defs/checks.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from etl_platform.contracts.check_names import CheckName
from etl_platform.gold.table import GoldTable
from etl_platform.pipeline.verdict import Verdict
from etl_platform.transforms.stored import checkable_rules, inspect


def gold_checks(gold: GoldTable) -> dict[str, str]:
    """Every check of the table: name -> sentence."""
    layer, source = gold.source
    return {
        CheckName.SCHEMA: "The columns and types are those of the contract.",
        **{rule.name: rule.sentence for rule in checkable_rules(gold.contract)},
        CheckName.KEYS: f"No two rows have the same key ({', '.join(gold.contract.key)}).",
        CheckName.CONSERVED: f"Every row of {layer}/{source} is in exactly one group: `{gold.counts}` adds up to them.",
    }


def judge_gold(
    gold: GoldTable, frames: Iterable[pl.DataFrame], source_rows: int, *, are_valid: bool = False
) -> dict[str, Verdict]:
    """The verdict of every check. frames: rows of one partition. source_rows: how many source rows they stand for.
    are_valid: they are known to keep the rules of rows."""
    grouped = 0

    def counted() -> Iterable[pl.DataFrame]:
        nonlocal grouped
        for frame in frames:
            if gold.counts in frame.columns and frame.schema[gold.counts].is_numeric():
                grouped += int(frame.get_column(gold.counts).sum())
            yield frame

    findings = inspect(counted(), gold.contract, gold.table, are_valid=are_valid)
    differences = "; ".join(findings.schema_differences)
    verdicts: dict[str, Verdict] = {
        CheckName.SCHEMA: Verdict(
            not differences, {"differences": len(findings.schema_differences)}, differences or "as in the contract"
        )
    }
    for rule in checkable_rules(gold.contract):
        broken = findings.broken.get(rule.name, 0)
        text = f"{broken} of {findings.rows} rows break the rule"
        verdicts[rule.name] = Verdict(not broken, {"rows_broken": broken}, text, findings.samples.get(rule.name))
    repeated = findings.repeated_keys
    verdicts[CheckName.KEYS] = Verdict(not repeated, {"rows_repeated": repeated}, f"{repeated} rows repeat a key")
    layer, source = gold.source
    numbers = {"source_rows": source_rows, "rows_in_groups": grouped, "rows": findings.rows}
    text = f"{source_rows} rows of {layer}/{source}, {grouped} in {findings.rows} groups"
    verdicts[CheckName.CONSERVED] = Verdict(source_rows == grouped, numbers, text)
    return verdicts


def failed(verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """Those that did not pass."""
    return {name: verdict for name, verdict in verdicts.items() if not verdict.passed}
