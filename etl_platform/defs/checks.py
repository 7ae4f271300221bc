"""Asset checks of `silver/<dataset>`: what is stored, read back and held against the contract, per partition.

One step reads once and gives every result: what costs is events and steps, not rules. All but `WARNINGS` block:
warehouse and gold of that partition are not built on silver that fails one.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import FILE, quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import dataset_partition, now, reported
from etl_platform.defs.drift_checks import DRIFT_WARNINGS, DriftFacts, DriftJudge, drift_judges
from etl_platform.defs.graph import Graph
from etl_platform.defs.schema_drift import policy_of
from etl_platform.defs.step import Step
from etl_platform.defs.verdict import Verdict
from etl_platform.io_managers.base import TableIOManager
from etl_platform.io_managers.metadata import markdown
from etl_platform.io_managers.reading import read_frame, read_frames
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals
from etl_platform.transforms.profile import Profile, Profiler
from etl_platform.transforms.semantic_drift import PARTITIONS
from etl_platform.transforms.stored import StoredFindings, checkable_rules, inspect

TRAILING_DAYS = 30
FEWEST_DAYS = 3
"""With fewer earlier days than this there is no usual volume to compare with."""
NAMED_FILES = 3
USUAL = (0.5, 2.0)
"""Share of the trailing median between which a day's rows are usual."""
WARNINGS = frozenset({"volume_is_usual"}) | DRIFT_WARNINGS
"""Checks that never block."""


@dataclass(frozen=True)
class Stored:
    """Everything the checks of one partition look at, read once."""

    findings: StoredFindings
    files: pl.DataFrame
    quarantined: pl.DataFrame
    limit: float
    trailing_rows: list[int]
    drift: DriftFacts


@dataclass(frozen=True)
class StoredRows:
    """Stored silver rows of one partition that somebody has read already. are_valid: and found to break no rule."""

    frame: pl.DataFrame
    are_valid: bool


@dataclass(frozen=True)
class Judged:
    """What the checks of one partition found. files: its reconciliation."""

    dataset: str
    files: pl.DataFrame
    verdicts: Mapping[str, Verdict]

    @property
    def failed(self) -> list[str]:
        return [name for name, verdict in self.verdicts.items() if not verdict.passed]

    @property
    def blocking(self) -> list[str]:
        """The failed checks that keep the partition out of warehouse and gold."""
        return [name for name in self.failed if not self.verdicts[name].warns]

    def results(self) -> Iterator[dg.AssetCheckResult]:
        """As Dagster wants them."""
        for name, verdict in self.verdicts.items():
            yield _result(name, dg.AssetKey(["silver", self.dataset]), verdict)

    def end_attempt(self, ledger: Ledger, step: Step) -> None:
        """Put the end of the run's attempt on record."""
        totals = AttemptTotals(
            rows_read=int(self.files["rows_read"].sum()),
            rows_silver=int(self.files["rows_silver"].sum()),
            rows_quarantined=int(self.files["rows_quarantined"].sum()),
            rows_duplicate=int(self.files["rows_duplicate"].sum()),
            checks_passed=len(self.verdicts) - len(self.failed),
            checks_failed=len(self.failed),
        )
        attempt = dataset_partition(self.dataset, step.partition)
        error = None
        if self.blocking:
            where = f"--date {attempt.business_date} --institution {attempt.institution} --dataset {attempt.dataset}"
            next_step = f"next step: `etl-platform quarantine show {where}` has refused files and rows"
            error = f"blocking checks failed: {', '.join(self.blocking)}; {next_step}"
        ledger.end_attempt(step.run_id, attempt, totals=totals, error=error, now=now())


def build_silver_checks(contract: Contract, graph: Graph) -> dg.AssetChecksDefinition:
    """All checks of one dataset's silver asset, as one step."""
    dataset = contract.dataset
    silver = dg.AssetKey(["silver", dataset])
    judges = _judges(contract)

    @dg.multi_asset_check(
        name=f"silver_{dataset}_checks",
        specs=[
            dg.AssetCheckSpec(
                name=name,
                asset=silver,
                description=sentence,
                blocking=name not in WARNINGS,
                partitions_def=graph.partitions.both,
            )
            for name, (sentence, _) in judges.items()
        ],
        can_subset=True,
    )
    def silver_checks(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[TableIOManager],
        ledger: dg.ResourceParam[Ledger],
    ) -> Iterator[dg.AssetCheckResult]:
        selected = {key.name for key in context.selected_asset_check_keys}
        step = Step.of(context)
        judged = judge_silver(step, contract, graph, lake, ledger, selected)
        yield from judged.results()
        # A run of some checks alone says nothing about the whole partition.
        if selected == set(judges):
            judged.end_attempt(ledger, step)

    return silver_checks


def judge_silver(
    step: Step,
    contract: Contract,
    graph: Graph,
    lake: TableIOManager,
    ledger: Ledger,
    selected: Set[str] | None = None,
    rows: StoredRows | None = None,
) -> Judged:
    """Every check of the partition's silver, or the selected ones. rows: what is stored, where it is at hand."""
    dataset, judges = contract.dataset, _judges(contract)
    with reported(ledger, step.run_id, dataset_partition(dataset, step.partition)):
        stored = _read(lake, ledger, graph, dataset, step.partition, rows)
        wanted = {name: judge for name, (_, judge) in judges.items() if selected is None or name in selected}
        return Judged(dataset, stored.files, {name: judge(stored) for name, judge in wanted.items()})


