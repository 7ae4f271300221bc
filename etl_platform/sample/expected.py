"""What the platform must make of the sample files, row by row: the answer sheet of tests and demos.

Not here: how it is compared. `quarantined` counts rows as the platform does: broken ones and superseded ones.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from etl_platform.errors import ConfigurationError


@dataclass(frozen=True)
class RefusedRow:
    """One quarantined row: landing key, `_source_row`, and all rules that it breaks."""

    file: str
    row: int
    rules: tuple[str, ...]


@dataclass(frozen=True)
class ExpectedPartition:
    """One dataset of one institution on one date: `rows_read = silver + quarantined + duplicates`.

    rules: rows that break each rule. refused_files: key -> rule of files that cannot be read (they count no rows).
    skipped_rules: rules of the contract that this sender's format or configuration cannot break.
    """

    dataset: str
    institution: str
    business_date: dt.date
    files: tuple[str, ...]
    rows_read: int
    silver: int
    quarantined: int
    superseded: int
    duplicates: int
    rules: dict[str, int]
    refused_rows: tuple[RefusedRow, ...] = field(repr=False)
    refused_files: dict[str, str]
    skipped_rules: tuple[str, ...]

    @property
    def name(self) -> str:
        """For messages and folders."""
        return f"{self.dataset}|{self.institution}|{self.business_date}"


@dataclass(frozen=True)
class Expected:
    """All partitions of one `generate`, in the order of writing."""

    seed: int
    partitions: tuple[ExpectedPartition, ...]

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, dt.date], ExpectedPartition]:
        return {(p.dataset, p.institution, p.business_date): p for p in self.partitions}

    def partition(self, dataset: str, institution: str, date: dt.date) -> ExpectedPartition:
        """What to expect of one partition; KeyError where nothing was written for it."""
        return self._by_name[dataset, institution, date]

    @property
    def rows_read(self) -> int:
        """Rows of all readable files."""
        return sum(p.rows_read for p in self.partitions)

    def save(self, path: Path) -> None:
        """Write as JSON; `load_expected` reads it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partitions = [
            {
                **asdict(p),
                "business_date": p.business_date.isoformat(),
                "refused_rows": [[p.files.index(r.file), r.row, r.rules] for r in p.refused_rows],
            }
            for p in self.partitions
        ]
        path.write_text(json.dumps({"seed": self.seed, "partitions": partitions}, indent=1) + "\n", encoding="utf-8")


def load_expected(path: Path) -> Expected:
    """The answer sheet at `path`. Raises ConfigurationError where there is none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Expected(document["seed"], tuple(_partition(p) for p in document["partitions"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"expected results {path}",
            found=f"{type(error).__name__}: {error}",
            expected="the file that generating sample data wrote",
            next_step="generate the sample data again",
        ) from error


def _partition(document: dict[str, Any]) -> ExpectedPartition:
    files = tuple(document["files"])
    refused = tuple(RefusedRow(files[f], row, tuple(rules)) for f, row, rules in document["refused_rows"])
    return ExpectedPartition(
        **{
            **document,
            "business_date": dt.date.fromisoformat(document["business_date"]),
            "files": files,
            "refused_rows": refused,
            "skipped_rules": tuple(document["skipped_rules"]),
        }
    )
