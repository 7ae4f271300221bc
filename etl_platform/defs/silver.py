"""`silver/<dataset>`, `quarantine/<dataset>` and `reconciliation/<dataset>`: one pass over the bronze copies."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.quarantine import quarantine_table
from etl_platform.contracts.reconciliation import reconciliation_table
from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey
from etl_platform.defs.attempt import failures_reported, now, reported
from etl_platform.defs.bronze import begin_attempts
from etl_platform.defs.graph import Graph, table_attributes
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.overlap import Neighbours, told
from etl_platform.defs.schema_drift import policy_of, record_drift, stop_drift
from etl_platform.defs.step import Step
from etl_platform.defs.table_metadata import markdown
from etl_platform.defs.write_modes import contributing_files, stop_overwriting
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError
from etl_platform.institutions.file_format import sender_format
from etl_platform.institutions.rule_version import as_text, fingerprint, rule_document
from etl_platform.landing.copies import BronzeStore
from etl_platform.landing.zone import root_name
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import LandingObject, ObjectResult
from etl_platform.readers.options import CsvOptions
from etl_platform.resources.memory import plan_memory
from etl_platform.resources.processes import Processes
from etl_platform.transforms.silver import FileCounts, Silver, SilverPlan, SourceFile, build_silver

SAMPLE_ROWS = 10
"""Refused rows shown in the failure of a partition above its limit; all of them are still in bronze."""


def build_silver_assets(contract: Contract, graph: Graph) -> dg.AssetsDefinition:
    """The multi-asset of one dataset: silver, quarantine and reconciliation of a partition."""
    dataset = contract.dataset
    tables = {
        "quarantine": quarantine_table(dataset),
        "reconciliation": reconciliation_table(dataset),
        "silver": contract.silver,
    }
    processes = Processes(graph.settings.processes)

    @dg.multi_asset(
        name=f"silver_{dataset}",
        ins={"manifest": dg.AssetIn(key=dg.AssetKey(["bronze", dataset]), input_manager_key="lake")},
        outs={
            name: dg.AssetOut(
                **table_attributes(table, {"parquet", "polars"}), io_manager_key="lake", is_required=False
            )
            for name, table in tables.items()
        },
        partitions_def=graph.partitions.both,
        hooks={failures_reported(dataset)},
    )
    def silver(
        context: dg.AssetExecutionContext,
        manifest: pl.DataFrame,
        bronze: dg.ResourceParam[BronzeStore],
        ledger: dg.ResourceParam[Ledger],
        lake: dg.ResourceParam[TableIOManager],
    ) -> Iterator[dg.Output[Any]]:
        step = Step.of(context)
        decided: list[ObjectResult] = []
        begin_attempts([step], dataset, ledger, processes)
        with reported(ledger, step.run_id, Delivery.of(dataset, step.partition)):
            record_rules(ledger, graph, dataset, [step])
            yield from transform(step, contract, manifest, graph, bronze, ledger, lake, decided)
            decide(ledger, step.run_id, decided)

    return silver


def transform(
    step: Step,
    contract: Contract,
    manifest: pl.DataFrame,
    graph: Graph,
    bronze: BronzeStore,
    ledger: Ledger,
    lake: TableIOManager,
    decided: list[ObjectResult],
) -> Iterator[dg.Output[Any]]:
    """Quarantine, reconciliation and silver of the partition, each to be stored before the next is asked for.

    decided: what became of each object is added once all three are stored; it is for `decide`.
    """
    dataset, partition = contract.dataset, step.partition
    attempt = Delivery.of(dataset, partition)
    scratch = graph.settings.scratch
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="silver-") as folder:
        wanted = contributing_files(manifest, contract, ledger.excluded(attempt))
        files, rows = _source_files(wanted, bronze, graph, dataset, partition, Path(folder))
        plan = silver_plan(graph, dataset, partition, Path(folder))
        lives_once = plan.contract.lives_once
        around = Neighbours(plan.contract, partition, ledger, lake.store, step.run_id) if lives_once else None
        plan = replace(plan, others=around.others if around else None)
        result = build_silver(files, plan, lambda f, n: step.log.info(f"{attempt}: {f.key}: {n} rows read"))
        if result.wrong_quotes:
            step.log.warning(
                f"{attempt}: {result.wrong_quotes} records whose quotes are not closed or not doubled: quarantined "
                "(`quotes_are_closed`), the lines behind them are read as records; `multiline: trusted` takes such text"
            )
        root = root_name(graph.institutions[partition.institution or ""])
        with ledger.together():
            # The first moment at which they are read: whatever ends the run from here on, they are known by content.
            ledger.mark_received(step.run_id, [_received(row, root) for row in rows], now=now())
            drifted = record_drift(ledger, step.run_id, graph, plan.contract, partition, result, files, rows)
        stop_drift(drifted, graph, dataset, partition)
        _stop_above_limit(result, graph, dataset, partition)
        stop_overwriting(lake.store, contract, partition, result, ledger, rows)
        if around:
            around.record(result)
        if held := told(result):
            step.log.info(f"{attempt}: rows counted as duplicates: {held}")
        facts = _facts(result, plan)
        # Silver last: whoever sees new silver finds its quarantine and its account already there.
        yield dg.Output(
            result.quarantine, "quarantine", metadata={"rules": dg.MetadataValue.md(markdown(result.rules))}
        )
        yield dg.Output(
            _reconciliation(result, rows, plan), "reconciliation", metadata={"unexplained": result.unexplained}
        )
        yield dg.Output(result.silver, "silver", metadata=facts)
        decided += [_object_result(row, root, counts) for row, counts in zip(rows, result.files, strict=True)]


def record_rules(ledger: Ledger, graph: Graph, dataset: str, steps: Sequence[Step]) -> None:
    """Put on record under which rules a run judges partitions of one institution."""
    institution = steps[0].partition.institution
    text = as_text(rule_document(graph.contract_of(dataset, institution), graph.institutions[institution or ""]))
    attempts = [Delivery.of(dataset, step.partition) for step in steps]
    ledger.record_version(steps[0].run_id, attempts, fingerprint(text), text, now=now())


def decide(ledger: Ledger, run_id: str, results: Sequence[ObjectResult]) -> None:
    """Tell the ledger what became of each object, after the tables hold it."""
    ledger.mark_loaded(run_id, [r for r in results if r.reason is None], now=now())
    ledger.mark_refused(run_id, [r for r in results if r.reason is not None], now=now())


def _source_files(
    manifest: pl.DataFrame, bronze: BronzeStore, graph: Graph, dataset: str, partition: PartitionKey, folder: Path
) -> tuple[list[SourceFile], list[dict[str, Any]]]:
    fetched = bronze.fetch(manifest, folder / "bronze")
    if not fetched:
        return [], []
    institution = graph.institutions[partition.institution or ""]
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
        match = pattern.match(str(row["key"]), institution.code, dataset)
        sender = sender_format(institution, dataset, match.captured if match else {})
        files.append(SourceFile(str(row["key"]), path, int(row["delivery"]), sender, content))
    return files, [found.row for found in fetched]


def silver_plan(graph: Graph, dataset: str, partition: PartitionKey, scratch: Path) -> SilverPlan:
    """What the partition's files are read with, by the institution's configuration."""
    institution = graph.institutions[partition.institution or ""]
    contract = graph.contract_of(dataset, partition.institution)
    budget = plan_memory(graph.settings.memory_limit_mb).rows_budget
    if dataset not in institution.datasets:
        return SilverPlan(contract, partition, CsvOptions(), now(), scratch, budget=budget)
    config = institution.datasets[dataset]
    return SilverPlan(
        contract=contract,
        partition=partition,
        options=config.format,
        processed_at=now(),
        scratch=scratch,
        limits=config.limits,
        batch_rows=institution.batch_rows,
        budget=budget,
        keeps_extra=policy_of(graph, dataset, partition.institution) == "add",
    )


def _stop_above_limit(result: Silver, graph: Graph, dataset: str, partition: PartitionKey) -> None:
    """Fail the partition before anything is published when too large a share of its rows is quarantined."""
    institution = graph.institutions[partition.institution or ""]
    if dataset not in institution.datasets:
        return
    limit = institution.largest_quarantined_share(dataset)
    if result.quarantined_share <= limit:
        return
    sample = result.quarantine.select("_source_file", "_source_row", "reason", "raw").head(SAMPLE_ROWS).collect()
    raise dg.Failure(
        description=(
            f"{partition.institution} {dataset} {partition.business_date}: found {result.rows_quarantined} of "
            f"{result.rows_read} rows quarantined ({result.quarantined_share:.1%}), expected at most {limit:.1%}; "
            "nothing was published; next step: look at the rules below, then ask the sender for a corrected file, or "
            "change the mapping, or raise `quality.largest_quarantined_share` in the institution file"
        ),
        metadata={
            "rows_read": result.rows_read,
            "rows_quarantined": result.rows_quarantined,
            "quarantined_share": result.quarantined_share,
            "limit": limit,
            "rules": dg.MetadataValue.md(markdown(result.rules)),
            "sample": dg.MetadataValue.md(markdown(sample)),
        },
        allow_retries=False,
    )


def _facts(result: Silver, plan: SilverPlan) -> dict[str, Any]:
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


def _reconciliation(result: Silver, rows: list[dict[str, Any]], plan: SilverPlan) -> pl.DataFrame:
    lines = [_account(row, counts, plan) for row, counts in zip(rows, result.files, strict=True)]
    return pl.DataFrame(lines, schema=reconciliation_table(plan.contract.dataset).polars_schema)


def _account(row: dict[str, Any], counts: FileCounts, plan: SilverPlan) -> dict[str, Any]:
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


def _received(row: dict[str, Any], root: str) -> ObjectResult:
    """The object of a manifest row, by the content that was received."""
    found = LandingObject(
        institution=None, dataset=None, business_date=None, root=root, uri=row["uri"], key=row["key"],
        etag=row["etag"], version=row["version"], size=row["size"], last_modified=row["last_modified"],
    )  # fmt: skip
    return ObjectResult(root=root, key=found.key, identity=found.identity, sha256=row["sha256"])


def _object_result(row: dict[str, Any], root: str, counts: FileCounts) -> ObjectResult:
    return replace(
        _received(row, root),
        rows_read=counts.rows_read,
        rows_silver=counts.silver,
        rows_quarantined=counts.quarantined,
        rows_duplicate=counts.duplicates,
        reason=str(counts.refusal) if counts.refusal else None,
    )
