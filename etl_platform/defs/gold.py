"""`gold/<aggregate>`: pure aggregates over silver (or gold), in the lake."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.gold import GOLD, SOURCES
from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.defs.attempt import failures_reported
from etl_platform.defs.gate import publication_reported, require_checked
from etl_platform.defs.graph import Graph, as_asset, table_attributes
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import DATE, parse_key
from etl_platform.transforms.candlestick import candlestick_svg, markdown_image
from etl_platform.transforms.daily_bars import daily_bars
from etl_platform.transforms.daily_sales import daily_sales
from etl_platform.transforms.market_overview import market_overview
from etl_platform.transforms.transaction_summary import transaction_summary


@dataclass(frozen=True)
class Aggregate:
    """One gold table: where its rows come from, how, and which source columns each of its columns rests on."""

    table: Table
    source: tuple[str, str]
    compute: Callable[[pl.LazyFrame], pl.LazyFrame]
    lineage: Mapping[str, tuple[str, ...]]
    plot: Callable[[pl.DataFrame], dict[str, Any]] | None = field(default=None)


def _candles(bars: pl.DataFrame) -> dict[str, Any]:
    day = "" if bars.is_empty() else f"{bars['institution'][0]} {bars['business_date'][0]}"
    svg = candlestick_svg(bars, title=f"Daily bars {day}, % of each symbol's open")
    return {"candlesticks": dg.MetadataValue.md(markdown_image(svg, f"daily bars {day}"))}


_PARTITION = {"business_date": ("business_date",), "institution": ("institution",)}

AGGREGATES: tuple[Aggregate, ...] = (
    Aggregate(
        GOLD["daily_bars"],
        SOURCES["daily_bars"],
        daily_bars,
        {
            "symbol": ("symbol",),
            "open": ("open", "timestamp"),
            "high": ("high",),
            "low": ("low",),
            "close": ("close", "timestamp"),
            "volume": ("volume",),
            "vwap": ("high", "low", "close", "volume"),
            "day_return": ("open", "close", "timestamp"),
            "bars": ("symbol",),
            **_PARTITION,
        },
        _candles,
    ),
    Aggregate(
        GOLD["transaction_summary"],
        SOURCES["transaction_summary"],
        transaction_summary,
        {
            "account_id": ("account_id",),
            "currency": ("currency",),
            "type": ("type",),
            "transactions": ("transaction_id",),
            **dict.fromkeys(("amount_sum", "amount_min", "amount_max", "debit_total", "credit_total"), ("amount",)),
            **_PARTITION,
        },
    ),
    Aggregate(
        GOLD["daily_sales"],
        SOURCES["daily_sales"],
        daily_sales,
        {
            "product_id": ("product_id",),
            "orders": ("order_id",),
            "quantity": ("quantity",),
            "revenue": ("amount",),
            **dict.fromkeys(("lowest_price", "highest_price", "mean_price"), ("unit_price",)),
            **_PARTITION,
        },
    ),
    Aggregate(
        GOLD["market_overview"],
        SOURCES["market_overview"],
        market_overview,
        {
            "symbol": ("symbol",),
            "institutions": ("institution",),
            "bars": ("bars",),
            "volume": ("volume",),
            "lowest_low": ("low",),
            "highest_high": ("high",),
            "vwap": ("vwap", "volume"),
            "lowest_close": ("close",),
            "highest_close": ("close",),
            "close_spread": ("close",),
            "business_date": ("business_date",),
        },
    ),
)


def build_gold_asset(aggregate: Aggregate, graph: Graph) -> dg.AssetsDefinition:
    """The gold asset of one aggregate."""
    table, (layer, source) = aggregate.table, aggregate.source
    source_key = dg.AssetKey([layer, source])
    attributes = table_attributes(table, {"parquet", "polars"})
    attributes["metadata"] |= {"dagster/column_lineage": column_lineage(aggregate.lineage, source_key)}
    mapping = dg.MultiToSingleDimensionPartitionMapping(DATE) if table.shared else None
    name = f"gold/{table.name}"

    def gold(
        context: dg.AssetExecutionContext, rows: pl.LazyFrame, ledger: dg.ResourceParam[Ledger]
    ) -> dg.Output[pl.DataFrame]:
        if layer == "silver":
            require_checked(ledger, source, parse_key(context.partition_key), context.run.run_id, name)
        return aggregated(aggregate, rows)

    return as_asset(
        gold,
        **attributes,
        ins={"rows": dg.AssetIn(key=source_key, input_manager_key="lake", partition_mapping=mapping)},
        io_manager_key="lake",
        partitions_def=graph.partitions.date if table.shared else graph.partitions.both,
        automation_condition=follow_dates() if table.shared else None,
        hooks=publishing_hooks(source, name) if layer == "silver" else None,
    )


def aggregated(aggregate: Aggregate, rows: pl.LazyFrame) -> dg.Output[pl.DataFrame]:
    """The aggregate's rows, with its plot."""
    return _shown(aggregate, aggregate.compute(rows).collect(engine="streaming"))


def aggregated_each(
    aggregate: Aggregate, rows: pl.LazyFrame, partitions: Sequence[PartitionKey]
) -> dict[PartitionKey, dg.Output[pl.DataFrame]]:
    """The same for every partition, in one query: an aggregate's groups never reach beyond a partition."""
    result = aggregate.compute(rows).collect(engine="streaming")
    parts = result.partition_by(aggregate.table.partition_columns, as_dict=True)
    found = {PartitionKey(*key): part for key, part in parts.items()}
    return {key: _shown(aggregate, found.get(key, result.clear())) for key in partitions}


def _shown(aggregate: Aggregate, result: pl.DataFrame) -> dg.Output[pl.DataFrame]:
    return dg.Output(result, metadata=aggregate.plot(result) if aggregate.plot else {})


def dataset_of(table: Table) -> str | None:
    """The dataset whose partitions the rows of a silver or gold table come from; None for tables across them."""
    if table.layer == "silver":
        return table.name
    sources = {a.table.name: a.source for a in AGGREGATES}
    layer, source = sources[table.name]
    return source if layer == "silver" else None


def datasets_of(keys: Iterable[dg.AssetKey]) -> set[str]:
    """The datasets whose partitions these assets load or publish; tables across institutions have none."""
    found: set[str] = set()
    aggregates = {a.table.name: a.source for a in AGGREGATES}
    for layer, name in (key.path for key in keys if len(key.path) == 2):
        below, source = aggregates.get(name, ("silver", name)) if layer in ("gold", "warehouse") else ("silver", name)
        if below == "silver":
            found.add(source)
    return found


def publication_of(dataset: str) -> dict[str, str | None]:
    """The tables that hold what is stored in silver/<dataset>, as layer/name, each with the one of them that it is
    written from. With all of them the partition is published."""
    tables: dict[str, str | None] = {f"warehouse/{dataset}": None}
    for aggregate in AGGREGATES:
        if aggregate.source == ("silver", dataset):
            gold = f"gold/{aggregate.table.name}"
            tables |= {gold: None, f"warehouse/{aggregate.table.name}": gold}
    return tables


def publishing_hooks(dataset: str, table: str) -> set[dg.HookDefinition]:
    """Of an asset that publishes what is stored in silver/<dataset>."""
    return {failures_reported(dataset), publication_reported(table, publication_of(dataset))}


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
        dg.AutomationCondition.any_deps_updated()
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("when an institution's bars of the date changed")
