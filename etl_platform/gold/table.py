"""What a gold table is: its contract, what its rows are computed from and how, and what each column rests on.

Belongs here: the description of one gold table, and the types that several share. Not here: the tables themselves
(`tables/`, one file each), what follows what (`graph.py`), running them (`pipeline/aggregate.py`).

Sums and differences are exact decimals. Ratios are Float64, because Polars' `Decimal / Decimal` keeps the left scale
and truncates. An amount has 18 digits and a sum 38, so 10^20 rows fit. Volumes are sums of Int64, which would wrap
around without a word: they are whole decimals of 38 digits. Keys are the silver rows' own: their rules have seen to it
that nothing invisible is in them (`closed`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

import polars as pl

from etl_platform.contracts.contract import PARTITION_COLUMNS, Contract
from etl_platform.contracts.table import BUSINESS_DATE, Table

Price = Annotated[pl.Decimal, 18, 8]
Money = Annotated[pl.Decimal, 38, 4]
Volume = Annotated[pl.Decimal, 38, 0]
OrderPrice = Annotated[pl.Decimal, 18, 4]

ROUNDING = 1e-9
"""Relative room that a Float64 mean gets against exact bounds: about a million times its rounding error."""


@dataclass(frozen=True)
class GoldTable:
    """One gold table.

    source: layer and name of the table that it is computed from, one partition at a time, or all institutions of a date
    for one that is shared. compute: source rows of any partitions -> the table's rows, whose groups never reach beyond
    a partition. lineage: column -> source columns that it rests on, without those of the partition.
    counts: the column that says how many source rows a group holds; counted: the source column of which it is the sum,
    None where each source row counts one. Together they prove that every source row is in exactly one group.
    plot: rows of a partition -> Markdown by name, shown with it.
    """

    contract: Contract
    table: Table
    source: tuple[str, str]
    compute: Callable[[pl.LazyFrame], pl.LazyFrame]
    lineage: Mapping[str, tuple[str, ...]]
    counts: str
    counted: str | None = None
    plot: Callable[[pl.DataFrame], Mapping[str, str]] | None = field(default=None)

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def is_shared(self) -> bool:
        """Whether it lies across institutions."""
        return self.table.shared

    @property
    def column_lineage(self) -> Mapping[str, tuple[str, ...]]:
        """The lineage of every column, those of the partition with it."""
        return {**self.lineage, **{name: (name,) for name in self.table.partition_columns}}


def gold_table(contract: Contract, *, shared: bool = False) -> Table:
    """The gold table of `contract`: its columns, then the partition columns."""
    partition = tuple(c for c in PARTITION_COLUMNS if not shared or c.name == BUSINESS_DATE)
    return Table(
        layer="gold",
        name=contract.dataset,
        description=contract.description,
        columns=(*contract.columns, *partition),
        key=contract.key,
        shared=shared,
    )


def mean_between(mean: str, low: str, high: str) -> pl.Expr:
    """Whether a Float64 mean lies between two exact columns."""
    lowest, highest = pl.col(low).cast(pl.Float64), pl.col(high).cast(pl.Float64)
    return pl.col(mean).is_between(lowest * (1 - ROUNDING), highest * (1 + ROUNDING))
