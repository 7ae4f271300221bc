"""What the pages of a Parquet file really hold, from their headers: sizes, dictionaries, encodings, longest values.

Belongs here: the survey before anything is decoded, and its limits. Not here: reading values (`reader.py`), how
many rows at once (`plan.py`), lengths inside a page (`lengths.py`).

The footer's figures are what the writer says. A page of a few bytes can expand to gigabytes: by compression, by a
dictionary, by prefixes that repeat, inside lists. The headers (35 µs each) tell which of these can be, and only where
one can and pyarrow cannot read dictionaries, the lengths themselves are decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from etl_platform.errors import FileRefusedError
from etl_platform.limits import LONGEST_PAGE_HEADER_BYTES, PAGE_HEADER_BYTES, RATIO_FLOOR_BYTES
from etl_platform.readers.parquet.lengths import lengths_in_delta_page, longest_in_dictionary, unpacked
from etl_platform.readers.parquet.thrift import Struct, read_struct
from etl_platform.readers.source import Source

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_ENCRYPTION = 8
_DELTA_LENGTHS, _DELTA_PREFIXES = 6, 7
_TEXT, _FIXED = 6, 7
_LEAST_VALUE = 8
_UNCOUNTED_HEADER = 100  # as much as pyarrow allows


@dataclass(frozen=True)
class Chunk:
    """One column of one row group. width: bytes that a row's value can take, as far as its pages tell.

    is_coded: text behind a dictionary that pyarrow can hand over as such; `width` then says nothing of it.
    content: bytes of all its pages, unpacked. text: bytes of its texts, where prefixes repeat, and of its
    values of fixed length.
    """

    column: int
    is_coded: bool
    can_be_coded: bool
    width: int
    content: int
    text: int


@dataclass(frozen=True)
class _Page:
    header: Struct
    at: int

    @property
    def kind(self) -> int:
        return int(self.header[1])

    @property
    def expanded(self) -> int:
        return int(self.header[2])

    @property
    def packed(self) -> int:
        return int(self.header[3])

    @property
    def data(self) -> Struct:
        """The header of a data page, of either version: number of values in field 1."""
        held: Struct = self.header[5 if self.kind == _DATA else 8]
        return held

    @property
    def encoding(self) -> int:
        return int(self.data[2 if self.kind == _DATA else 4])


def survey(source: Source, metadata: pq.FileMetaData) -> list[list[Chunk]]:
    """The columns of each row group. Raises FileRefusedError for bombs and for headers that are none."""
    descriptor = os.open(source.path, os.O_RDONLY)
    try:
        footer = _footer(descriptor, source.path)
        if _ENCRYPTION in footer:
            raise encrypted(source)
        groups = [
            [
                _chunk(source, descriptor, metadata.schema.column(index), index, column[3], max(int(group[3]), 1))
                for index, column in enumerate(group[1])
            ]
            for group in footer.get(4, [])
        ]
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        found = f"damaged Parquet: a footer or page header that cannot be read ({error!r:.200})"
        raise source.refusal("file_is_readable", found, "a complete, intact Parquet file") from error
    finally:
        os.close(descriptor)
    chunks = [chunk for group in groups for chunk in group]
    _require_total(source, sum(chunk.content for chunk in chunks), sum(chunk.text for chunk in chunks))
    return groups


def encrypted(source: Source) -> FileRefusedError:
    """The refusal of a file whose footer or columns are encrypted: nobody gives us keys."""
    return source.refusal("file_is_readable", "encrypted Parquet", "Parquet that is not encrypted")


def _require_total(source: Source, content: int, text: int) -> None:
    size, limits = source.path.stat().st_size, source.limits
    if content > limits.decompressed_bytes or content > max(limits.decompressed_ratio * size, RATIO_FLOOR_BYTES):
        raise source.beyond(f"{size} bytes expand to {content}", f"a ratio of {limits.decompressed_ratio} at most")
    if text > limits.decompressed_bytes:
        raise source.beyond(f"{text} bytes of text", f"{limits.decompressed_bytes} bytes at most")


def _footer(descriptor: int, path: Path) -> Struct:
    size = path.stat().st_size
    (length,) = struct.unpack("<I", os.pread(descriptor, 4, size - 8))
    return read_struct(os.pread(descriptor, length, size - 8 - length), 0)[0]


def _chunk(source: Source, descriptor: int, column: pq.ColumnSchema, index: int, said: Struct, rows: int) -> Chunk:
    kind, codec = int(said[1]), int(said[4])
    content = longest = text = values = 0
    has_dictionary = has_delta = False
    pages = list(_pages(source, descriptor, said))
    for page in pages:
        content += page.expanded
        has_dictionary |= page.kind == _DICTIONARY
        if page.kind in (_DATA, _DATA_V2):
            values += int(page.data[1])
            has_delta |= page.encoding in (_DELTA_LENGTHS, _DELTA_PREFIXES)
    is_nested = column.max_repetition_level > 0 or "." in column.path
    can_be_coded = kind == _TEXT and not has_delta and not is_nested
    if kind == _FIXED:
        longest, text = column.length, column.length * values
    elif kind == _TEXT and not can_be_coded:
        levels = (column.max_repetition_level, column.max_definition_level)
        for page in pages:
            one, total = _texts(descriptor, page, codec, levels)
            longest, text = max(longest, one), text + total
    _require_value(source, longest)
    if is_nested:
        spread = values * max(longest, _LEAST_VALUE)
        _require_nested(source, column.path, spread)
        return Chunk(index, False, False, (content + spread) // rows, content, text)
    return Chunk(index, can_be_coded and has_dictionary, can_be_coded, content // rows + longest, content, text)


def _pages(source: Source, descriptor: int, said: Struct) -> Iterator[_Page]:
    """The pages of a column chunk as pyarrow finds them: from its first page until all its values are seen."""
    at = min(offset for offset in (said[9], said.get(11) or said[9]) if offset > 0)
    end, left = at + int(said[7]), int(said[5])
    while left > 0 and at < end:
        header, at = _page_header(descriptor, at)
        page = _Page(header, at)
        # Old writers of Java do not count the header of the dictionary: the last page ends behind what the footer says.
        if page.packed < 0 or page.expanded < 0 or at + page.packed > end + _UNCOUNTED_HEADER:
            raise ValueError(f"a page of {page.packed} bytes that expand to {page.expanded}")
        limit = max(source.limits.decompressed_ratio * page.packed, RATIO_FLOOR_BYTES)
        if page.expanded > limit:
            found = f"a page of {page.packed} bytes expands to {page.expanded}"
            raise source.beyond(found, f"a ratio of {source.limits.decompressed_ratio} at most")
        if page.kind in (_DATA, _DATA_V2):
            left -= int(page.data[1])
        yield page
        at += page.packed


def _page_header(descriptor: int, at: int) -> tuple[Struct, int]:
    size = PAGE_HEADER_BYTES
    while True:
        data = os.pread(descriptor, size, at)
        try:
            header, used = read_struct(data, 0)
        except IndexError:
            if len(data) < size or size >= LONGEST_PAGE_HEADER_BYTES:
                raise
            size *= 16
        else:
            return header, at + used


def _texts(descriptor: int, page: _Page, codec: int, levels: tuple[int, int]) -> tuple[int, int]:
    """The longest text that a dictionary or prefixes can bring, and the bytes of all texts of prefixes; zeros for a
    page whose size says all."""
    if page.kind == _DICTIONARY:
        content = unpacked(os.pread(descriptor, page.packed, page.at), codec, page.expanded)
        return page.expanded if content is None else longest_in_dictionary(content), 0
    if page.kind not in (_DATA, _DATA_V2) or page.encoding != _DELTA_PREFIXES:
        return 0, 0
    data = os.pread(descriptor, page.packed, page.at)
    if page.kind == _DATA:
        content = unpacked(data, codec, page.expanded)
        skipped = 0 if content is None else _level_bytes(content, levels)
    else:
        levels_size = int(page.data[5]) + int(page.data[6])
        # An absent field 7 means: compressed.
        codec = codec if page.data.get(7, True) else 0
        content, skipped = unpacked(data[levels_size:], codec, page.expanded - levels_size), 0
    if content is None:
        return page.expanded, 0
    return lengths_in_delta_page(content[skipped:], int(page.data[1]))


def _level_bytes(content: bytes, levels: tuple[int, int]) -> int:
    """Repetition and definition levels stand before the values, each with its size, where the column has them."""
    skipped = 0
    for deepest in levels:
        if deepest:
            skipped += 4 + int(struct.unpack_from("<I", content, skipped)[0])
    return skipped


def _require_value(source: Source, longest: int) -> None:
    if longest > source.limits.field_bytes:
        raise source.beyond(f"a value of {longest} bytes", f"{source.limits.field_bytes} at most")


def _require_nested(source: Source, path: str, spread: int) -> None:
    limit = max(source.limits.decompressed_ratio * source.path.stat().st_size, RATIO_FLOOR_BYTES)
    if spread > limit:
        raise source.beyond(f"column {path}: up to {spread} bytes of nested values", f"{limit} for a file of its size")
