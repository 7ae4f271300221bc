"""What people see of a table in the UI."""

from __future__ import annotations

import polars as pl
import pytest

from etl_platform.contracts.datasets.prices import PRICES
from etl_platform.defs.table_metadata import markdown, preview_text, table_schema
from etl_platform.limits import PREVIEW_ROWS
from etl_platform.pipeline.facts import Preview
from etl_platform_tests.stores.tables import SAMPLES, TOTALS, batches, key, rows


def test_the_column_schema_has_descriptions_types_and_constraints() -> None:
    schema = table_schema(PRICES.silver)
    by_name = {column.name: column for column in schema.columns}
    assert list(by_name) == PRICES.silver.polars_schema.names()
    assert all(column.description for column in schema.columns)
    assert by_name["open"].type == "decimal(18, 8)"
    assert by_name["timestamp"].type == "timestamp (UTC)"
    assert list(by_name["symbol"].constraints.other) == ["part of the key"]
    assert list(by_name["institution"].constraints.other) == ["partition column"]
    assert schema.constraints is not None
    assert list(schema.constraints.other) == [
        "partitioned by business_date, institution",
        "(symbol, timestamp) is unique in a partition",
    ]


def test_lists_and_shared_tables_are_spelled_for_people() -> None:
    by_name = {column.name: column for column in table_schema(TOTALS).columns}
    assert by_name["rules"].type == "list of string"
    # A key of one column is unique inside a partition only, never in the whole table.
    assert not any(column.constraints.unique for column in table_schema(SAMPLES).columns)


def test_a_preview_shows_the_first_rows_of_a_stream_whatever_its_batches() -> None:
    for step in (1, 2, 100):
        frame = rows(key(0), count=20)
        preview = Preview()
        parts = batches(*(frame.slice(start, step) for start in range(0, 20, step)))
        assert list(preview.watch(iter(parts))) == parts
        assert preview_text(preview).count("\n") == 1 + PREVIEW_ROWS


def test_a_preview_spells_every_type_as_the_frame_does() -> None:
    frame = rows(key(0), count=PREVIEW_ROWS)
    preview = Preview()
    assert len(list(preview.watch(iter(batches(frame))))) == 1
    assert preview_text(preview) == markdown(frame)


def test_a_preview_of_nothing_says_so() -> None:
    assert preview_text(Preview()) == "no rows"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("x" * 100, "x" * 39 + "…"), ("a|b\nc", r"a\|b c"), ("<b>`*_", r"\<b\>\`\*\_"), (None, ""), ("ü", "ü")],
)
def test_text_cannot_break_out_of_its_cell(text: str | None, shown: str) -> None:
    assert markdown(pl.DataFrame({"v": [text]}, schema={"v": pl.String})).splitlines()[2] == f"| {shown} |"
