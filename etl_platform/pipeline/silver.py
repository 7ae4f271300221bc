"""From bronze to silver: one pass over the copies of a delivery gives silver, quarantine and reconciliation.

Not here: what is done to a row (`transforms/`), the checks of what is stored (`checks.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from etl_platform.clock import now
from etl_platform.contracts.manifest import ManifestRow
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError, DeliveryRefusedError
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.rule_version import as_text, fingerprint, rule_document
from etl_platform.landing.copies import BronzeStore
from etl_platform.landing.zone import root_name
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import LandingObject, ObjectResult
from etl_platform.limits import REFUSED_ROWS_SHOWN
from etl_platform.pipeline.configuration import Configuration
from etl_platform.pipeline.facts import Facts, Made
from etl_platform.pipeline.overlap import Neighbours, told
from etl_platform.pipeline.platform import Platform
from etl_platform.pipeline.run import Run
from etl_platform.pipeline.schema_drift import record_drift, stop_drift
from etl_platform.pipeline.write_modes import contributing_files, stop_overwriting
from etl_platform.readers.options import CsvOptions
from etl_platform.resources.memory import plan_memory
from etl_platform.transforms.silver import FileCounts, Silver, SilverPlan, SourceFile, build_silver


def transform(
    run: Run, delivery: Delivery, manifest: pl.DataFrame, platform: Platform, decided: list[ObjectResult]
) -> Iterator[Made[pl.DataFrame] | Made[pl.LazyFrame]]:
    """Quarantine, reconciliation and silver of the delivery, each to be stored before the next is asked for.

    decided: what became of each object is added once all three are stored; it is for `decide`. Raises
    DeliveryRefusedError before anything is to be stored.
    """
    config, ledger = platform.config, platform.ledger
    dataset = delivery.dataset
    scratch = config.settings.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="silver-") as folder:
        wanted = contributing_files(manifest, config.contracts[dataset], ledger.excluded(delivery))
        files, rows = _source_files(wanted, platform.bronze, config, delivery, Path(folder))
        plan = silver_plan(config, delivery, Path(folder))
        contract = plan.contract
        around = Neighbours(contract, delivery, ledger, platform.lake, run.run_id) if contract.lives_once else None
        plan = replace(plan, others=around.others if around else None)
        result = build_silver(files, plan, lambda f, n: run.log.info(f"{delivery}: {f.key}: {n} rows read"))
        if result.wrong_quotes:
            run.log.warning(
                f"{delivery}: {result.wrong_quotes} records whose quotes are not closed or not doubled: quarantined "
                "(`quotes_are_closed`), the lines behind them are read as records; `multiline: trusted` takes such text"
            )
        root = root_name(config.institutions[delivery.institution])
        with ledger.together():
            # The first moment at which they are read: whatever ends the run from here on, they are known by content.
            ledger.mark_received(run.run_id, [_received(row, root) for row in rows], now=now())
            drifted = record_drift(run.run_id, delivery, config, ledger, result, files, rows)
        stop_drift(drifted, delivery, config)
        _stop_above_limit(result, delivery, config)
        stop_overwriting(delivery, config.contracts[dataset], platform.lake, result, ledger, rows)
        if around:
            around.record(result)
        if held := told(result):
            run.log.info(f"{delivery}: rows counted as duplicates: {held}")
        # Silver last: whoever sees new silver finds its quarantine and its account already there.
        yield Made(quarantine_table(dataset), result.quarantine, {"rules": result.rules})
        yield Made(
            reconciliation_table(dataset), _reconciliation(result, rows, plan), {"unexplained": result.unexplained}
        )
        yield Made(config.contracts[dataset].silver, result.silver, _facts(result, plan))
        decided += [_object_result(row, root, counts) for row, counts in zip(rows, result.files, strict=True)]


def record_rules(run: Run, deliveries: Sequence[Delivery], config: Configuration, ledger: Ledger) -> None:
    """Put on record under which rules a run judges deliveries of one institution and dataset."""
    first = deliveries[0]
    contract = config.contract_of(first.dataset, first.institution)
    text = as_text(rule_document(contract, config.institutions[first.institution]))
    ledger.record_version(run.run_id, deliveries, fingerprint(text), text, now=now())


def decide(ledger: Ledger, run_id: str, results: Sequence[ObjectResult]) -> None:
    """Tell the ledger what became of each object, after the tables hold it."""
    ledger.mark_loaded(run_id, [r for r in results if r.reason is None], now=now())
    ledger.mark_refused(run_id, [r for r in results if r.reason is not None], now=now())


def _source_files(
    manifest: pl.DataFrame, bronze: BronzeStore, config: Configuration, delivery: Delivery, folder: Path
) -> tuple[list[SourceFile], list[ManifestRow]]:
    fetched = bronze.fetch(manifest, folder / "bronze")
    if not fetched:
        return [], []
    institution, dataset = config.institutions[delivery.institution], delivery.dataset
    if dataset not in institution.datasets:
        raise ConfigurationError(
            f"institution {institution.code}",
            found=f"it sends no {dataset}, of which {len(fetched)} files are to be read",
            expected=" or ".join(sorted(institution.datasets)),
            next_step="put the dataset back into its file, or take the files out: `etl-platform withdraw KEY --reason`",
        )
    pattern = institution.pattern(dataset)
    files = []
    for row, path, content in fetched:
        match = pattern.match(row["key"], institution.code, dataset)
        sender = sender_format(institution, dataset, match.captured if match else {})
        files.append(SourceFile(row["key"], path, row["delivery"], sender, content))
    return files, [found.row for found in fetched]


def silver_plan(config: Configuration, delivery: Delivery, scratch: Path) -> SilverPlan:
    """What the delivery's files are read with, by the institution's configuration."""
    dataset = delivery.dataset
    institution = config.institutions[delivery.institution]
    contract = config.contract_of(dataset, delivery.institution)
    budget = plan_memory(config.settings.memory_limit_mb).rows_budget
    if dataset not in institution.datasets:
        return SilverPlan(contract, delivery.partition, CsvOptions(), now(), scratch, budget=budget)
    sent = institution.datasets[dataset]
    return SilverPlan(
        contract=contract,
        partition=delivery.partition,
        options=sent.format,
        processed_at=now(),
        scratch=scratch,
        limits=sent.limits,
        batch_rows=institution.batch_rows,
        budget=budget,
        keeps_extra=config.drift_policy_of(dataset, delivery.institution) == "add",
    )


def _stop_above_limit(result: Silver, delivery: Delivery, config: Configuration) -> None:
    """Refuse the delivery before anything is stored when too large a share of its rows is quarantined."""
    limit = config.quarantine_limit_of(delivery.dataset, delivery.institution)
    if result.quarantined_share <= limit:
        return
    sample = result.quarantine.select("_source_file", "_source_row", "reason", "raw").head(REFUSED_ROWS_SHOWN).collect()
    raise DeliveryRefusedError(
        str(delivery),
        found=f"{result.rows_quarantined} of {result.rows_read} rows quarantined ({result.quarantined_share:.1%})",
        expected=f"at most {limit:.1%}; nothing was published",
        next_step="look at the rules below, then ask the sender for a corrected file, or change the mapping, or raise "
        "`quality.largest_quarantined_share` in the institution file",
        facts={
            "rows_read": result.rows_read,
            "rows_quarantined": result.rows_quarantined,
            "quarantined_share": result.quarantined_share,
            "limit": limit,
            "rules": result.rules,
            "sample": sample,
        },
    )


def _facts(result: Silver, plan: SilverPlan) -> Facts:
    return {
        "rows_read": result.rows_read,
        "rows_quarantined": result.rows_quarantined,
        "rows_duplicate": result.rows_duplicate,
        **({"rows_held_by_other_dates": result.held.height} if result.held is not None else {}),
        "rows_unexplained": result.unexplained,
        "quarantined_share": result.quarantined_share,
        "files_read": len(result.files) - len(result.refused),
        "files_refused": len(result.refused),
        "memory_strategy": f"{'streamed from scratch files' if result.is_spilled else 'in memory'}; "
        f"{plan.budget / 2**20:.0f} MiB for waiting rows",
    }


def _reconciliation(result: Silver, rows: list[ManifestRow], plan: SilverPlan) -> pl.DataFrame:
    lines = [_account(row, counts, plan) for row, counts in zip(rows, result.files, strict=True)]
    return pl.DataFrame(lines, schema=reconciliation_table(plan.contract.dataset).polars_schema)


def _account(row: ManifestRow, counts: FileCounts, plan: SilverPlan) -> dict[str, Any]:
    return {
        "_source_file": counts.key,
        "uri": row["uri"],
        "sha256": row["sha256"],
        "delivery": row["delivery"],
        "is_refused": counts.refusal is not None,
        "rows_read": counts.rows_read,
        "rows_silver": counts.silver,
        "rows_quarantined": counts.quarantined,
        "rows_duplicate": counts.duplicates,
        "missing_columns": list(counts.missing),
        "extra_columns": list(counts.extra),
        "reason": str(counts.refusal) if counts.refusal else None,
        "_processed_at": plan.processed_at,
        BUSINESS_DATE: plan.partition.business_date,
        INSTITUTION: plan.partition.institution,
    }


def _received(row: ManifestRow, root: str) -> ObjectResult:
    """The object of a manifest row, by the content that was received."""
    found = LandingObject(
        institution=None, dataset=None, business_date=None, root=root, uri=row["uri"], key=row["key"],
        etag=row["etag"], version=row["version"], size=row["size"], last_modified=row["last_modified"],
    )  # fmt: skip
    return ObjectResult(root=root, key=found.key, identity=found.identity, sha256=row["sha256"])


def _object_result(row: ManifestRow, root: str, counts: FileCounts) -> ObjectResult:
    return replace(
        _received(row, root),
        rows_read=counts.rows_read,
        rows_silver=counts.silver,
        rows_quarantined=counts.quarantined,
        rows_duplicate=counts.duplicates,
        reason=str(counts.refusal) if counts.refusal else None,
    )
