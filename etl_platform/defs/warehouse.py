"""`warehouse/<table>`: silver and gold tables where people query them, by atomic partition replace."""

import dagster as dg
import pyarrow as pa

from etl_platform.contracts.table import Table
from etl_platform.defs.gold import column_lineage, follow_dates
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.defs.hooks import publishing_hooks
from etl_platform.defs.step import delivery_of, ledger_of
from etl_platform.defs.telling import failures_translated
from etl_platform.pipeline.publish import note_checked, require_checked


def build_warehouse_asset(table: Table, graph: Graph) -> dg.AssetsDefinition:
    """The warehouse asset of one silver or gold table."""
    source = dg.AssetKey([table.layer, table.name])
    attributes = table_attributes(table, {graph.settings.warehouse}, layer="warehouse")
    dataset = graph.gold.dataset_of(table)
    name = f"warehouse/{table.name}"
    same = {column.name: (column.name,) for column in table.columns}
    attributes["metadata"] |= {"dagster/column_lineage": column_lineage(same, source)}

    def warehouse(context: dg.AssetExecutionContext, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
        if not table.shared:
            pass_gate = require_checked if table.layer == "silver" else note_checked
            with failures_translated():
                pass_gate(ledger_of(context), delivery_of(context, dataset), context.run.run_id, name)
        return rows

    return as_asset(
        warehouse,
        **attributes,
        ins={"rows": dg.AssetIn(key=source, input_manager_key="lake")},
        io_manager_key="warehouse",
        required_resource_keys={"ledger"},
        partitions_def=graph.partitions.date if table.shared else graph.partitions.both,
        automation_condition=follow_dates() if table.shared else None,
        hooks=None if table.shared else publishing_hooks(dataset, name, graph.gold.publication_of(dataset)),
    )
