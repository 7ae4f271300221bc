"""Quarantine rows from what was refused: unreadable records, broken rules, whole files, superseded rows.

Each function gives the columns of `contracts/quarantine.py` that depend on the finding; file, time and partition
are added by the caller, who knows them.
"""

from __future__ import annotations

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import FILE, ROW, SUPERSEDED, SUPERSEDED_RULE, SUPERSEDED_SENTENCE
from etl_platform.contracts.rules import unique_rule
from etl_platform.errors import FileRefusedError
from etl_platform.readers.batch import SOURCE_ROW

_NAMES = pl.List(pl.String)


def rejected_records(rejects: pl.DataFrame) -> pl.DataFrame:
    """Records that could not be taken apart (readers.batch.REJECT_SCHEMA)."""
    return rejects.select(
        pl.lit(ROW).alias("kind"),
        SOURCE_ROW,
        pl.concat_list("rule").alias("rules"),
        pl.lit([], _NAMES).alias("columns"),
        pl.format("{}: {}", "rule", "found").alias("reason"),
        "raw",
    )


def failed_rows(folded: pl.DataFrame, source_rows: pl.Series, raw: pl.Series) -> pl.DataFrame:
    """Rows that broke rules (`failures.fold`), with their place and raw text."""
    return folded.select(
        pl.lit(ROW).alias("kind"), source_rows.alias(SOURCE_ROW), "rules", "columns", "reason", raw.alias("raw")
    )


def refused_file(refusal: FileRefusedError) -> pl.DataFrame:
    """The one row that stands for a file that could not be read at all."""
    return pl.select(
        pl.lit(FILE).alias("kind"),
        pl.lit(None, pl.Int64).alias(SOURCE_ROW),
        pl.lit([refusal.rule], _NAMES).alias("rules"),
        pl.lit([], _NAMES).alias("columns"),
        pl.lit(f"{refusal.rule}: {refusal}").alias("reason"),
        pl.lit(None, pl.String).alias("raw"),
    )


def superseded_rows(losers: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Valid rows, with their `raw` text, that lost to a later delivery."""
    return _compared_rows(losers, SUPERSEDED, SUPERSEDED_RULE, SUPERSEDED_SENTENCE, contract.key)


def repeated_rows(rows: pl.DataFrame, contract: Contract, column: str) -> pl.DataFrame:
    """Rows, with their `raw` text, whose value of a unique column an earlier row has."""
    rule = contract.rule(unique_rule(column))
    return _compared_rows(rows, ROW, rule.name, rule.sentence, (column,))


def _compared_rows(rows: pl.DataFrame, kind: str, rule: str, sentence: str, columns: tuple[str, ...]) -> pl.DataFrame:
    return rows.select(
        pl.lit(kind).alias("kind"),
        SOURCE_ROW,
        pl.lit([rule], _NAMES).alias("rules"),
        pl.lit(list(columns), _NAMES).alias("columns"),
        pl.lit(f"{rule}: {sentence}").alias("reason"),
        "raw",
        "_source_file",
    )
