"""A checksum over a whole Parquet file, inside the file, in a place that every Parquet reader skips.

Parquet's own page checksums cover the pages' bodies and neither their headers nor the footer: of single flipped
bits in a small file, some were read as other values without a word. The seal covers every other byte.

Layout: pages, seal (8 bytes: mark and CRC-32), footer, footer length, `PAR1`. Readers find the footer from the
end and the pages by absolute offsets, so the gap between them is free.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from etl_platform.limits import SEAL_CHUNK_BYTES

_MARK = b"ETLS"
_SEAL = struct.Struct("<4sI")
_TAIL = struct.Struct("<I4s")


def seal(file: BinaryIO) -> None:
    """Put the seal into a finished Parquet file, open for reading and writing."""
    start = _footer_start(file)
    checksum = _checksum(file, start, start)
    file.seek(start)
    footer = file.read()
    file.seek(start)
    file.write(_SEAL.pack(_MARK, checksum) + footer)


def seal_is_intact(file: BinaryIO) -> bool:
    """Whether the file still holds exactly the bytes that were sealed."""
    start = _footer_start(file)
    if start < _SEAL.size:
        return False
    file.seek(start - _SEAL.size)
    mark, checksum = _SEAL.unpack(file.read(_SEAL.size))
    return bool(mark == _MARK and checksum == _checksum(file, start - _SEAL.size, start))


def _footer_start(file: BinaryIO) -> int:
    """Where the footer begins; negative where there is none."""
    size = file.seek(0, 2)
    if size < _TAIL.size:
        return -1
    file.seek(size - _TAIL.size)
    length, _ = _TAIL.unpack(file.read(_TAIL.size))
    return int(size - _TAIL.size - length)


def _checksum(file: BinaryIO, gap_start: int, gap_end: int) -> int:
    """CRC-32 of the file without the bytes of the gap."""
    checksum, left = 0, gap_start
    file.seek(0)
    while left and (chunk := file.read(min(left, SEAL_CHUNK_BYTES))):
        checksum, left = zlib.crc32(chunk, checksum), left - len(chunk)
    file.seek(gap_end)
    while chunk := file.read(SEAL_CHUNK_BYTES):
        checksum = zlib.crc32(chunk, checksum)
    return checksum
