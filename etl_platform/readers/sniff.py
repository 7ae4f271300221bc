"""What a file really is, from its content; names and extensions carry no meaning.

Belongs here: recognising formats from the first bytes. Not here: reading them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from etl_platform.errors import FileRefusedError
from etl_platform.limits import SNIFFED_BYTES
from etl_platform.readers.archive import Compression, compression_of, open_chunks, require_directory_size
from etl_platform.readers.options import CsvOptions, FormatOptions, JsonOptions, ReadLimits
from etl_platform.readers.source import Source

Kind = Literal["csv", "json", "parquet", "html", "xml", "excel", "pdf", "archive", "binary", "empty"]

_EXCEL_PARTS = (b"[Content_Types].xml", b"xl/", b"_rels/", b"docProps/")
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"PARE", "parquet"),
    (b"%PDF-", "pdf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel"),
    (b"\xfd7zXZ\x00", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"Rar!\x1a\x07", "archive"),
    (b"BZh91AY&SY", "archive"),
    (b"\x89PNG\r\n", "binary"),
    (b"SQLite format 3\x00", "binary"),
    (b"Obj\x01", "binary"),
)
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_HTML = re.compile(r"<(!doctype\s+html|html|head|body|table|script)\b", re.IGNORECASE)
_FIELD_FOLLOWS = re.compile(r"[ \t]*[,;\t|]\s*[^\s{\[]")
_TEXT_FOLLOWS = re.compile(r"[ \t]*[^\s{\[,]")
_JSON = re.compile(r'\{\s*("|\}|$)|\[\s*([{\["\]\d-]|$)')


@dataclass(frozen=True)
class Sniffed:
    """format: what the content is, inside its compression."""

    format: Kind
    compression: Compression


def sniff(path: Path, content: bytes | None = None) -> Sniffed:
    """Recognise a local file. An archive that cannot be opened is `archive`; text that is nothing else is `csv`.

    content: its bytes, where they are in memory."""
    source = Source(path, str(path), ReadLimits(), content)
    with source.open() as handle:
        head = handle.read(SNIFFED_BYTES)
    compression = compression_of(head)
    if compression == "none":
        return Sniffed(_kind(head), "none")
    if compression == "zip" and head[30:].startswith(_EXCEL_PARTS):
        return Sniffed("excel", "zip")
    try:
        if compression == "zip":
            require_directory_size(source)
        inner = next(open_chunks(source, compression), b"")[:SNIFFED_BYTES]
    except FileRefusedError:
        return Sniffed("archive", compression)
    return Sniffed("archive" if compression_of(inner) != "none" else _kind(inner), compression)


def head_text(head: bytes) -> str:
    """The first bytes as text, good enough to recognise a format."""
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), "utf-8-sig")
    # UTF-16 without a mark reads as ASCII with NULs between.
    return head.decode(encoding, errors="replace").replace("\0", "")


def declares(source: Source, found: Sniffed, options: FormatOptions) -> bool:
    """True where content recognised as `found` may be what `options` declare.

    A doubt is left to the reader, whose verdict on single rows says more. JSON whose first line is broken looks like
    CSV: it is still JSON as long as any line begins like a record.
    """
    if found.format == "archive" and found.compression != "none":
        return True  # the reader says what is wrong with the archive
    if isinstance(options, CsvOptions):
        return found.format in ("csv", "binary")
    if isinstance(options, JsonOptions):
        return found.format == "json" or (found.format == "csv" and _has_json_lines(source, found.compression))
    return found.format == "parquet"


def _has_json_lines(source: Source, compression: Compression) -> bool:
    unlimited = replace(source, limits=ReadLimits())
    text = head_text(next(open_chunks(unlimited, compression), b"")[:SNIFFED_BYTES])
    if re.search(r"^\s*[{\[]", text, re.MULTILINE) or not text.strip():
        return True
    try:
        json.loads(text.split("\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return True


def _kind(head: bytes) -> Kind:
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    text = head_text(head).lstrip("\ufeff \t\r\n")
    if text.startswith("<?xml"):
        return "html" if _HTML.search(text[:2000]) else "xml"
    if _HTML.match(text):
        return "html"
    if _is_json(text):
        return "json"
    # Text of any encoding has few control bytes; UTF-16 without a mark has one NUL in two bytes, never more.
    control = sum(head.count(byte) for byte in range(1, 9)) + sum(head.count(byte) for byte in range(14, 27))
    return "binary" if control > len(head) // 20 or head.count(0) > len(head) * 3 // 4 else "csv"


def _is_json(text: str) -> bool:
    """Whether text begins as JSON does. The first field of a CSV without a header may be `{}` or begin with it, too:
    something else follows on the line."""
    if not _JSON.match(text):
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return True  # cut off, or broken: the reader says so
    has_names = '"' in text[:end]
    return not (_FIELD_FOLLOWS.match(text, end) or (not has_names and _TEXT_FOLLOWS.match(text, end)))
