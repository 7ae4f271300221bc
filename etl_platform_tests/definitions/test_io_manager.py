"""The IO manager itself: types, columns, annotations, options. One store serves: the others see the same batches."""

import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.defs.io_manager import TableIOManager
from etl_platform.errors import (
    ConfigurationError,
    SchemaMismatchError,
    UnknownNameError,
    UnsupportedTypeError,
)
from etl_platform.stores.query_tag import query_tag
from etl_platform.stores.store import Written
from etl_platform_tests.stores.assets import SAMPLES_KEY, consume, everything, produce, samples
from etl_platform_tests.stores.stores import make_folder_lake
from etl_platform_tests.stores.tables import SAMPLES, TABLES, key, rows, stored


@pytest.fixture
def manager(request: pytest.FixtureRequest) -> TableIOManager:
    return TableIOManager(make_folder_lake(request), TABLES.__getitem__)


GIVEN: dict[str, Callable[[pl.DataFrame], Any]] = {
    "pl.DataFrame": lambda frame: frame,
    "pl.LazyFrame": lambda frame: frame.lazy(),
    "pa.Table": lambda frame: frame.to_arrow(),
    "pa.RecordBatchReader": lambda frame: frame.to_arrow().to_reader(max_chunksize=2),
    "pd.DataFrame": lambda frame: frame.to_arrow().to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}.get
    ),
}
TAKEN: dict[Any, Callable[[Any], pl.DataFrame]] = {
    pl.DataFrame: lambda value: value,
    pl.LazyFrame: lambda value: value.collect(),
    pa.Table: pl.DataFrame,
    pa.RecordBatchReader: lambda value: pl.DataFrame(value.read_all()),
    pd.DataFrame: lambda value: pl.DataFrame(pa.Table.from_pandas(value, SAMPLES.arrow_schema, preserve_index=False)),
}


@pytest.mark.parametrize("given", sorted(GIVEN))
def test_every_type_goes_in_exactly(manager: TableIOManager, given: str) -> None:
    metadata = produce(manager, samples(lambda keys: GIVEN[given](everything(keys))), key(0))
    assert stored(manager.store, [key(0)]).equals(rows(key(0)))
    assert metadata["dagster/partition_row_count"].value == 6
    assert "naïve" in str(metadata["preview"].value)


@pytest.mark.parametrize("taken", list(TAKEN), ids=lambda kind: f"{kind.__module__.partition('.')[0]}.{kind.__name__}")
def test_every_type_comes_out_exactly(manager: TableIOManager, taken: type) -> None:
    produce(manager, samples(everything), key(0))
    value = consume(manager, taken, str(key(0)))
    assert isinstance(value, taken)
    assert TAKEN[taken](value).sort("id").equals(rows(key(0)))


def test_a_parameter_without_annotation_gets_a_polars_frame(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0))
    assert consume(manager, Any, str(key(0))).sort("id").equals(rows(key(0)))


def test_pandas_keeps_decimals_zones_and_missing_integers(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0))
    frame = consume(manager, pd.DataFrame, str(key(0))).sort_values("id")
    assert frame["amount"].iloc[1] == Decimal("0.99999999") and isinstance(frame["amount"].iloc[1], Decimal)
    assert str(frame["at"].dtype) == "datetime64[us, UTC]"
    assert str(frame["count"].dtype) == "Int32" and frame["count"].isna().sum() == 1


def test_a_lazy_frame_is_read_when_it_is_collected_and_only_what_it_needs(manager: TableIOManager) -> None:
    produce(manager, samples(everything), key(0))
    frame = consume(manager, pl.LazyFrame, str(key(0)))
    assert frame.collect_schema() == SAMPLES.polars_schema
    assert frame.select(pl.len()).collect().item() == 6
    assert frame.filter(pl.col("id") >= 4).select("text").collect().height == 2
    assert frame.head(1).collect().height == 1
    assert frame.collect().height == 6


def test_an_unknown_column_of_the_input_is_refused_with_the_near_ones(manager: TableIOManager) -> None:
    with pytest.raises(UnknownNameError, match=r"amont.*amount"):
        consume(manager, pl.DataFrame, str(key(0)), metadata={"columns": ["amont"]})
    with pytest.raises(ConfigurationError, match="a list of column names"):
        consume(manager, pl.DataFrame, str(key(0)), metadata={"columns": "id"})


@pytest.mark.parametrize("value", [None, [{"id": 1}], {"id": [1]}, 7], ids=lambda value: type(value).__name__)
def test_an_unknown_type_is_refused_by_name(manager: TableIOManager, value: object) -> None:
    produce(manager, samples(everything), key(0))
    with pytest.raises(UnsupportedTypeError) as caught:
        produce(manager, samples(lambda _: value), key(0))
    for part in ("silver/samples", type(value).__name__.removesuffix("Type"), "polars.LazyFrame", "pandas.DataFrame"):
        assert part in str(caught.value)
    assert stored(manager.store, [key(0)]).equals(rows(key(0)))


def test_an_unknown_annotation_is_refused_by_name(manager: TableIOManager) -> None:
    with pytest.raises(UnsupportedTypeError, match=r"annotated builtins\.bytes.*polars\.DataFrame"):
        consume(manager, bytes, str(key(0)))


def test_every_difference_of_the_columns_is_named_at_once(manager: TableIOManager) -> None:
    frame = rows(key(0)).drop("flag").with_columns(pl.col("id").cast(pl.String), extra=1).reverse()
    with pytest.raises(SchemaMismatchError) as caught:
        produce(manager, samples(lambda _: frame), key(0))
    for part in ("missing flag (bool)", "extra extra (int", "id is large_string instead of int64"):
        assert part in str(caught.value)


def test_the_order_of_columns_is_free(manager: TableIOManager) -> None:
    frame = rows(key(0)).select(sorted(SAMPLES.polars_schema, reverse=True))
    produce(manager, samples(lambda _: frame), key(0))
    assert stored(manager.store, [key(0)]).equals(rows(key(0)))


def test_an_asset_may_forbid_the_preview(manager: TableIOManager) -> None:
    assert "preview" not in produce(manager, samples(everything, {"preview": False}), key(0))
    with pytest.raises(ConfigurationError, match="True or False"):
        produce(manager, samples(everything, {"preview": "no"}), key(0))


def test_an_unpartitioned_table_asset_is_refused(manager: TableIOManager) -> None:
    @dg.asset(key=SAMPLES_KEY, io_manager_key="io")
    def unpartitioned() -> pl.DataFrame:
        return rows(key(0))

    with pytest.raises(ConfigurationError, match="partitions_def"):
        produce(manager, unpartitioned)


def test_statements_sent_during_a_write_carry_the_run_in_their_tag(
    manager: TableIOManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags: list[str] = []
    replace = manager.store.replace

    def tagging(table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        tags.append(json.loads(query_tag(table, "institution_a", partitions)).get("run", ""))
        return replace(table, partitions, batches)

    monkeypatch.setattr(manager.store, "replace", tagging)
    produce(manager, samples(everything), key(1))
    assert len(tags) == 1
    assert len(tags[0]) == len("ce8f17bc-7ef6-49ef-8075-b62388e55c2d")
    assert "run" not in json.loads(query_tag(SAMPLES, "institution_a", [key(1)]))
