"""What a sender writes is what silver holds: any valid table of any dataset, in any format and dialect."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_platform_tests.support.delivered import Delivered, deliver, require_conservation
from etl_platform_tests.support.dialects import File, csv_files, json_files, parquet_files
from etl_platform_tests.support.valid_rows import ANY_TEXT, DATASETS, LATIN, tables

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]
EXAMPLES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def delivered(file: File, dataset: str, batch_rows: int = 2) -> Delivered:
    with tempfile.TemporaryDirectory() as folder:
        out = deliver(
            [file.content], Path(folder), file.options, dataset=dataset, sender=file.sender, batch_rows=batch_rows
        )
    require_conservation(out)
    return out


def require_equal(file: File, table: pl.DataFrame, dataset: str) -> None:
    out = delivered(file, dataset)
    assert out.broken == []
    assert out.values(dataset) == table.rows()


@pytest.mark.parametrize("dataset", DATASETS)
@EXAMPLES
@given(data=st.data())
def test_a_valid_table_as_csv_is_silver(dataset: str, data: st.DataObject) -> None:
    encoding = data.draw(st.sampled_from(ENCODINGS))
    table = data.draw(tables(dataset, LATIN if encoding == "latin-1" else ANY_TEXT))
    require_equal(data.draw(csv_files(table, encoding)), table, dataset)


@pytest.mark.parametrize("dataset", DATASETS)
@EXAMPLES
@given(data=st.data())
def test_a_valid_table_as_json_is_silver(dataset: str, data: st.DataObject) -> None:
    encoding = data.draw(st.sampled_from(ENCODINGS))
    table = data.draw(tables(dataset, LATIN if encoding == "latin-1" else ANY_TEXT))
    require_equal(data.draw(json_files(table, encoding)), table, dataset)


@pytest.mark.parametrize("dataset", DATASETS)
@EXAMPLES
@given(data=st.data())
def test_a_valid_table_as_parquet_is_silver(dataset: str, data: st.DataObject) -> None:
    table = data.draw(tables(dataset, ANY_TEXT))
    require_equal(data.draw(parquet_files(table)), table, dataset)
