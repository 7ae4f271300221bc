"""Bytes in the declared encoding to UTF-8, in chunks that never cut a character.

Belongs here: encodings and byte order marks. Not here: line ends, fields.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import chain, islice

from etl_platform.errors import ConfigurationError
from etl_platform.readers.archive import Compression, open_chunks
from etl_platform.readers.source import Source

BOM = "\ufeff".encode()


def to_utf8(source: Source, compression: Compression, encoding: str) -> Iterator[bytes]:
    """Yield UTF-8 without a byte order mark. Raises FileRefusedError naming the line of the first wrong byte."""
    decoder = _decoder(source, encoding)
    plain = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    first = True
    for number, chunk in enumerate(chain(open_chunks(source, compression), (b"",))):
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(chunk, final=not chunk)
            # Decoding proves the bytes; where they are UTF-8 already there is no need to encode them again.
            encoded = _complete(pending + chunk, decoder) if plain else text.encode()
        except UnicodeError as error:
            raise _refusal(source, compression, encoding, number, error) from error
        if first and encoded:
            encoded, first = encoded.removeprefix(BOM), False
        if encoded:
            yield encoded


def _decoder(source: Source, encoding: str) -> codecs.IncrementalDecoder:
    try:
        "".encode(encoding)  # refuses codecs that are no text encodings (hex, zlib)
        return codecs.getincrementaldecoder("utf-8" if encoding.lower() == "utf-8-sig" else encoding)("strict")
    except LookupError as error:
        raise ConfigurationError(
            f"{source.subject} option encoding", found=repr(encoding), expected="a text encoding such as utf-8, cp1252"
        ) from error


def _complete(data: bytes, decoder: codecs.IncrementalDecoder) -> bytes:
    pending = len(decoder.getstate()[0])
    return data[:-pending] if pending else data


def count_line_ends(text: str) -> int:
    """Number of line ends in any convention: LF, CRLF, CR."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _refusal(source: Source, compression: Compression, encoding: str, number: int, error: UnicodeError) -> Exception:
    found = str(error)
    if isinstance(error, UnicodeDecodeError):
        try:
            line = 1 + _line_ends_before(source, compression, encoding, number, error)
            found = f"line {line}: byte 0x{error.object[error.start]:02x} ({error.reason})"
        except UnicodeError as earlier:
            # UTF-16 without a mark: Python says so only once the bytes that it read without one are right.
            found = str(earlier)
    return source.refusal(
        "file_is_in_declared_encoding",
        found,
        f"text in {encoding}",
        "correct `encoding` of the institution's file options, or ask the sender for a file in it",
    )


def _line_ends_before(
    source: Source, compression: Compression, encoding: str, number: int, error: UnicodeDecodeError
) -> int:
    """Line ends before the wrong byte, counted by reading again: counting on the way would slow every good file."""
    decoder, lines, last = _decoder(source, encoding), 0, ""
    for chunk in islice(chain(open_chunks(source, compression), (b"",)), number + 1):
        wanted = chunk
        if number == 0:
            pending = len(decoder.getstate()[0])
            decoder.errors, wanted = "ignore", chunk[: max(0, error.start - pending)]
        number -= 1
        text = decoder.decode(wanted)
        lines += count_line_ends(text) - (last == "\r" and text[:1] == "\n")
        last = text[-1:] or last
    return lines
