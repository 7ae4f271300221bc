"""What is *stored* against its contract: the numbers behind the asset checks, from a stream of stored frames."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.rules import Rule, presence_rule, unique_rule
from etl_platform.contracts.table import Table
from etl_platform.limits import STORED_SAMPLE_ROWS
from etl_platform.transforms.validate import validate

_KEY = "_key"


@dataclass
class StoredFindings:
    """rows: stored rows read. broken: rule -> rows that break it. samples: rule -> a few of those rows.
    repeated_keys: rows beyond the first of their key. schema_differences: sentences, empty where all is well."""

    rows: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    samples: dict[str, pl.DataFrame] = field(default_factory=dict)
    repeated_keys: int = 0
    schema_differences: list[str] = field(default_factory=list)


def checkable_rules(contract: Contract) -> list[Rule]:
    """The rules that can be seen on typed rows: presence rules and the model's own (types are the schema's)."""
    present = {presence_rule(c.name) for c in contract.columns if not c.nullable}
    own = {r.name for r in contract.row_rules} | {unique_rule(name) for name in contract.unique}
    return [r for r in contract.rules if r.name in present | own]


def inspect(
    frames: Iterable[pl.DataFrame], contract: Contract, table: Table | None = None, *, are_valid: bool = False
) -> StoredFindings:
    """Read `frames` (rows of one partition) once and find every rule that does not hold on them.

    table: where they are stored, the contract's silver table unless another is given.
    are_valid: these very rows were given to `validate`, together with others, and it found nothing.

    Memory: one frame, and 8 bytes per row for the keys and for each unique column.
    """
    findings = StoredFindings()
    expected = (table or contract.silver).polars_schema
    key = list(contract.key) or ["_row_hash"]
    hashes: list[pl.DataFrame] = []
    for frame in frames:
        findings.rows += frame.height
        differences = _differences(frame.schema, expected)
        if differences:
            findings.schema_differences += [d for d in differences if d not in findings.schema_differences]
            continue
        if not are_valid:
            _add_failures(findings, frame, validate(frame, contract))
        values = {name: pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash()) for name in contract.unique}
        hashes.append(frame.select(pl.struct(key).hash().alias(_KEY), **values))
    if hashes:
        held = pl.concat(hashes)
        findings.repeated_keys = held.height - held[_KEY].n_unique() if contract.has_unique_key else 0
        repeats = {unique_rule(name): _repeats(held[name]) for name in contract.unique}
        findings.broken |= {rule: rows for rule, rows in repeats.items() if rows}
    return findings


def _repeats(values: pl.Series) -> int:
    present = values.drop_nulls()
    return len(present) - present.n_unique()


def _differences(found: pl.Schema, expected: pl.Schema) -> list[str]:
    wrong = [f"{n} is {found[n]}, expected {t}" for n, t in expected.items() if n in found and found[n] != t]
    missing = [f"{n} ({t}) is missing" for n, t in expected.items() if n not in found]
    return wrong + missing + [f"{n} ({t}) is extra" for n, t in found.items() if n not in expected]


def _add_failures(findings: StoredFindings, frame: pl.DataFrame, failures: pl.DataFrame) -> None:
    for (rule,), broken in failures.group_by("rule", maintain_order=True):
        name = str(rule)
        findings.broken[name] = findings.broken.get(name, 0) + broken.height
        held = findings.samples.get(name, frame.clear())
        if held.height < STORED_SAMPLE_ROWS:
            rows = frame[broken.get_column("index").head(STORED_SAMPLE_ROWS - held.height)]
            findings.samples[name] = pl.concat([held, rows])
