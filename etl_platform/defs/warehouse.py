"""`warehouse/<table>`: silver and gold tables where people query them, by atomic partition replace."""

import dagster as dg
import pyarrow as pa

from etl_platform.contracts.table import Table
from etl_platform.defs.gate import note_checked, require_checked
from etl_platform.defs.gold import column_lineage, dataset_of, follow_dates, publishing_hooks
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key


def build_warehouse_asset(table: Table, graph: Graph) -> dg.AssetsDefinition:
    """The warehouse asset of one silver or gold table."""
    source = dg.AssetKey([table.layer, table.name])
    attributes = table_attributes(table, {graph.settings.warehouse}, layer="warehouse")
    dataset = dataset_of(table)
    name = f"warehouse/{table.name}"
    same = {column.name: (column.name,) for column in table.columns}
    attributes["metadata"] |= {"dagster/column_lineage": column_lineage(same, source)}

    def warehouse(
        context: dg.AssetExecutionContext, rows: pa.RecordBatchReader, ledger: dg.ResourceParam[Ledger]
    ) -> pa.RecordBatchReader:
        if dataset is not None:
            pass_gate = require_checked if table.layer == "silver" else note_checked
            pass_gate(ledger, dataset, parse_key(context.partition_key), context.run.run_id, name)
        return rows

    return as_asset(
        warehouse,
        **attributes,
        ins={"rows": dg.AssetIn(key=source, input_manager_key="lake")},
        io_manager_key="warehouse",
        partitions_def=graph.partitions.date if table.shared else graph.partitions.both,
        automation_condition=follow_dates() if table.shared else None,
        hooks=publishing_hooks(dataset, name) if dataset else None,
    )
