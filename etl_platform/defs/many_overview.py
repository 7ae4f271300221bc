"""`overview_many`: the tables across institutions for many dates in one run. See `many.py`."""

from collections.abc import Sequence

import dagster as dg

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.gold import AGGREGATES, aggregated_each
from etl_platform.defs.graph import Graph
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.defs.jobs import OVERVIEW_MANY
from etl_platform.defs.many_events import Stored, Teller, publish
from etl_platform.defs.step import Step
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key
from etl_platform.stores.reading import read_frame


class DatesConfig(dg.Config):
    """dates: business dates as 2025-01-15."""

    dates: list[str]


def build_overview_many(graph: Graph) -> dg.JobDefinition:
    """The job."""

    @dg.op(description="The tables across institutions of every date, in lake and warehouse.")
    def overview_dates(
        context: dg.OpExecutionContext,
        config: DatesConfig,
        ledger: dg.ResourceParam[Ledger],  # says that the run is alive
        lake: dg.ResourceParam[TableIOManager],
        warehouse: dg.ResourceParam[TableIOManager],
    ) -> None:
        steps = [Step(context.run_id, parse_key(date), context.log, context.instance) for date in sorted(config.dates)]
        _overview(Teller.of(context), steps, graph, lake, warehouse)

    @dg.job(name=OVERVIEW_MANY, description="Tables across institutions, for many dates.")
    def overview_many() -> None:
        overview_dates()

    return overview_many


def _overview(
    teller: Teller, steps: Sequence[Step], graph: Graph, lake: TableIOManager, warehouse: TableIOManager
) -> None:
    dates = [Stored(step) for step in steps]
    # Also of an institution whose file is out of use today: what it has stored stays part of the date.
    codes = graph.partitions.institution.get_partition_keys()
    for aggregate in (a for a in AGGREGATES if a.table.shared):
        source = graph.catalog.table(*aggregate.source)
        partitions = [date.step.partition for date in dates]
        keys = [PartitionKey(key.business_date, code) for key in partitions for code in codes]
        outputs = aggregated_each(aggregate, read_frame(lake.store, source, keys).lazy(), partitions)
        for date in dates:
            output = outputs[date.step.partition]
            date.write(lake, aggregate.table, output)
            date.frames[aggregate.table.name] = output.value
        publish(aggregate.table, dates, warehouse)
    teller.materialized(dates)
