"""`gold/<table>`: pure aggregates over silver, or gold, in the lake. The tables themselves: `gold/tables`."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.defs.evaluations import evaluated
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.defs.hooks import publishing_hooks
from etl_platform.defs.step import ledger_of, partition_of_step
from etl_platform.defs.telling import check_results, facts_metadata, failures_translated
from etl_platform.delivery import Delivery
from etl_platform.gold.table import GoldTable
from etl_platform.partitions import DATE, format_key
from etl_platform.pipeline.aggregate import Aggregated, aggregate
from etl_platform.pipeline.gold_judges import failed
from etl_platform.pipeline.publish import note_checked, require_checked


def build_gold_asset(gold: GoldTable, graph: Graph) -> dg.AssetsDefinition:
    """The asset of one gold table."""
    layer, source = gold.source
    source_key = dg.AssetKey([layer, source])
    attributes = table_attributes(gold.table, {"parquet", "polars"})
    attributes["metadata"] |= {"dagster/column_lineage": column_lineage(gold.column_lineage, source_key)}
    mapping = dg.MultiToSingleDimensionPartitionMapping(DATE) if gold.is_shared else None
    dataset, name = graph.gold.dataset_of(gold.table), f"gold/{gold.name}"

    def asset(context: dg.AssetExecutionContext, rows: pl.LazyFrame) -> dg.Output[pl.DataFrame]:
        partition = partition_of_step(context)
        with failures_translated():
            if not gold.is_shared:
                pass_gate = require_checked if layer == "silver" else note_checked
                pass_gate(ledger_of(context), Delivery.of(dataset, partition), context.run.run_id, name)
            aggregated = aggregate(gold, rows, partition)
            _tell_broken(context, aggregated)
            made = aggregated.require_sound()
        return dg.Output(made.rows, metadata=facts_metadata(made.facts))

    return as_asset(
        asset,
        **attributes,
        ins={"rows": dg.AssetIn(key=source_key, input_manager_key="lake", partition_mapping=mapping)},
        io_manager_key="lake",
        required_resource_keys={"ledger"},
        partitions_def=graph.partitions.date if gold.is_shared else graph.partitions.both,
        automation_condition=follow_dates() if gold.is_shared else None,
        hooks=None if gold.is_shared else publishing_hooks(dataset, name, graph.gold.publication_of(dataset)),
    )


def _tell_broken(context: dg.AssetExecutionContext, aggregated: Aggregated) -> None:
    """The step of checks looks at what is stored, which broken rows never are: their verdicts are told here."""
    asset, partition = dg.AssetKey(["gold", aggregated.gold.name]), format_key(aggregated.partition)
    for result in check_results(asset, failed(aggregated.verdicts)):
        context.log_event(evaluated(asset, result, partition, None, blocking=True))


def column_lineage(lineage: Mapping[str, tuple[str, ...]], source: dg.AssetKey) -> dg.TableColumnLineage:
    """Dagster's column lineage of a table with one source."""
    return dg.TableColumnLineage(
        deps_by_column={
            column: [dg.TableColumnDep(asset_key=source, column_name=name) for name in names]
            for column, names in lineage.items()
        }
    )


def follow_dates() -> dg.AutomationCondition[Any]:
    """Run a date again whenever one of its institutions changed, not waiting for those that have not delivered."""
    return (
        # Until it is handled: a tick may fall between an update and the end of its checks.
        dg.AutomationCondition.any_deps_updated().since_last_handled()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("when an institution's bars of the date changed")
