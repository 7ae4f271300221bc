"""Assets around the sample table, and runs of them: what a test of an IO manager needs of Dagster.

No `from __future__ import annotations` here: Dagster refuses a `context` whose annotation is text.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.io_manager import TableIOManager
from etl_platform_tests.stores.tables import DATES_X_INSTITUTIONS, rows

SAMPLES_KEY = dg.AssetKey(["silver", "samples"])
TOTALS_KEY = dg.AssetKey(["gold", "totals"])
ONE_RUN = dg.BackfillPolicy.single_run()


def partitions_of(context: dg.AssetExecutionContext) -> list[PartitionKey]:
    """What an asset knows: the keys of its run, in Dagster's order, which is none."""
    keys = [DATES_X_INSTITUTIONS.get_partition_key_from_str(k).keys_by_dimension for k in context.partition_keys]
    return [PartitionKey(dt.date.fromisoformat(k["date"]), k["institution"]) for k in keys]


def samples(
    make: Callable[[list[PartitionKey]], Any], metadata: Mapping[str, Any] | None = None
) -> dg.AssetsDefinition:
    """The upstream asset; `make` gives the value for the run's partitions."""

    @dg.asset(
        key=SAMPLES_KEY,
        partitions_def=DATES_X_INSTITUTIONS,
        io_manager_key="io",
        backfill_policy=ONE_RUN,
        metadata=metadata,
    )
    def produce(context: dg.AssetExecutionContext) -> Any:
        return make(partitions_of(context))

    return produce


def everything(partitions: list[PartitionKey]) -> pl.DataFrame:
    return pl.concat(map(rows, partitions))


def produce(manager: TableIOManager, asset: dg.AssetsDefinition, *keys: PartitionKey) -> Mapping[str, dg.MetadataValue]:
    """Materialize one partition, or the range from the first to the last; the metadata of the (last) event."""
    partition_key, tags = (str(keys[0]) if len(keys) == 1 else None), None
    if len(keys) > 1:
        start, end = str(keys[0]), str(keys[-1])
        tags = {"dagster/asset_partition_range_start": start, "dagster/asset_partition_range_end": end}
    result = dg.materialize([asset], resources={"io": manager}, partition_key=partition_key, tags=tags)
    return result.asset_materializations_for_node("silver__samples")[-1].metadata


def consume(
    manager: TableIOManager,
    annotation: Any,
    partition: str | None,
    *,
    partitions_def: dg.PartitionsDefinition[Any] | None = DATES_X_INSTITUTIONS,
    mapping: dg.PartitionMapping | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Any:
    """What a downstream asset, whose parameter has that annotation, gets of `silver/samples`."""
    seen: list[Any] = []

    def body(samples: Any) -> None:
        seen.append(samples)

    body.__annotations__ = {"samples": annotation, "return": None}
    ins = {"samples": dg.AssetIn(SAMPLES_KEY, partition_mapping=mapping, metadata=metadata)}
    downstream = dg.asset(name="downstream", ins=ins, partitions_def=partitions_def)(body)
    upstream = dg.AssetSpec(SAMPLES_KEY, partitions_def=DATES_X_INSTITUTIONS).with_io_manager_key("io")
    dg.materialize([downstream, upstream], resources={"io": manager}, partition_key=partition, selection=[downstream])
    return seen[0]
