"""Little Parquet files that would fill the memory of whoever believes them.

Belongs here: their bytes. Not here: what becomes of them (`hostile_files.py`).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LONG = "x" * 1_000_000


def _written(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def no_rows(names: Sequence[str]) -> bytes:
    """A table of text columns without rows: no bomb, but Parquet all the same."""
    return _written(pa.table({name: pa.array([], pa.string()) for name in names}))


def wide() -> bytes:
    """More columns than anybody reads."""
    return _written(pa.table({f"c{number}": pa.array([1]) for number in range(12_000)}))


def many_cells() -> bytes:
    """More values than a table of its size should have: runs of one value cost nothing."""
    return _written(pa.table({f"c{number}": pa.nulls(2_000, pa.int8()) for number in range(1_000)}))


def repeated_text() -> bytes:
    """200 GB of text by a dictionary of one value."""
    return _written(pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), [LONG])}))


def repeated_fixed() -> bytes:
    """3 GB by a dictionary of one value whose type says that it is a megabyte long."""
    return _in_batches(pa.array([LONG.encode()] * 100, pa.binary(len(LONG))), dictionary_pagesize_limit=2**24)


def repeated_nested_text() -> bytes:
    """The same inside lists."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), [LONG])
    lists = pa.ListArray.from_arrays(pa.array(range(0, 200_001, 10), pa.int32()), values)
    return _written(pa.table({"a": lists}), store_schema=False)


def repeated_prefix() -> bytes:
    """3 GB of text: each value is the one before it."""
    return _in_batches(pa.array([LONG] * 100), use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})


def _in_batches(values: pa.Array, **options: Any) -> bytes:
    """One row group of 30 times `values`: whoever makes a bomb must not hold it either."""
    buffer = io.BytesIO()
    batch = pa.record_batch({"a": values})
    settings = {"compression": "zstd", "write_statistics": False, "data_page_size": 2**30}
    with pq.ParquetWriter(buffer, batch.schema, **(settings | options)) as writer:
        for _ in range(30):
            writer.write_batch(batch, row_group_size=10**6)
    return buffer.getvalue()


def lying_page() -> bytes:
    """A page of a few hundred bytes whose header says that it expands to 2 GB."""
    honest = _written(
        pa.table({"a": [str(number * 7919 % 10_007) for number in range(1000)]}),
        use_dictionary=False,
        compression="zstd",
    )
    start = 4 + 3  # the magic, the page type, the key of the size
    expanded, after = _varint(honest, start)
    packed, content = _varint(honest, after + 1)
    lie = _encoded(2 * (2**31 - 1))
    growth = len(lie) - (after - start)
    shorter = _encoded(packed - 2 * growth)
    assert expanded > 0 and len(shorter) == content - after - 1
    header = honest[:start] + lie + honest[after : after + 1] + shorter
    # The page gives up as many bytes as its header takes, so that everything after it stays where it is.
    page_end = content + _header_rest(honest, content) + packed // 2
    return header + honest[content : page_end - growth] + honest[page_end:]


def _header_rest(data: bytes, at: int) -> int:
    """Length of what follows the sizes in a page header: up to the two stop bytes of its nested structures."""
    return data.index(b"(\xb5/\xfd", at) - at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _encoded(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
