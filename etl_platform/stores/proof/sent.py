"""What was sent: exact figures of a stream of rows, column by column, taken while it passes.

Belongs here: counting in Arrow's kernels, exact whatever is added up. Not here: which of the figures a warehouse is
asked for, and how (`compared.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as at

from etl_platform.contracts.table import Column, Table
from etl_platform.limits import PROOF_JOINED_BYTES, PROOF_JOINED_ROWS

EXACT = Context(prec=200)
"""For every sum and difference: Python's own context rounds to 28 digits."""

LARGEST = 1e290
"""Binary numbers beyond are counted but not added up: their sum would leave the range of a double."""

LAST_DIGITS = 9
WIDE = 27
"""From so many digits on the sum of a decimal column may have more than the 38 that DuckDB and Snowflake hold: then
the sum of the last LAST_DIGITS digits of each value stands for it."""


_MODULUS = 10**LAST_DIGITS
_WORD_MODULUS = 2**64 % _MODULUS


class Numbers:
    """Decimals, whole numbers, dates, times and booleans: everything whose sum is exact.

    Dates count days, times their own unit, both from 1970 or midnight on; booleans those that are true. low, high:
    None where there is no value. last_digits: see WIDE, in units of the last decimal place.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self.total: Decimal = Decimal(0)
        self.low: Decimal | None = None
        self.high: Decimal | None = None
        self.last_digits = 0
        self.is_wide = bool(at.is_decimal(kind) and kind.precision >= WIDE)

    def add(self, values: pa.Array) -> None:
        if at.is_boolean(values.type):
            self._take(values.true_count)
        elif at.is_decimal(values.type):
            self._add_decimals(values)
        else:
            self._add_whole(_as_whole(values))

    def _add_decimals(self, values: pa.Array) -> None:
        if not self.is_wide:
            # 26 digits and as many rows as fit into memory stay within the 38 of the sum.
            self._take(pc.sum(values).as_py() or 0)
            return
        self._bound(values)
        self._take(pc.sum(values.cast(pa.decimal256(76, values.type.scale))).as_py() or 0)
        self.last_digits += _last_digits(values)

    def _add_whole(self, values: pa.Array) -> None:
        low, high = self._bound(values)
        # Arrow's sum of int64 wraps around without a word.
        if max(abs(low), abs(high)) * len(values) >= 2**63:
            values = values.cast(pa.decimal128(19, 0))
        self._take(pc.sum(values).as_py() or 0)

    def _bound(self, values: pa.Array) -> tuple[int, int]:
        bounds = pc.min_max(values)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        if low is None:
            return 0, 0
        self.low = Decimal(low) if self.low is None else min(self.low, Decimal(low))
        self.high = Decimal(high) if self.high is None else max(self.high, Decimal(high))
        return low, high

    def _take(self, part: Decimal | int) -> None:
        self.total = EXACT.add(self.total, Decimal(part))


class Texts:
    """Texts: how many bytes of UTF-8, and how many characters."""

    def __init__(self) -> None:
        self.bytes = self.characters = 0

    def add(self, values: pa.Array) -> None:
        if at.is_dictionary(values.type):
            values = values.dictionary_decode()
        self.bytes += pc.sum(pc.binary_length(values)).as_py() or 0
        self.characters += pc.sum(pc.utf8_length(values)).as_py() or 0


class Lists:
    """Lists of texts: how many items, and the texts among them."""

    def __init__(self) -> None:
        self.items = 0
        self.texts = Texts()

    def add(self, values: pa.Array) -> None:
        self.items += pc.sum(pc.list_value_length(values)).as_py() or 0
        self.texts.add(values.flatten())


class Floats:
    """Binary numbers: those within LARGEST, their sum, and the sum of their amounts, which bounds its rounding."""

    def __init__(self) -> None:
        self.usual = 0
        self.total = self.amounts = 0.0

    def add(self, values: pa.Array) -> None:
        usual = values.filter(pc.less_equal(pc.abs(values), LARGEST))
        self.usual += len(usual)
        self.total += pc.sum(usual).as_py() or 0.0
        self.amounts += pc.sum(pc.abs(usual)).as_py() or 0.0


Tally = Numbers | Texts | Lists | Floats


class SentColumn:
    """One column: how many values are not null, and the figures of its type."""

    def __init__(self, column: Column, kind: pa.DataType) -> None:
        self.name, self.nullable = column.name, column.nullable
        self.values = 0
        self.tally = tally_of(kind)

    def add(self, values: pa.Array) -> None:
        self.values += len(values) - values.null_count
        self.tally.add(values)


class Sent:
    """The figures of all rows of `table` that passed through `watch`."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows = 0
        # The partition columns are what the warehouse is asked by: a row with another value is a missing row.
        self.columns = [
            SentColumn(column, table.arrow_schema.field(column.name).type)
            for column in table.columns
            if column.name not in table.partition_columns
        ]
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    def watch(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """`batches` unchanged."""
        for batch in batches:
            self.add(batch)
            yield batch

    def add(self, batch: pa.RecordBatch) -> None:
        """Count these rows in."""
        self.rows += batch.num_rows
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= PROOF_JOINED_ROWS or self._waiting_bytes >= PROOF_JOINED_BYTES:
            self.finish()

    def finish(self) -> None:
        """Count what still waits to be counted; before any figure of a column is asked for."""
        if not self._waiting:
            return
        joined = self._waiting[0] if len(self._waiting) == 1 else _joined(self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        for column in self.columns:
            column.add(joined.column(column.name))


def tally_of(kind: pa.DataType) -> Tally:
    """The figures of a column of that Arrow type."""
    if at.is_floating(kind):
        return Floats()
    if at.is_list(kind):
        return Lists()
    if at.is_string(kind) or at.is_dictionary(kind):
        return Texts()
    return Numbers(kind)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    # Without labels: batches differ in those of nullability.
    plain = pa.schema([pa.field(field.name, field.type) for field in batches[0].schema])
    return pa.concat_batches([pa.RecordBatch.from_arrays(batch.columns, schema=plain) for batch in batches])


def _as_whole(values: pa.Array) -> pa.Array:
    """Dates, times and whole numbers as the integers that they are stored as."""
    return (
        values if at.is_integer(values.type) else values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())
    )


def _last_digits(values: pa.Array) -> int:
    """The sum of the last LAST_DIGITS digits of each value, with its sign, as SQL's remainder gives them."""
    words = np.frombuffer(values.buffers()[1], dtype="<u8")[2 * values.offset : 2 * (values.offset + len(values))]
    if values.null_count:
        words = words.reshape(-1, 2)[values.is_valid().to_numpy(zero_copy_only=False)].reshape(-1)
    low, high = words[0::2] % _MODULUS, words[1::2].view("<i8")
    # The remainder of mathematics, never negative; SQL's has the sign of the value.
    remainders = (np.mod(high, _MODULUS).astype("<u8") * _WORD_MODULUS + low) % _MODULUS
    negative = int(((high < 0) & (remainders != 0)).sum())
    whole: int = remainders.sum().item() - negative * _MODULUS
    return whole
