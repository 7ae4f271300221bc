"""Every store under the IO manager, through `dg.materialize()` with real partition mappings.

No `from __future__ import annotations` here: Dagster refuses a `context` whose annotation is text.
"""

import dagster as dg
import polars as pl
import pytest

from etl_platform.defs.io_manager import TableIOManager
from etl_platform.errors import PartitionMismatchError
from etl_platform.stores.store import TableStore
from etl_platform_tests.stores.assets import TOTALS_KEY, consume, everything, produce, samples
from etl_platform_tests.stores.tables import DATES, SAMPLES, TABLES, B, key, rows, stored


@pytest.fixture
def manager(store: TableStore) -> TableIOManager:
    return TableIOManager(store, TABLES.__getitem__)


def test_a_run_over_several_partitions_replaces_exactly_those(manager: TableIOManager) -> None:
    for partition in (key(0), key(1), key(2), key(1, B)):
        produce(manager, samples(everything), partition)
    metadata = produce(
        manager, samples(lambda keys: pl.concat(rows(k, start=100) for k in reversed(keys))), key(0), key(1)
    )
    assert stored(manager.store, [key(0), key(1)]).equals(pl.concat([rows(key(0), start=100), rows(key(1), start=100)]))
    assert stored(manager.store, [key(2), key(1, B)]).equals(pl.concat([rows(key(1, B)), rows(key(2))]))
    # Dagster puts the same metadata on the event of each partition: no event may claim the rows of all as its own.
    assert "dagster/partition_row_count" not in metadata
    assert metadata["rows_of_all_partitions"].value == 12 and metadata["partitions_written"].value == 2


def test_running_an_asset_twice_gives_the_same_table(manager: TableIOManager) -> None:
    for _ in range(2):
        produce(manager, samples(everything), key(0))
    assert stored(manager.store, [key(0)]).equals(rows(key(0)))


def test_exactly_the_mapped_partitions_are_loaded(manager: TableIOManager) -> None:
    written = [key(0), key(1), key(3), key(0, B)]
    for partition in written:
        produce(manager, samples(everything), partition)
    for mapped in ([key(3)], [key(0), key(3)], [], [key(2)]):  # one, scattered, none, never written
        to_the_last_day = {str(partition.business_date): str(key(4).business_date) for partition in mapped}
        mapping = dg.MultiPartitionMapping(
            {
                "date": dg.DimensionPartitionMapping("date", dg.StaticPartitionMapping(to_the_last_day)),
                "institution": dg.DimensionPartitionMapping("institution", dg.IdentityPartitionMapping()),
            }
        )
        frame = consume(manager, pl.DataFrame, str(key(4)), mapping=mapping)
        expected = pl.concat([SAMPLES.empty(), *(rows(k) for k in mapped if k in written)])
        assert frame.schema == SAMPLES.polars_schema, mapped
        assert frame.sort("business_date", "id").equals(expected), mapped


def test_a_lazy_frame_goes_through_the_store_exactly(manager: TableIOManager) -> None:
    produce(manager, samples(lambda keys: everything(keys).lazy()), key(0))
    frame = consume(manager, pl.LazyFrame, str(key(0)))
    assert frame.collect().sort("id").equals(rows(key(0)))


def test_a_date_gets_the_rows_of_all_its_institutions(manager: TableIOManager) -> None:
    for partition in (key(0), key(1), key(0, B)):
        produce(manager, samples(everything), partition)
    frame = consume(manager, pl.DataFrame, str(key(0, None)), partitions_def=DATES)
    assert frame.sort("institution", "id").equals(pl.concat([rows(key(0)), rows(key(0, B))]))


def test_an_unpartitioned_asset_gets_all_partitions(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0))
    produce(manager, samples(everything), key(2, B))
    frame = consume(manager, pl.LazyFrame, None, partitions_def=None).collect()
    assert frame.sort("business_date", "id").equals(pl.concat([rows(key(0)), rows(key(2, B))]))


def test_a_shared_table_goes_by_date_alone(manager: TableIOManager) -> None:
    @dg.asset(key=TOTALS_KEY, partitions_def=DATES, io_manager_key="io")
    def totals(context: dg.AssetExecutionContext) -> pl.DataFrame:
        return rows(key(1, None), table=TABLES[TOTALS_KEY])

    assert dg.materialize([totals], resources={"io": manager}, partition_key=str(key(1, None))).success
    frame = stored(manager.store, [key(1, None)], table=TABLES[TOTALS_KEY])
    assert frame.equals(rows(key(1, None), table=TABLES[TOTALS_KEY]))


def test_only_the_columns_of_the_input_are_read(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0))
    frame = consume(manager, pl.LazyFrame, str(key(0)), metadata={"columns": ["text", "id"]})
    assert frame.collect().sort("id").equals(rows(key(0)).select("text", "id"))


def test_rows_of_another_tenant_are_refused(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0, B))
    mixed = pl.concat([rows(key(0)), rows(key(0, B), start=100)])
    with pytest.raises(PartitionMismatchError):
        produce(manager, samples(lambda _: mixed), key(0))
    assert stored(manager.store, [key(0), key(0, B)]).equals(rows(key(0, B)))


def test_a_lazy_frame_that_fails_half_way_leaves_the_old_rows(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0))

    def fail_late(frame: pl.DataFrame) -> pl.DataFrame:
        if frame["id"].max() == 7 * 6 - 1:
            raise RuntimeError("the last chunk is broken")
        return frame

    many = [rows(key(0), start=6 * n).lazy() for n in range(7)]
    broken = [part.map_batches(fail_late, schema=SAMPLES.polars_schema) for part in many]
    with pytest.raises(Exception, match="the last chunk is broken"):
        produce(manager, samples(lambda _: pl.concat(broken)), key(0))
    assert stored(manager.store, [key(0)]).equals(rows(key(0)))


def test_the_materialization_tells_what_was_written_and_where(manager: TableIOManager) -> None:
    metadata = produce(manager, samples(everything), key(0))
    schema = metadata["dagster/column_schema"].value
    assert isinstance(schema, dg.TableSchema)
    by_name = {column.name: column for column in schema.columns}
    assert by_name["amount"].type == "decimal(18, 8)" and by_name["amount"].description == "Money."
    assert not by_name["id"].constraints.nullable and by_name["text"].constraints.nullable
    assert metadata["dagster/table_name"].value == "silver.samples"
    assert metadata["location"].value
    assert isinstance(metadata["seconds"].value, float)
    size = metadata.get("bytes")
    assert size is None or (isinstance(size.value, int) and size.value > 0)
