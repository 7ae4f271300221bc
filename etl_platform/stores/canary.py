"""A tiny table of awkward values that each warehouse is asked to keep: `doctor` sends it on the way of every load.

Belongs here: the table, its rows, and the comparison. Not here: the way there and back, in a temporary table (`canary`
of each store).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from itertools import cycle, islice
from typing import Any

import polars as pl
import pyarrow as pa

from etl_platform.contracts.table import BUSINESS_DATE, Column, PartitionKey, Table
from etl_platform.errors import StorageError

KEY = PartitionKey(dt.date(2025, 1, 15))
ROWS = 7

_COLUMNS: dict[str, tuple[pl.DataType, Sequence[Any]]] = {
    # Zeros behind the point are where pgpq 0.11 lost digits.
    "price": (
        pl.Decimal(18, 8),
        [Decimal(t) for t in ("101.00000001", "-0.00000001", "10000.0001", "9999999999.99999999", "-1e9", "0")],
    ),
    "wide": (pl.Decimal(38, 2), [Decimal("9" * 36 + ".99"), Decimal("-" + "1" * 36 + ".01"), Decimal("0.01")]),
    "number": (pl.Int64(), [2**63 - 1, -(2**63), 0, 2**53 + 1]),
    "small": (pl.Int32(), [2**31 - 1, -(2**31), -1]),
    "text": (pl.String(), ["", " ", "日本語 🙂", "\\N", "a\tb\n'\"", "x" * 4_000]),
    "day": (pl.Date(), [dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(9999, 12, 31)]),
    "at": (
        pl.Datetime("us", "UTC"),
        [dt.datetime(1899, 12, 31, 23, 59, 59, 999_999, dt.UTC), dt.datetime(2500, 1, 1, 0, 0, 0, 1, dt.UTC)],
    ),
    "ratio": (pl.Float64(), [0.1, -1.5e300, 2.5e-300]),
    "flag": (pl.Boolean(), [True, False]),
    "texts": (pl.List(pl.String()), [[], ["a", ""], ['{"', "NULL"]]),
}

TABLE = Table(
    layer="warehouse",
    name="etl_canary",
    description="Awkward values of every type.",
    columns=(
        Column("id", pl.Int64(), False, "Number of the row."),
        *(Column(name, dtype, True, name) for name, (dtype, _) in _COLUMNS.items()),
        Column(BUSINESS_DATE, pl.Date(), False, "Business date."),
    ),
    shared=True,
)


@cache
def canary_rows() -> pa.RecordBatch:
    """The rows; the last one has no value but those it must have."""
    columns = {
        name: pl.Series(name, [*islice(cycle(values), ROWS - 1), None], dtype=dtype)
        for name, (dtype, values) in _COLUMNS.items()
    }
    frame = pl.DataFrame({"id": list(range(ROWS)), **columns, BUSINESS_DATE: [KEY.business_date] * ROWS})
    data = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(TABLE.arrow_schema)
    return data.combine_chunks().to_batches()[0]


def require_unchanged(subject: str, arrived: Sequence[Sequence[object]]) -> str:
    """A line for people. Raises StorageError that names each column that did not come back as it was sent.

    arrived: the rows, in any order, with the columns of the table.
    """
    names, sent = TABLE.arrow_schema.names, canary_rows().to_pylist()
    found = {row[0]: dict(zip(names, row, strict=True)) for row in arrived}
    differences = [
        f"column {name}: sent {row[name]!r}, arrived {there[name]!r}"
        for row in sent
        for name in names
        if (there := found.get(row["id"])) is not None and row[name] != there[name]
    ]
    if len(arrived) != len(sent):
        differences.insert(0, f"{len(sent)} rows sent, {len(arrived)} arrived")
    if differences:
        raise StorageError(
            f"{subject} canary",
            found="; ".join(differences),
            expected="every value as it was sent",
            next_step="load nothing; install the drivers' versions of the lock (pgpq, psycopg, duckdb, pyarrow)",
        )
    return f"{len(sent)} rows of {len(_COLUMNS)} types came back as they were sent, from a temporary table"
