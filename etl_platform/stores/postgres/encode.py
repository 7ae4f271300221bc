"""Values that Postgres cannot hold, found before they are sent and named by column; and the exact wire form.

Types, nulls and partitions are checked by `partition_guard.py` before; here only what is peculiar to Postgres.
"""

from __future__ import annotations

import pgpq
import pyarrow as pa
import pyarrow.compute as pc

from etl_platform.contracts.table import Table
from etl_platform.errors import SchemaMismatchError

_FIRST_DAY = -2_440_588 + 1
"""4713-01-01 BC in the calendar of Postgres is day 0 of the Julian count, 2,440,588 days before 1970."""
_LAST_DAY = 2_145_031_948
"""5874897-12-31. Day numbers beyond would wrap into Postgres' -infinity."""
_FIRST_MICROSECOND = _FIRST_DAY * 86_400_000_000


class Encoder:
    """Arrow batches of one table as one stream of COPY BINARY."""

    def __init__(self, table: Table) -> None:
        self._subject = f"table {table.layer}/{table.name}"
        self._schema = table.arrow_schema
        self._encoder = pgpq.ArrowToPostgresBinaryEncoder(self._schema)

    def begin(self) -> bytes:
        """What opens the stream."""
        header: bytes = self._encoder.write_header()
        return header

    def encode(self, batch: pa.RecordBatch) -> bytes:
        """One batch. Raises SchemaMismatchError naming the column that Postgres cannot hold."""
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            require_storable(f"{self._subject} column {name}", values)
        # Nullability is a label here: the encoder only compares types.
        plain = pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)
        try:
            data: bytes = self._encoder.write_batch(plain)
        except BaseException as error:  # a panic of the encoder is no Exception
            if not _is_of_encoder(error):
                raise
            raise self._explain(plain, error) from error
        return data

    def _explain(self, batch: pa.RecordBatch, error: BaseException) -> SchemaMismatchError:
        """The error with the column that the encoder fails at: each is tried alone."""
        columns = []
        for place, field in enumerate(self._schema):
            alone = pa.RecordBatch.from_arrays([batch.column(place)], schema=pa.schema([field]))
            encoder = pgpq.ArrowToPostgresBinaryEncoder(alone.schema)
            encoder.write_header()
            try:
                encoder.write_batch(alone)
            except BaseException as again:  # likewise
                if not _is_of_encoder(again):
                    raise
                columns.append(f"{field.name} ({field.type})")
        return SchemaMismatchError(
            f"{self._subject} column {', '.join(columns) or 'unknown'}",
            found=f"a value at which the encoder of COPY BINARY broke off ({type(error).__name__}: {error})",
            expected="values of the column's type",
            next_step="nothing was changed; look at the column's largest and smallest values, and keep pgpq at the "
            "version of the lock",
        )

    def end(self) -> bytes:
        """What closes the stream."""
        trailer: bytes = self._encoder.finish()
        return trailer


def _is_of_encoder(error: BaseException) -> bool:
    """Whether the encoder raised it. A panic of Rust is no Exception, and each extension has its own class for it."""
    return isinstance(error, ValueError) or type(error).__name__ == "PanicException"


def require_storable(subject: str, values: pa.Array) -> None:
    """Raises SchemaMismatchError where Postgres would refuse a value of the column `subject`, or change it."""
    if pa.types.is_string(values.type):
        _require_no_nul(subject, values)
    elif pa.types.is_dictionary(values.type):
        _require_no_nul(subject, values.dictionary_decode().cast(pa.string()))
    elif pa.types.is_list(values.type):
        _require_no_nul(subject, values.flatten())
    elif pa.types.is_timestamp(values.type):
        instants = _in_microseconds(subject, values, pa.timestamp("us", values.type.tz))
        _require_range(subject, instants.view(pa.int64()), _FIRST_MICROSECOND, None, "times from 4713 BC on")
    elif pa.types.is_time64(values.type):
        _in_microseconds(subject, values, pa.time64("us"))
    elif pa.types.is_date32(values.type):
        _require_range(subject, values.view(pa.int32()), _FIRST_DAY, _LAST_DAY, "dates of 4713 BC to 5874897")


def _require_no_nul(subject: str, values: pa.Array) -> None:
    # A search in the raw bytes is ten times faster than one per value; the bytes are those of this slice only.
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return
    ends = pa.Array.from_buffers(pa.int32(), len(values) + 1, [None, offsets], offset=values.offset)
    start, stop = ends[0].as_py(), ends[-1].as_py()
    if b"\0" not in data.slice(start, stop - start).to_pybytes():
        return
    rows = pc.sum(pc.match_substring(values, "\0")).as_py()
    if rows:
        raise SchemaMismatchError(
            subject,
            found=f"{rows} values with a NUL character",
            expected="text without NUL, which Postgres cannot hold",
            next_step="quarantine such rows, or strip NUL in the asset",
        )


def _in_microseconds(subject: str, values: pa.Array, target: pa.DataType) -> pa.Array:
    try:
        return values.cast(target)
    except pa.ArrowInvalid as error:
        raise SchemaMismatchError(
            subject,
            found=f"a value between two microseconds, or too far away ({error})",
            expected="whole microseconds, the unit of Postgres",
            next_step="round in the asset, or keep the nanoseconds in a column of whole numbers",
        ) from None


def _require_range(subject: str, numbers: pa.Array, first: int, last: int | None, expected: str) -> None:
    bounds = pc.min_max(numbers)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    if low is not None and (low < first or (last is not None and high > last)):
        raise SchemaMismatchError(
            subject,
            found="a value outside what Postgres can hold",
            expected=expected,
            next_step="quarantine such rows with a rule of the contract",
        )
