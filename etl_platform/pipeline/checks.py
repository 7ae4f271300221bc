"""What is stored of a delivery, read back and held against its contract: one verdict for each check.

One look reads once and gives every verdict. Gold and warehouse of a delivery are not built on silver that fails a check
that blocks. Not here: what each check says (`silver_judges.py`), telling people (`defs/checks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import polars as pl

from etl_platform.clock import now
from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.delivery import Delivery
from etl_platform.drift.profile import Profile, Profiler
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import AttemptTotals
from etl_platform.limits import DRIFT_PARTITIONS
from etl_platform.pipeline.configuration import Configuration
from etl_platform.pipeline.drift_judges import DriftFacts
from etl_platform.pipeline.emptied import before_of, is_left_to_others
from etl_platform.pipeline.overlap import SAME_KEYS, Neighbours, settled
from etl_platform.pipeline.platform import Platform
from etl_platform.pipeline.run import Run
from etl_platform.pipeline.silver_judges import StoredDelivery, silver_checks
from etl_platform.pipeline.verdict import Verdict
from etl_platform.stores.reading import read_frame, read_frames
from etl_platform.transforms.stored import inspect

TRAILING_DAYS = 30


@dataclass(frozen=True)
class StoredRows:
    """Stored silver rows of one delivery that somebody has read already. are_valid: and found to break no rule."""

    frame: pl.DataFrame
    are_valid: bool


@dataclass(frozen=True)
class Judged:
    """What the checks of one delivery found. files: its reconciliation."""

    delivery: Delivery
    files: pl.DataFrame
    verdicts: Mapping[str, Verdict]

    @property
    def failed(self) -> list[str]:
        return [name for name, verdict in self.verdicts.items() if not verdict.passed]

    @property
    def blocking(self) -> list[str]:
        """The failed checks that keep the delivery out of warehouse and gold."""
        return [name for name in self.failed if not self.verdicts[name].warns]

    def record(self, ledger: Ledger, run_id: str) -> None:
        """Put on record what the checks say of the run's attempt: gold and warehouse may take it, or it has failed."""
        totals = AttemptTotals(
            rows_read=int(self.files["rows_read"].sum()),
            rows_silver=int(self.files["rows_silver"].sum()),
            rows_quarantined=int(self.files["rows_quarantined"].sum()),
            rows_duplicate=int(self.files["rows_duplicate"].sum()),
            checks_passed=len(self.verdicts) - len(self.failed),
            checks_failed=len(self.failed),
        )
        error = None
        if self.blocking:
            found = self.delivery
            where = f"--date {found.business_date} --institution {found.institution} --dataset {found.dataset}"
            next_step = f"next step: `etl-platform quarantine show {where}` has refused files and rows"
            error = f"blocking checks failed: {', '.join(self.blocking)}; {next_step}"
        ledger.end_checks(run_id, self.delivery, totals=totals, error=error, now=now())


def judge_delivery(
    delivery: Delivery, platform: Platform, selected: Set[str] | None = None, rows: StoredRows | None = None
) -> Judged:
    """Every check of the delivery's silver, or the selected ones. rows: what is stored, where it is at hand."""
    checks = silver_checks(platform.config.contracts[delivery.dataset])
    stored = _read(delivery, platform, rows)
    wanted = [check for check in checks if selected is None or check.name in selected]
    return Judged(delivery, stored.files, {check.name: check.judge(stored) for check in wanted})


def record_checks(run: Run, found: Sequence[Judged], contract: Contract, platform: Platform) -> None:
    """Put on record what the checks say of deliveries of one institution, all of it or nothing, and ask other dates to
    look again that hold the same keys."""
    ledger = platform.ledger

    def tell() -> None:
        with ledger.together():
            for judged in found:
                judged.record(ledger, run.run_id)

    passed = [judged.delivery for judged in found if not judged.blocking and contract.lives_once]
    if not passed:
        tell()
        return
    around = [Neighbours(contract, delivery, ledger, platform.lake, run.run_id) for delivery in passed]
    for again in settled(around, ledger, tell):
        run.log.info(f"{again} is to be run again: {SAME_KEYS}")


def _read(delivery: Delivery, platform: Platform, rows: StoredRows | None) -> StoredDelivery:
    config, ledger, lake = platform.config, platform.ledger, platform.lake
    dataset, partition = delivery.dataset, delivery.partition
    contract = config.contract_of(dataset, delivery.institution)
    profiler = Profiler(contract, config.institutions[delivery.institution].time_zone)
    frames = iter((rows.frame,)) if rows else read_frames(lake, contract.silver, [partition])
    findings = inspect(profiler.watch(frames), contract, are_valid=rows is not None and rows.are_valid)
    profile = profiler.profile()
    files = read_frame(lake, reconciliation_table(dataset), [partition])
    with ledger.together():
        trailing = ledger.rows_of_earlier_dates(delivery, TRAILING_DAYS)
        drift = _drift_facts(delivery, config, ledger, profile)
        is_empty = not findings.rows and not is_left_to_others(files)
        before = before_of(ledger, delivery) if is_empty else None
    columns = ["kind", "_source_file", "_source_row", "reason"]
    return StoredDelivery(
        findings=findings,
        files=files,
        quarantined=read_frame(lake, quarantine_table(dataset), [partition], columns),
        limit=config.quarantine_limit_of(dataset, delivery.institution),
        trailing_rows=trailing,
        drift=drift,
        before=before,
    )


def _drift_facts(delivery: Delivery, config: Configuration, ledger: Ledger, profile: Profile) -> DriftFacts:
    """Puts the profile on record for later partitions, too."""
    ledger.record_profile(delivery, profile.rows, profile.as_json(), now=now())
    return DriftFacts(
        policy=config.drift_policy_of(delivery.dataset, delivery.institution),
        delivered=ledger.schemas(delivery),
        profile=profile,
        earlier=[Profile.from_json(found) for found in ledger.earlier_profiles(delivery, DRIFT_PARTITIONS)],
    )
