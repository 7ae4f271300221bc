"""Input for the benchmarks: the same files for the same arguments, and the quickest exact way to read them.

Belongs here: generating and reading files. Not here: measuring (`measure.py`), storing (the scripts).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform.contracts.table import Column, PartitionKey, Table

INSTITUTION = "institution_a"
FIRST_DAY = dt.date(2025, 1, 1)
DAYS = 15
PRICE = pl.Decimal(18, 8)
UTC_MICROSECONDS = pl.Datetime("us", "UTC")
BLOCK_BYTES = 2**20
BATCH_ROWS = 8_192

_PARTITION = (
    Column("business_date", pl.Date(), False, "Business date."),
    Column("institution", pl.String(), False, "Sender."),
)
BARS = Table(
    layer="silver",
    name="bars",
    description="Twelve columns of price bars.",
    columns=(
        Column("symbol", pl.String(), False, "Ticker."),
        Column("timestamp", UTC_MICROSECONDS, False, "Start of the bar."),
        *(Column(name, PRICE, False, name) for name in ("open", "high", "low", "close")),
        Column("volume", pl.Int64(), False, "Units traded."),
        Column("trades", pl.Int64(), False, "Number of trades."),
        Column("venue", pl.String(), False, "Venue."),
        Column("currency", pl.String(), False, "Currency."),
        *_PARTITION,
    ),
    key=("symbol", "timestamp"),
)
TICKS = Table(
    layer="silver",
    name="ticks",
    description="Five columns of prices, without a key.",
    columns=(
        Column("symbol", pl.String(), False, "Ticker."),
        Column("timestamp", UTC_MICROSECONDS, False, "When."),
        Column("price", PRICE, False, "Price."),
        *_PARTITION,
    ),
)


def partitions() -> list[PartitionKey]:
    """One partition per day; each holds one CSV, one NDJSON and one Parquet file."""
    return [PartitionKey(FIRST_DAY + dt.timedelta(days=day), INSTITUTION) for day in range(DAYS)]


def bars(day: dt.date, part: int, rows: int) -> pl.DataFrame:
    """Bars of one file: all numbers follow from day, part and row."""
    row = pl.int_range(rows, dtype=pl.Int64)
    seed = day.toordinal() * 3 + part

    def scattered(salt: int) -> pl.Expr:
        return (row * (7_919 * (salt + 1)) + seed * 104_729) % 9_973

    start = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1_000_000
    cents = 10_000 + scattered(1) * 7
    prices = {
        name: ((cents + offset).cast(PRICE) / 100).cast(PRICE)
        for name, offset in (("open", 0), ("high", 500), ("low", -400), ("close", 100))
    }
    columns: dict[str, pl.Expr] = dict(
        symbol=pl.format("S{}", row % 400 + 100),
        timestamp=(pl.lit(start) + row // 400 * 60_000_000 + scattered(2) + part * 10_000).cast(UTC_MICROSECONDS),
        **prices,
        volume=scattered(3) * 100,
        trades=scattered(4),
        venue=pl.lit("XNAS"),
        currency=pl.lit("USD"),
        business_date=pl.lit(day),
        institution=pl.lit(INSTITUTION),
    )
    return pl.DataFrame().select(**columns)


def write_bars(folder: Path, rows: int) -> list[Path]:
    """About `rows` bars in 15 CSV, 15 NDJSON and 15 Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for key in partitions():
        for part, suffix in enumerate(("csv", "ndjson", "parquet")):
            path = folder / f"{key.business_date}.{suffix}"
            _write(bars(key.business_date, part, rows // (3 * DAYS)), path)
            files.append(path)
    return files


def write_ticks(path: Path, rows: int) -> None:
    """`rows` ticks in one Parquet file, written in pieces."""
    schema = TICKS.arrow_schema
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 2**20):
            piece = bars(FIRST_DAY, start, min(2**20, rows - start))
            frame = piece.rename({"open": "price"}).select(schema.names)
            writer.write_table(frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))


def read_all(files: Iterable[Path], table: Table) -> Iterator[pa.RecordBatch]:
    """The rows of all files in the table's exact types, file by file."""
    schema = table.arrow_schema
    for path in files:
        for batch in _READERS[path.suffix](path, schema):
            yield pa.RecordBatch.from_arrays([batch.column(name) for name in schema.names], schema=schema)


def _write(frame: pl.DataFrame, path: Path) -> None:
    if path.suffix == ".parquet":
        frame.write_parquet(path)
        return
    # As senders write: four decimals, ISO times. JSON carries prices as text, the only exact way there.
    prices = [name for name, dtype in frame.schema.items() if dtype == PRICE]
    text = frame.with_columns(
        pl.col(prices).cast(pl.Decimal(18, 4)).cast(pl.String),
        pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
    )
    if path.suffix == ".csv":
        text.write_csv(path)
    else:
        text.write_ndjson(path)


def _read_csv(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow.csv as arrow_csv

    options = arrow_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    yield from arrow_csv.open_csv(
        path, read_options=options, convert_options=arrow_csv.ConvertOptions(column_types=schema)
    )


def _read_json(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow.json as arrow_json

    # The JSON reader takes dates for numbers: they are read as text.
    given = pa.schema([(f.name, pa.string() if pa.types.is_date(f.type) else f.type) for f in schema])
    options = arrow_json.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)
    parsing = arrow_json.ParseOptions(explicit_schema=given, unexpected_field_behavior="error")
    for batch in arrow_json.open_json(path, read_options=options, parse_options=parsing):
        columns = [batch.column(f.name).cast(f.type) for f in schema]
        yield pa.RecordBatch.from_arrays(columns, names=schema.names)


def _read_parquet(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # Without these three options memory grows with the row group and with the number of cores.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=BLOCK_BYTES) as file:
        for batch in file.iter_batches(BATCH_ROWS, columns=schema.names, use_threads=False):
            columns = [batch.column(f.name).cast(f.type) for f in schema]
            yield pa.RecordBatch.from_arrays(columns, names=schema.names)


_READERS = {".csv": _read_csv, ".ndjson": _read_json, ".parquet": _read_parquet}
