"""What each check of `silver/<dataset>` says, from everything that was read of a partition at once.

Belongs here: one function per check, from `StoredDelivery` to a `Verdict`. Not here: reading, and telling
people (`checks.py`), the checks for drift (`drift_judges.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.check_names import CheckName
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import FILE
from etl_platform.pipeline.check import Check
from etl_platform.pipeline.drift_judges import DriftFacts, drift_checks
from etl_platform.pipeline.emptied import Before, emptied_text
from etl_platform.pipeline.verdict import Verdict
from etl_platform.transforms.stored import StoredFindings, checkable_rules

FEWEST_DAYS = 3
"""With fewer earlier days than this there is no usual volume to compare with."""
NAMED_FILES = 3
USUAL = (0.5, 2.0)
"""Share of the trailing median between which a day's rows are usual."""


@dataclass(frozen=True)
class StoredDelivery:
    """Everything the checks of one partition look at, read once. before: what it had, where it has lost all rows."""

    findings: StoredFindings
    files: pl.DataFrame
    quarantined: pl.DataFrame
    limit: float
    trailing_rows: list[int]
    drift: DriftFacts
    before: Before | None = None


def silver_checks(contract: Contract) -> tuple[Check[StoredDelivery], ...]:
    """Every check of the dataset's silver. Rules come from the contract alone."""
    key = ", ".join(contract.key) or "all columns"
    lowest, highest = USUAL
    usual = f"Rows are {lowest}x to {highest}x the median of earlier days, and not all of them are gone (warning)."
    keys = Check(CheckName.KEYS, f"No two stored rows have the same key ({key}).", _keys)
    return (
        Check(CheckName.SCHEMA, "The stored columns and types are those of the contract.", _schema),
        *(Check(rule.name, rule.sentence, _rule_judge(rule.name)) for rule in checkable_rules(contract)),
        *((keys,) if contract.has_unique_key else ()),
        Check(
            CheckName.CONSERVED,
            "Rows read = silver + quarantined + duplicates, per file and in the tables.",
            _conserved,
        ),
        Check(CheckName.SHARE, "The share of quarantined rows is within the institution's limit.", _share),
        Check(CheckName.FILES, "Every file of the partition could be read to its end.", _files),
        Check(CheckName.VOLUME, usual, _volume, blocks=False),
        *(check.within(_drift_of) for check in drift_checks(contract)),
    )


def _drift_of(stored: StoredDelivery) -> DriftFacts:
    return stored.drift


def _schema(stored: StoredDelivery) -> Verdict:
    differences = stored.findings.schema_differences
    return Verdict(not differences, {"differences": len(differences)}, "; ".join(differences) or "as in the contract")


def _rule_judge(name: str) -> Callable[[StoredDelivery], Verdict]:
    def judge(stored: StoredDelivery) -> Verdict:
        broken = stored.findings.broken.get(name, 0)
        text = f"{broken} of {stored.findings.rows} stored rows break the rule"
        return Verdict(not broken, {"rows_broken": broken}, text, stored.findings.samples.get(name))

    return judge


def _keys(stored: StoredDelivery) -> Verdict:
    repeated = stored.findings.repeated_keys
    return Verdict(not repeated, {"rows_repeated": repeated}, f"{repeated} rows repeat a key")


def _conserved(stored: StoredDelivery) -> Verdict:
    """The account of the files must balance, and agree with what the two tables really hold."""
    totals = {
        name: int(stored.files[name].sum())
        for name in ("rows_read", "rows_silver", "rows_quarantined", "rows_duplicate")
    }
    unexplained = totals["rows_read"] - totals["rows_silver"] - totals["rows_quarantined"] - totals["rows_duplicate"]
    held = int((stored.quarantined["kind"] != FILE).sum())
    numbers = {
        **totals,
        "unexplained": unexplained,
        "silver_difference": stored.findings.rows - totals["rows_silver"],
        "quarantine_difference": held - totals["rows_quarantined"],
    }
    passed = not (numbers["unexplained"] or numbers["silver_difference"] or numbers["quarantine_difference"])
    text = (
        "{rows_read} read = {rows_silver} silver + {rows_quarantined} quarantined + {rows_duplicate} duplicates".format(
            **totals
        )
    )
    return Verdict(passed, numbers, text if passed else f"does not balance: {numbers}")


def _share(stored: StoredDelivery) -> Verdict:
    read, quarantined = int(stored.files["rows_read"].sum()), int(stored.files["rows_quarantined"].sum())
    share = quarantined / read if read else 0.0
    numbers = {"quarantined_share": share, "limit": stored.limit, "rows_quarantined": quarantined}
    sample = stored.quarantined.filter(pl.col("kind") != FILE).head(5)
    return Verdict(share <= stored.limit, numbers, f"{share:.2%} quarantined, limit {stored.limit:.2%}", sample)


def _files(stored: StoredDelivery) -> Verdict:
    # In mode `append` an overwritten file stays a file of the partition: what replaced a refused one answers for it.
    is_latest = pl.col("delivery") == pl.col("delivery").max().over("_source_file")
    refused = stored.files.filter(pl.col("is_refused") & is_latest).select("_source_file", "reason")
    text = f"{refused.height} of {stored.files.height} files could not be read"
    if refused.height:
        # The UI folds the sample away: whoever is called at night reads this line first.
        shown = refused["_source_file"].head(NAMED_FILES).to_list()
        text += f": {', '.join(shown)}" + (" ..." if refused.height > NAMED_FILES else "")
    return Verdict(refused.is_empty(), {"files_refused": refused.height, "files": stored.files.height}, text, refused)


def _volume(stored: StoredDelivery) -> Verdict:
    usual = _usual_volume(stored)
    if stored.before is None:
        return usual
    text = f"{emptied_text(stored.before, stored.files)}; {usual.text}"
    numbers = {**usual.numbers, "rows_before": stored.before.rows}
    shown = stored.files.select("_source_file", "delivery", "rows_read", "rows_quarantined", "rows_duplicate")
    return Verdict(False, numbers, text, shown, warns=True)


def _usual_volume(stored: StoredDelivery) -> Verdict:
    rows, trailing = stored.findings.rows, stored.trailing_rows
    if len(trailing) < FEWEST_DAYS:
        return Verdict(True, {"rows": rows}, f"{len(trailing)} earlier days are too few to compare with", warns=True)
    median = float(pl.Series(trailing).median() or 0)  # type: ignore[arg-type]
    ratio = rows / median if median else 0.0
    usual = USUAL[0] <= ratio <= USUAL[1]
    return Verdict(
        usual,
        {"rows": rows, "trailing_median": median, "ratio": ratio},
        f"{ratio:.2f}x the median of {len(trailing)} days",
        warns=True,
    )
