"""Checks across datasets: does what one dataset refers to exist in another? They report and never block.

A step of its own, not one of `checks.py`: it waits for the other dataset where both are in one run, and a failure
there must not keep the dataset itself from its own checks.
"""

import dagster as dg
import polars as pl

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.graph import Graph
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.table_metadata import markdown
from etl_platform.delivery import Delivery
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key
from etl_platform.stores.reading import read_frame, read_frames
from etl_platform.transforms.references import describe_references, unknown_references

TRANSACTIONS, ACCOUNTS, COLUMN = "transactions", "accounts", "account_id"
ACCOUNTS_CHECK = "accounts_are_known"


def build_accounts_check(graph: Graph) -> dg.AssetChecksDefinition:
    """`accounts_are_known` of `silver/transactions`."""

    @dg.asset_check(
        name=ACCOUNTS_CHECK,
        asset=dg.AssetKey(["silver", TRANSACTIONS]),
        description="Every account is in the institution's latest accounts snapshot on or before the date (warning).",
        blocking=False,
        additional_deps=[dg.AssetKey(["silver", ACCOUNTS])],
        partitions_def=graph.partitions.both,
    )
    def accounts_are_known(
        context: dg.AssetCheckExecutionContext,
        lake: dg.ResourceParam[TableIOManager],
        ledger: dg.ResourceParam[Ledger],
    ) -> dg.AssetCheckResult:
        return judge_accounts(parse_key(context.partition_key), graph, lake, ledger)

    return accounts_are_known


def judge_accounts(partition: PartitionKey, graph: Graph, lake: TableIOManager, ledger: Ledger) -> dg.AssetCheckResult:
    """Whether the accounts of the partition's transactions are known."""
    transactions, accounts = graph.contracts[TRANSACTIONS].silver, graph.contracts[ACCOUNTS].silver
    snapshot = ledger.latest_loaded_date(Delivery.of(ACCOUNTS, partition))
    if snapshot is None:
        text = f"no accounts snapshot of {partition.institution} on {partition.business_date} or before"
        return dg.AssetCheckResult(
            check_name=ACCOUNTS_CHECK,
            passed=True,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{text}: nothing to compare with",
        )
    known = read_frame(lake.store, accounts, [PartitionKey(snapshot, partition.institution)], [COLUMN])
    rows = read_frames(lake.store, transactions, [partition], [COLUMN])
    found = unknown_references(rows, known[COLUMN], COLUMN)
    return dg.AssetCheckResult(
        check_name=ACCOUNTS_CHECK,
        passed=not found.values_unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=describe_references(found, COLUMN, ACCOUNTS, snapshot),
        metadata={
            "snapshot": snapshot.isoformat(),
            "accounts_in_snapshot": known.height,
            "accounts": found.values,
            "accounts_unknown": found.values_unknown,
            "rows": found.rows,
            "rows_unknown": found.rows_unknown,
            **_sample(found.sample),
        },
    )


def _sample(unknown: pl.DataFrame) -> dict[str, dg.MarkdownMetadataValue]:
    return {"sample": dg.MetadataValue.md(markdown(unknown))} if unknown.height else {}
