"""A table as data: columns, key, partitioning. Everything that stores or shows a table reads it from here.

Belongs here: the description of one table and its Polars/Arrow schema. Not here: what a valid *row* is
(`contract.py`), SQL (`ddl.py`), where tables are stored (`stores/`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import pyarrow as pa

BUSINESS_DATE = "business_date"
INSTITUTION = "institution"


@dataclass(frozen=True, order=True)
class PartitionKey:
    """One `date` x one `institution`; `institution` is None for tables across institutions."""

    business_date: dt.date
    institution: str | None = None

    def __str__(self) -> str:
        return f"{self.business_date}|{self.institution}" if self.institution else str(self.business_date)


@dataclass(frozen=True)
class Column:
    """One column: name, Polars type, whether null is allowed, and a sentence for the data user."""

    name: str
    dtype: pl.DataType
    nullable: bool
    description: str


@dataclass(frozen=True)
class Table:
    """A stored table. `key` is the natural key inside one partition; empty where rows have none.

    `shared` tables hold all institutions of a date (partitioned by date alone); all others hold the rows of
    exactly one institution per partition and live in that institution's own schema.
    """

    layer: str
    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    shared: bool = False

    @property
    def partition_columns(self) -> tuple[str, ...]:
        return (BUSINESS_DATE,) if self.shared else (BUSINESS_DATE, INSTITUTION)

    @cached_property
    def polars_schema(self) -> pl.Schema:
        return pl.Schema({c.name: c.dtype for c in self.columns})

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """Arrow schema with the forms of text, bytes and lists folded, so that every engine sees one spelling."""
        # From the schema, not from an empty frame: making a first frame costs a loader 5 MB.
        fields = zip(self.columns, pa.schema(self.polars_schema), strict=True)
        # The labels hold what Arrow types lack: the categories of an Enum.
        return pa.schema([pa.field(c.name, _plain(field.type), c.nullable, field.metadata) for c, field in fields])

    def empty(self) -> pl.DataFrame:
        """No rows, all columns, exact types: what a load of no partition returns."""
        return pl.DataFrame(schema=self.polars_schema)


def _plain(dtype: pa.DataType) -> pa.DataType:
    """Arrow's views and 64-bit-offset strings, binaries and lists as their ordinary forms."""
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return pa.string()
    if pa.types.is_large_binary(dtype) or pa.types.is_binary_view(dtype):
        return pa.binary()
    if pa.types.is_large_list(dtype):
        return pa.list_(_plain(dtype.value_type))
    if pa.types.is_dictionary(dtype):
        # As Polars writes its categories.
        return pa.dictionary(dtype.index_type, pa.large_string(), dtype.ordered)
    return dtype
