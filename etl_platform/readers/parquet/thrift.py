"""Thrift's compact protocol, as far as Parquet's footer and page headers need it: bytes to plain dictionaries.

Belongs here: the encoding. Not here: what the fields mean (`pages.py`).
"""

from __future__ import annotations

from typing import Any

from etl_platform.limits import THRIFT_DEPTH

Struct = dict[int, Any]
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned integer and the position after it. Raises IndexError where the bytes end before it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("an integer of more than ten bytes")


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    """A signed (zigzag) integer and the position after it."""
    value, at = read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def read_struct(data: bytes, at: int, depth: int = 0) -> tuple[Struct, int]:
    """A structure, field number -> value, and the position after it. Raises IndexError or ValueError for damage."""
    if depth > THRIFT_DEPTH:
        raise ValueError("structures nested too deep")
    fields: Struct = {}
    number = 0
    while True:
        head = data[at]
        at += 1
        if not head:
            return fields, at
        kind, step = head & 0x0F, head >> 4
        if step:
            number += step
        else:
            number, at = read_signed(data, at)
        if kind in (_TRUE, _FALSE):
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if _BYTE < kind < _DOUBLE:
        return read_signed(data, at)
    if kind == _BINARY:
        length, at = read_varint(data, at)
        if at + length > len(data):
            raise IndexError("text beyond the end")
        return data[at : at + length], at + length
    if kind == _STRUCT:
        return read_struct(data, at, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, at, depth)
    if kind in (_TRUE, _FALSE, _BYTE):
        return data[at], at + 1
    if kind == _DOUBLE:
        return None, at + 8
    raise ValueError(f"no such type: {kind}")


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    head = data[at]
    at += 1
    size, kind = head >> 4, head & 0x0F
    if size == 15:
        size, at = read_varint(data, at)
    # Every element takes a byte: a longer list is a lie.
    if size > len(data) - at:
        raise IndexError("a list beyond the end")
    found = []
    for _ in range(size):
        value, at = _value(data, at, kind, depth + 1)
        found.append(value)
    return found, at