def _read(
    lake: TableIOManager,
    ledger: Ledger,
    graph: Graph,
    dataset: str,
    partition: PartitionKey,
    rows: StoredRows | None,
) -> Stored:
    contract = graph.contract_of(dataset, partition.institution)
    institution = graph.institutions[partition.institution or ""]
    is_sent = dataset in institution.datasets
    profiler = Profiler(contract, institution.time_zone)
    frames = iter((rows.frame,)) if rows else read_frames(lake.store, contract.silver, [partition])
    findings = inspect(profiler.watch(frames), contract, are_valid=rows is not None and rows.are_valid)
    return Stored(
        findings=findings,
        files=read_frame(lake.store, reconciliation_table(dataset), [partition]),
        quarantined=read_frame(
            lake.store, quarantine_table(dataset), [partition], ["kind", "_source_file", "_source_row", "reason"]
        ),
        limit=institution.largest_quarantined_share(dataset) if is_sent else 1.0,
        trailing_rows=ledger.rows_of_earlier_dates(dataset_partition(dataset, partition), TRAILING_DAYS),
        drift=_drift_facts(ledger, graph, dataset, partition, profiler.profile()),
    )


def _drift_facts(ledger: Ledger, graph: Graph, dataset: str, partition: PartitionKey, profile: Profile) -> DriftFacts:
    """Puts the profile on record for later partitions, too."""
    wanted = dataset_partition(dataset, partition)
    ledger.record_profile(wanted, profile.rows, profile.as_json(), now=now())
    return DriftFacts(
        policy=policy_of(graph, dataset, partition.institution),
        delivered=ledger.schemas(wanted),
        profile=profile,
        earlier=[Profile.from_json(found) for found in ledger.earlier_profiles(wanted, PARTITIONS)],
    )


def _judges(contract: Contract) -> dict[str, tuple[str, Callable[[Stored], Verdict]]]:
    """Every check of the dataset: name -> (sentence, judge). Rules come from the contract alone."""
    judges: dict[str, tuple[str, Callable[[Stored], Verdict]]] = {
        "schema_matches_contract": ("The stored columns and types are those of the contract.", _schema),
    }
    for rule in checkable_rules(contract):
        judges[rule.name] = (rule.sentence, _rule_judge(rule.name))
    key = ", ".join(contract.key) or "all columns"
    if contract.deduplicates:
        judges["keys_are_unique"] = (f"No two stored rows have the same key ({key}).", _keys)
    judges |= {
        "rows_are_conserved": (
            "Rows read = silver + quarantined + duplicates, per file and in the tables.",
            _conserved,
        ),
        "quarantined_share_is_within_limit": (
            "The share of quarantined rows is within the institution's limit.",
            _share,
        ),
        "every_file_is_readable": ("Every file of the partition could be read to its end.", _files),
        "volume_is_usual": (f"Rows are {USUAL[0]}x to {USUAL[1]}x the median of earlier days (warning).", _volume),
    }
    for name, (sentence, judge) in drift_judges(contract).items():
        judges[name] = (sentence, _drift_judge(judge))
    return judges


def _drift_judge(judge: DriftJudge) -> Callable[[Stored], Verdict]:
    return lambda stored: judge(stored.drift)


def _schema(stored: Stored) -> Verdict:
    differences = stored.findings.schema_differences
    return Verdict(not differences, {"differences": len(differences)}, "; ".join(differences) or "as in the contract")


def _rule_judge(name: str) -> Callable[[Stored], Verdict]:
    def judge(stored: Stored) -> Verdict:
        broken = stored.findings.broken.get(name, 0)
        text = f"{broken} of {stored.findings.rows} stored rows break the rule"
        return Verdict(not broken, {"rows_broken": broken}, text, stored.findings.samples.get(name))

    return judge


def _keys(stored: Stored) -> Verdict:
    repeated = stored.findings.repeated_keys
    return Verdict(not repeated, {"rows_repeated": repeated}, f"{repeated} rows repeat a key")


def _conserved(stored: Stored) -> Verdict:
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


def _share(stored: Stored) -> Verdict:
    read, quarantined = int(stored.files["rows_read"].sum()), int(stored.files["rows_quarantined"].sum())
    share = quarantined / read if read else 0.0
    numbers = {"quarantined_share": share, "limit": stored.limit, "rows_quarantined": quarantined}
    sample = stored.quarantined.filter(pl.col("kind") != FILE).head(5)
    return Verdict(share <= stored.limit, numbers, f"{share:.2%} quarantined, limit {stored.limit:.2%}", sample)


def _files(stored: Stored) -> Verdict:
    # In mode `append` an overwritten file stays a file of the partition: what replaced a refused one answers for it.
    is_latest = pl.col("delivery") == pl.col("delivery").max().over("uri")
    refused = stored.files.filter(pl.col("is_refused") & is_latest).select("_source_file", "reason")
    text = f"{refused.height} of {stored.files.height} files could not be read"
    if refused.height:
        # The UI folds the sample away: whoever is called at night reads this line first.
        shown = refused["_source_file"].head(NAMED_FILES).to_list()
        text += f": {', '.join(shown)}" + (" ..." if refused.height > NAMED_FILES else "")
    return Verdict(refused.is_empty(), {"files_refused": refused.height, "files": stored.files.height}, text, refused)


def _volume(stored: Stored) -> Verdict:
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


def warning_text(found: dg.AssetCheckResult | dg.AssetCheckEvaluation) -> str:
    """A failed check in a line, for people who have no UI open."""
    return f"{found.check_name}: {found.description}"


def _result(name: str, asset: dg.AssetKey, verdict: Verdict) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = dict(verdict.numbers)
    if verdict.sample is not None and verdict.sample.height:
        metadata["sample"] = dg.MetadataValue.md(markdown(verdict.sample))
    severity = dg.AssetCheckSeverity.WARN if verdict.warns else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name=name,
        asset_key=asset,
        passed=verdict.passed,
        severity=severity,
        metadata=metadata,
        description=verdict.text,
    )
