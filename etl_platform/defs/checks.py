"""Asset checks of `silver/<dataset>`: what is stored, read back and held against the contract, per partition.

One step reads once and gives every result: what costs is events and steps, not rules. All but `WARNINGS` block:
warehouse and gold of that partition are not built on silver that fails one. Not here: what each check says
(`silver_judges.py`).
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.attempt import now, reported
from etl_platform.defs.drift_checks import DRIFT_WARNINGS, DriftFacts
from etl_platform.defs.emptied import before_of, is_left_to_others
from etl_platform.defs.evaluations import latest_target, yielded
from etl_platform.defs.graph import Graph
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.overlap import SAME_KEYS, Neighbours, settled
from etl_platform.defs.schema_drift import policy_of
from etl_platform.defs.silver_judges import Stored, judges_of
from etl_platform.defs.step import Step
from etl_platform.defs.table_metadata import markdown
from etl_platform.defs.verdict import Verdict
from etl_platform.delivery import Delivery
from etl_platform.drift.profile import Profile, Profiler
from etl_platform.drift.values import PARTITIONS
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals
from etl_platform.partitions import format_key
from etl_platform.stores.reading import read_frame, read_frames
from etl_platform.transforms.stored import inspect

TRAILING_DAYS = 30
WARNINGS = frozenset({"volume_is_usual"}) | DRIFT_WARNINGS
"""Checks that never block."""


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

    def record(self, ledger: Ledger, step: Step) -> None:
        """Put on record what the checks say of the run's attempt: gold and warehouse may take it, or it has failed."""
        totals = AttemptTotals(
            rows_read=int(self.files["rows_read"].sum()),
            rows_silver=int(self.files["rows_silver"].sum()),
            rows_quarantined=int(self.files["rows_quarantined"].sum()),
            rows_duplicate=int(self.files["rows_duplicate"].sum()),
            checks_passed=len(self.verdicts) - len(self.failed),
            checks_failed=len(self.failed),
        )
        attempt = Delivery.of(self.dataset, step.partition)
        error = None
        if self.blocking:
            where = f"--date {attempt.business_date} --institution {attempt.institution} --dataset {attempt.dataset}"
            next_step = f"next step: `etl-platform quarantine show {where}` has refused files and rows"
            error = f"blocking checks failed: {', '.join(self.blocking)}; {next_step}"
        ledger.end_checks(step.run_id, attempt, totals=totals, error=error, now=now())


def record_checks(
    found: Sequence[tuple[Judged, Step]], contract: Contract, ledger: Ledger, lake: TableIOManager
) -> None:
    """Put on record what the checks say of partitions of one institution, all of it or nothing, and ask other dates to
    look again that hold the same keys."""

    def tell() -> None:
        with ledger.together():
            for judged, step in found:
                judged.record(ledger, step)

    passed = [step for judged, step in found if not judged.blocking and contract.lives_once]
    if not passed:
        tell()
        return
    around = [Neighbours(contract, step.partition, ledger, lake.store, step.run_id) for step in passed]
    for again in settled(around, ledger, tell):
        passed[0].log.info(f"{again} is to be run again: {SAME_KEYS}")


def build_silver_checks(contract: Contract, graph: Graph) -> dg.AssetChecksDefinition:
    """All checks of one dataset's silver asset, as one step."""
    dataset = contract.dataset
    silver = dg.AssetKey(["silver", dataset])
    judges = judges_of(contract)

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
    ) -> Iterator[dg.Output[None] | dg.AssetCheckEvaluation]:
        selected = {key.name for key in context.selected_asset_check_keys}
        step = Step.of(context)
        judged = judge_silver(step, contract, graph, lake, ledger, selected)
        partition = format_key(step.partition)
        target = latest_target(step.instance, silver, partition)
        yield from yielded(silver_checks.check_specs_by_output_name, judged.results(), partition, target)
        # A run of some checks alone says nothing about the whole partition.
        if selected == set(judges):
            bound = graph.contract_of(dataset, step.partition.institution)
            record_checks([(judged, step)], bound, ledger, lake)

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
    dataset, judges = contract.dataset, judges_of(contract)
    with reported(ledger, step.run_id, Delivery.of(dataset, step.partition)):
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
    profile = profiler.profile()
    files = read_frame(lake.store, reconciliation_table(dataset), [partition])
    with ledger.together():
        trailing = ledger.rows_of_earlier_dates(Delivery.of(dataset, partition), TRAILING_DAYS)
        drift = _drift_facts(ledger, graph, dataset, partition, profile)
        is_empty = not findings.rows and not is_left_to_others(files)
        before = before_of(ledger, Delivery.of(dataset, partition)) if is_empty else None
    return Stored(
        findings=findings,
        files=files,
        quarantined=read_frame(
            lake.store, quarantine_table(dataset), [partition], ["kind", "_source_file", "_source_row", "reason"]
        ),
        limit=institution.largest_quarantined_share(dataset) if is_sent else 1.0,
        trailing_rows=trailing,
        drift=drift,
        before=before,
    )


def _drift_facts(ledger: Ledger, graph: Graph, dataset: str, partition: PartitionKey, profile: Profile) -> DriftFacts:
    """Puts the profile on record for later partitions, too."""
    wanted = Delivery.of(dataset, partition)
    ledger.record_profile(wanted, profile.rows, profile.as_json(), now=now())
    return DriftFacts(
        policy=policy_of(graph, dataset, partition.institution),
        delivered=ledger.schemas(wanted),
        profile=profile,
        earlier=[Profile.from_json(found) for found in ledger.earlier_profiles(wanted, PARTITIONS)],
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
