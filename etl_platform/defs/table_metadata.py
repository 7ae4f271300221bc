"""What Dagster shows of a table: its column schema at definition time, facts and a preview at materialization.

Not here: how rows are stored; the asset's own metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import dagster as dg
import polars as pl

from etl_platform.contracts.table import Column, PartitionKey, Table
from etl_platform.limits import PREVIEW_CHARACTERS
from etl_platform.pipeline.facts import Preview
from etl_platform.stores.store import Written

_SPACE = re.compile(r"\s+")
_MARKUP = re.compile(r"([\\|`*_<>\[\]])")


@lru_cache(maxsize=256)
def table_schema(table: Table) -> dg.TableSchema:
    """The value of `dagster/column_schema`: names, types, descriptions and constraints of the table."""
    partitioned = f"partitioned by {', '.join(table.partition_columns)}"
    unique = [f"({', '.join(table.key)}) is unique in a partition"] if table.key else []
    return dg.TableSchema(
        columns=[_table_column(table, column) for column in table.columns],
        constraints=dg.TableConstraints(other=[partitioned, *unique]),
    )


def output_metadata(
    table: Table, partitions: Sequence[PartitionKey], written: Written, seconds: float, *, layer: str | None = None
) -> dict[str, dg.MetadataValue]:
    """The facts of one write; `layer` where the table is stored under another one than its own.

    Dagster puts them on the event of *every* partition of the run: a run of several partitions therefore gets the
    rows of all under a name that says so, never as the count of one partition.
    """
    facts: dict[str, dg.MetadataValue] = {
        "dagster/column_schema": dg.MetadataValue.table_schema(table_schema(table)),
        "dagster/table_name": dg.MetadataValue.text(f"{layer or table.layer}.{table.name}"),
        "location": dg.MetadataValue.text(written.location),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
    }
    if len(partitions) == 1:
        facts["dagster/partition_row_count"] = dg.MetadataValue.int(written.rows)
    else:
        facts["rows_of_all_partitions"] = dg.MetadataValue.int(written.rows)
        facts["partitions_written"] = dg.MetadataValue.int(len(partitions))
    if "://" in written.location:
        facts["dagster/uri"] = dg.MetadataValue.text(written.location)
    if written.bytes is not None:
        facts["bytes"] = dg.MetadataValue.int(written.bytes)
    return facts | {name: _value(value) for name, value in written.details.items()}


def preview_text(preview: Preview) -> str:
    """First rows as a Markdown table, once their stream has passed."""
    return _markdown(preview.names, preview.rows) if preview.rows else "no rows"


def markdown(frame: pl.DataFrame) -> str:
    """`frame` as a Markdown table, long text cut."""
    return _markdown(frame.columns, frame.iter_rows())


def _markdown(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    text = "" if value is None else _SPACE.sub(" ", str(value))
    cut = text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…"
    return _MARKUP.sub(r"\\\1", cut)


def _table_column(table: Table, column: Column) -> dg.TableColumn:
    other = []
    if column.name in table.key:
        other.append("part of the key")
    if column.name in table.partition_columns:
        other.append("partition column")
    return dg.TableColumn(
        name=column.name,
        type=_spell(column.dtype),
        description=column.description,
        # Never `unique`: keys are unique inside a partition only.
        constraints=dg.TableColumnConstraints(nullable=column.nullable, other=other),
    )


def _spell(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision}, {dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return f"timestamp ({dtype.time_zone or 'no time zone'})"
    if isinstance(dtype, pl.List):
        return f"list of {str(dtype.inner).lower()}"
    return str(dtype).lower()


def _value(value: str | int | float) -> dg.MetadataValue:
    if isinstance(value, str):
        return dg.MetadataValue.text(value)
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)
