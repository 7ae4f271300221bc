"""Which Arrow type may become which without changing a value, and the cast that proves it per value.

Also the labels that are no part of a type: nullability and metadata.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as at

_WIDER = {
    pa.int8(): {pa.int32(), pa.int64()},
    pa.int16(): {pa.int32(), pa.int64()},
    pa.int32(): {pa.int64()},
    pa.uint8(): {pa.int32(), pa.int64()},
    pa.uint16(): {pa.int32(), pa.int64()},
    pa.uint32(): {pa.int64()},
    pa.float32(): {pa.float64()},
    pa.large_string(): {pa.string()},
    pa.string_view(): {pa.string()},
    pa.large_binary(): {pa.binary()},
    pa.binary_view(): {pa.binary()},
}


def is_exact(source: pa.DataType, target: pa.DataType) -> bool:
    """True where a cast keeps every value, or refuses the value it cannot keep (decimals, time units)."""
    if at.is_dictionary(source):
        return is_exact(source.value_type, target)
    if at.is_list(target) and (at.is_list(source) or at.is_large_list(source)):
        return is_exact(source.value_type, target.value_type)
    # A naive time is no instant: which zone it means is for the asset to say.
    is_same_clock = at.is_timestamp(source) and at.is_timestamp(target) and (source.tz is None) == (target.tz is None)
    return bool(
        source.equals(target)
        or at.is_null(source)
        or is_same_clock
        or (at.is_decimal(source) and at.is_decimal(target))
        or target in _WIDER.get(source, set())
    )


def cast_exactly(values: pa.Array, target: pa.DataType) -> pa.Array:
    """`values` as `target`. Raises pa.ArrowInvalid for a value that would change; only call where `is_exact`."""
    if values.type.equals(target):
        return values
    if at.is_dictionary(values.type):
        return cast_exactly(values.dictionary_decode(), target)
    return values.cast(target, safe=True)


def labelled(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch`, which has the columns of `schema`, under its labels."""
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
