"""Which Arrow type may become which without changing a value, and the cast that proves it per value."""

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
}


def is_exact(source: pa.DataType, target: pa.DataType) -> bool:
    """True where a cast keeps every value, or refuses the value it cannot keep (decimals, time units)."""
    if source.equals(target) or at.is_null(source):
        return True
    if at.is_dictionary(source):
        return is_exact(source.value_type, target)
    if at.is_string(target):
        return bool(at.is_large_string(source) or at.is_string_view(source))
    if at.is_binary(target):
        return bool(at.is_large_binary(source) or at.is_binary_view(source))
    if at.is_decimal(target):
        return bool(at.is_decimal(source))
    if at.is_timestamp(target):
        # A naive time is no instant: which zone it means is for the asset to say.
        return bool(at.is_timestamp(source) and (source.tz is None) == (target.tz is None))
    if at.is_list(target):
        is_list = at.is_list(source) or at.is_large_list(source) or at.is_list_view(source)
        return bool(is_list and is_exact(source.value_type, target.value_type))
    return target in _WIDER.get(source, set())


def cast_exactly(values: pa.Array, target: pa.DataType) -> pa.Array:
    """`values` as `target`. Raises pa.ArrowInvalid for a value that would change; only call where `is_exact`."""
    if values.type.equals(target):
        return values
    if at.is_dictionary(values.type):
        return cast_exactly(values.dictionary_decode(), target)
    return values.cast(target, safe=True)
