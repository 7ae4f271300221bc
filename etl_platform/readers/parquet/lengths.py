"""Lengths of texts inside Parquet pages, without building the texts.

Belongs here: the layouts of dictionaries and of delta encoding. Not here: which pages are looked at (`pages.py`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from etl_platform.limits import DELTA_BLOCK_VALUES
from etl_platform.readers.parquet.thrift import read_signed, read_varint

_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}


def unpacked(data: bytes, codec: int, size: int) -> bytes | None:
    """The content of a page; None where nothing here can unpack it (LZO, the first LZ4). Raises ArrowException."""
    if codec == 0:
        return data
    name = _CODECS.get(codec)
    if name is None:
        return None
    content: bytes = pa.decompress(data, decompressed_size=size, codec=name, asbytes=True) if data else b""
    return content


def longest_in_dictionary(content: bytes) -> int:
    """The longest text of a dictionary page: each has its length in four bytes before it.

    A dictionary is one page, by custom of a megabyte: a loop over its values, not over rows.
    """
    at = longest = 0
    while at + 4 <= len(content):
        length = int.from_bytes(content[at : at + 4], "little")
        longest = max(longest, length)
        at += 4 + length
    return longest


def lengths_in_delta_page(content: bytes, most: int) -> tuple[int, int]:
    """The longest text and the length of all texts of a page of shared prefixes: the lengths of prefixes, those of
    suffixes, the suffixes."""
    prefixes, at = _delta_integers(content, 0, most)
    suffixes, _ = _delta_integers(content, at, most)
    if len(prefixes) != len(suffixes):
        raise ValueError(f"{len(prefixes)} prefixes of {len(suffixes)} values")
    lengths = prefixes + suffixes
    if lengths.min(initial=0) < 0:
        raise ValueError("a length below zero")
    return int(lengths.max(initial=0)), int(lengths.sum())


def _delta_integers(data: bytes, at: int, most: int) -> tuple[npt.NDArray[np.int64], int]:
    """Delta-packed integers: blocks of miniblocks of equally wide differences to the block's least difference."""
    block, at = read_varint(data, at)
    parts, at = read_varint(data, at)
    count, at = read_varint(data, at)
    first, at = read_signed(data, at)
    if count > most or not 0 < parts <= block <= DELTA_BLOCK_VALUES or block % (8 * parts):
        raise ValueError(f"{count} values in blocks of {block} by {parts}")
    size = block // parts
    steps = np.zeros(max(count - 1, 0), dtype=np.int64)
    done = 0
    while done < len(steps):
        least, at = read_signed(data, at)
        widths = data[at : at + parts]
        at += parts
        for width in widths:
            if done >= len(steps):
                break
            taken = min(size, len(steps) - done)
            steps[done : done + taken] = least
            if width:
                steps[done : done + taken] += _unpack_bits(data[at : at + size * width // 8], width)[:taken]
            at += size * width // 8
            done += taken
    values = np.cumsum(np.concatenate(([first], steps))) if count else steps
    return values, at


def _unpack_bits(data: bytes, width: int) -> npt.NDArray[np.int64]:
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").reshape(-1, width)
    return bits @ (np.int64(1) << np.arange(width, dtype=np.int64))
