"""What every store checks of the rows it is given, and how it takes them apart by partition.

Belongs here: checks that hold for all stores, on Arrow batches. Not here: frames of other libraries
(`frames.py`), Dagster (`defs/io_manager.py`), anything about one storage.

A faulty asset must never write another tenant's rows, so the guard sits in the stores, below every caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from etl_platform.contracts.table import BUSINESS_DATE, INSTITUTION, PartitionKey, Table
from etl_platform.errors import ConfigurationError, PartitionMismatchError, SchemaMismatchError
from etl_platform.limits import PARTITIONS_NAMED
from etl_platform.stores.spool import Spool


def distinct(table: Table, partitions: Sequence[PartitionKey]) -> list[PartitionKey]:
    """`partitions` once each, in order. Raises ConfigurationError for keys of the wrong dimensions."""
    for key in partitions:
        if (key.institution is None) != table.shared:
            raise ConfigurationError(
                f"table {table.layer}/{table.name} partition {key}",
                found="a date alone" if key.institution is None else "a date and an institution",
                expected="a date alone (table across institutions)" if table.shared else "a date and an institution",
                next_step="give the asset the partitions of its table",
            )
    return sorted(set(partitions), key=lambda key: (key.business_date, key.institution or ""))


def checked(
    table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """`batches` unchanged, without empty ones; raises at the first that does not fit the table or the partitions."""
    allowed = set(partitions)
    for batch in batches:
        _require_schema(table, batch)
        if batch.num_rows:
            # Almost every batch holds one partition; telling that in Arrow also saves a loader 10 MB of Polars' code.
            if _only_key(table, batch) not in allowed:
                _require_partitions(table, partitions, batch)
            yield batch


@contextmanager
def spooled(
    table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch], scratch: Path | None = None
) -> Iterator[Mapping[PartitionKey, Spool]]:
    """The checked rows of each partition, all of them read, in the order in which they came.

    A partition without rows has an empty spool. Memory stays flat however the rows are mixed, and nothing is
    published before the last row was seen.
    """
    spools = {key: Spool(table.arrow_schema, scratch) for key in partitions}
    try:
        _fill(spools, table, checked(table, partitions, batches))
        yield spools
    finally:
        for spool in spools.values():
            spool.close()


def _fill(spools: Mapping[PartitionKey, Spool], table: Table, batches: Iterable[pa.RecordBatch]) -> None:
    # Not in `spooled`: there the last batch would be held for as long as the spools are used.
    for batch in batches:
        for key, part in _split(table, batch):
            spools[key].append(part)


def _require_schema(table: Table, batch: pa.RecordBatch) -> None:
    subject = f"table {table.layer}/{table.name}"
    found, expected = batch.schema, table.arrow_schema
    # Field nullability is a label that most producers do not set: the values decide, below.
    if not found.equals(expected) and (found.names != expected.names or found.types != expected.types):
        raise SchemaMismatchError(subject, found=f"a batch of ({_spell(found)})", expected=f"({_spell(expected)})")
    nulls = [
        f"{column.name}: {count} null of {batch.num_rows}"
        for column, values in zip(table.columns, batch.columns, strict=True)
        if not column.nullable and (count := values.null_count)
    ]
    if nulls:
        raise SchemaMismatchError(
            subject,
            found="; ".join(nulls),
            expected="a value in every row",
            next_step="quarantine such rows before they are stored, or make the column nullable in the contract",
        )


def _only_key(table: Table, batch: pa.RecordBatch) -> PartitionKey | None:
    """The partition of all rows, where they are of one."""
    firsts = []
    for name in table.partition_columns:
        values = batch.column(name)
        if batch.num_rows > 1 and not pc.all(pc.equal(values, values[0]), skip_nulls=False).as_py():
            return None
        firsts.append(values[0].as_py())
    return PartitionKey(*firsts)


def _require_partitions(table: Table, partitions: Sequence[PartitionKey], batch: pa.RecordBatch) -> None:
    columns = list(table.partition_columns)
    allowed = _frame(table, partitions)
    foreign = _partition_values(table, batch).join(allowed, on=columns, how="anti", nulls_equal=True)
    if foreign.is_empty():
        return
    counts = foreign.group_by(columns).len().sort("len", descending=True)
    spelled = [f"{n} of {'|'.join(map(str, key))}" for *key, n in counts.head(PARTITIONS_NAMED).rows()]
    rest = f" and {counts.height - PARTITIONS_NAMED} more partitions" if counts.height > PARTITIONS_NAMED else ""
    raise PartitionMismatchError(
        f"table {table.layer}/{table.name}",
        found=f"rows of other partitions: {', '.join(spelled)}{rest}",
        expected=f"only rows of {spell(partitions)}",
        next_step=f"filter on {' and '.join(columns)} in the asset that made these rows; nothing was written",
    )


def spell(partitions: Sequence[PartitionKey]) -> str:
    """Partition keys for people: a few in full, the others counted."""
    if not partitions:
        return "no partition"
    rest = f" and {len(partitions) - PARTITIONS_NAMED} more" if len(partitions) > PARTITIONS_NAMED else ""
    return ", ".join(map(str, partitions[:PARTITIONS_NAMED])) + rest


def _split(table: Table, batch: pa.RecordBatch) -> Iterator[tuple[PartitionKey, pa.RecordBatch]]:
    if only := _only_key(table, batch):
        yield only, batch
        return
    columns = list(table.partition_columns)
    groups = _partition_values(table, batch).with_row_index("row").group_by(columns, maintain_order=True).agg("row")
    for key, indices in zip(groups.select(columns).iter_rows(), groups["row"], strict=True):
        yield PartitionKey(*key), batch.take(indices.to_arrow())


def _partition_values(table: Table, batch: pa.RecordBatch) -> pl.DataFrame:
    return pl.DataFrame(batch.select(list(table.partition_columns)))


def _frame(table: Table, partitions: Sequence[PartitionKey]) -> pl.DataFrame:
    data = {BUSINESS_DATE: [key.business_date for key in partitions]}
    schema: dict[str, pl.DataType] = {BUSINESS_DATE: pl.Date()}
    if table.shared:
        return pl.DataFrame(data, schema=schema)
    return pl.DataFrame(
        {**data, INSTITUTION: [key.institution for key in partitions]}, schema={**schema, INSTITUTION: pl.String()}
    )


def _spell(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
