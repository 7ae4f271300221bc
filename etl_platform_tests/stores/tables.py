"""A table with every type that a contract may have, rows that are hard to keep, and assets around them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal

import dagster as dg
import polars as pl
import pyarrow as pa

from etl_platform.contracts.table import Column, PartitionKey, Table
from etl_platform.stores.frames import subset
from etl_platform.stores.store import TableStore
from etl_platform_tests.stores.stores import INSTITUTIONS

A, B = INSTITUTIONS
DAYS = [dt.date(2025, 1, 13) + dt.timedelta(days=n) for n in range(5)]
NUL_FREE_TEXT = ["", " ", "naïve", "日本語", "🙂\n\"quoted\", 'x' | \\N \\ \t", None]

_COLUMNS = (
    Column("id", pl.Int64(), False, "Number of the row."),
    Column("text", pl.String(), True, "Empty, unicode or missing."),
    Column("amount", pl.Decimal(18, 8), True, "Money."),
    Column("big", pl.Decimal(38, 2), True, "More digits than a double or an int64 holds."),
    Column("at", pl.Datetime("us", "UTC"), True, "Instant with microseconds."),
    Column("day", pl.Date(), True, "A day, also before 1970."),
    Column("count", pl.Int32(), True, "Small whole number."),
    Column("ratio", pl.Float64(), True, "Binary number."),
    Column("flag", pl.Boolean(), True, "Yes, no or unknown."),
    Column("rules", pl.List(pl.String()), True, "Empty, missing, with a missing item."),
    Column("business_date", pl.Date(), False, "Business date."),
)
SAMPLES = Table(
    layer="silver",
    name="samples",
    description="One of everything. It's quoted.",
    columns=(*_COLUMNS, Column("institution", pl.String(), False, "Sender.")),
    key=("id",),
)
TOTALS = Table(layer="gold", name="totals", description="One of everything, of all.", columns=_COLUMNS, shared=True)
TABLES = {dg.AssetKey(["silver", "samples"]): SAMPLES, dg.AssetKey(["gold", "totals"]): TOTALS}

DATES = dg.StaticPartitionsDefinition([str(day) for day in DAYS])
DATES_X_INSTITUTIONS = dg.MultiPartitionsDefinition(
    {"date": DATES, "institution": dg.StaticPartitionsDefinition(INSTITUTIONS)}
)


def key(day: int, institution: str | None = A) -> PartitionKey:
    return PartitionKey(DAYS[day], institution)


def rows(partition: PartitionKey, *, start: int = 0, count: int = 6, table: Table = SAMPLES) -> pl.DataFrame:
    """`count` rows of one partition, different for each `start`."""
    numbers = range(start, start + count)
    return pl.DataFrame(
        {
            "id": list(numbers),
            "text": [NUL_FREE_TEXT[n % 6] for n in numbers],
            "amount": [None if n % 6 == 5 else Decimal(n) - Decimal("0.00000001") for n in numbers],
            "big": [None if n % 6 == 4 else Decimal("123456789012345678901234567890123456.78") - n for n in numbers],
            "at": [
                None if n % 6 == 3 else dt.datetime(1969, 12, 31, 23, 59, 59, 999_999 - n % 999, tzinfo=dt.UTC)
                for n in numbers
            ],
            "day": [None if n % 6 == 2 else dt.date(1969, 12, 31) + dt.timedelta(days=n % 9999) for n in numbers],
            "count": [None if n % 6 == 1 else -(2**31) + n for n in numbers],
            "ratio": [None if n % 6 == 0 else 0.1 + n for n in numbers],
            "flag": [(True, False, None)[n % 3] for n in numbers],
            "rules": [([], ["a", None], None)[n % 3] for n in numbers],
            "business_date": [partition.business_date] * count,
            "institution": [partition.institution or A] * count,
        },
        schema=SAMPLES.polars_schema,
    ).select(table.polars_schema.names())


def batches(*frames: pl.DataFrame, table: Table = SAMPLES) -> list[pa.RecordBatch]:
    """One batch per frame, in the table's Arrow types; nulls where the test put them."""
    nullable = pa.schema([field.with_nullable(True) for field in table.arrow_schema])
    tables = [frame.to_arrow().cast(nullable).combine_chunks() for frame in frames]
    return [batch for data in tables for batch in data.to_batches()]


def stored(
    store: TableStore,
    partitions: Iterable[PartitionKey],
    *,
    table: Table = SAMPLES,
    columns: Sequence[str] | None = None,
) -> pl.DataFrame:
    """What a reader sees, in a fixed order."""
    schema = subset(table, columns)
    frame = pl.DataFrame(pa.Table.from_batches(store.read(table, list(partitions), columns), schema=schema))
    order = [c for c in ("business_date", "institution", "id") if c in frame.columns]
    return frame.sort(order)
