"""The bytes of a file without its compression (plain, gzip, zstd, zip), in chunks and within limits.

Belongs here: containers and decompression bombs. Not here: what the bytes mean.
Memory is one chunk, whatever the ratio: the decompressors are asked for at most `UNPACKED_CHUNK_BYTES` at a time.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Literal

import pyarrow as pa

from etl_platform.limits import PROBED_BYTES, RATIO_FLOOR_BYTES, UNPACKED_CHUNK_BYTES, ZIP_DIRECTORY_BYTES
from etl_platform.readers.source import Source

Compression = Literal["none", "gzip", "zstd", "zip"]

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    # Frames to be skipped: parallel compressors begin with one, that tells sizes.
    *((bytes([low]) + b"\x2a\x4d\x18", "zstd") for low in range(0x50, 0x60)),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)


# What file managers put into every archive that they make.
_SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}


def compression_of(head: bytes) -> Compression:
    """The compression that the first bytes of a file announce."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "none")


def open_chunks(source: Source, compression: Compression) -> Iterator[bytes]:
    """Yield the decompressed bytes. Raises FileRefusedError for damage, bombs, and archives of several files."""
    with source.open() as handle:
        if compression == "none":
            chunks = iter(lambda: handle.read(UNPACKED_CHUNK_BYTES), b"")
        elif compression == "zip":
            chunks = _unzip(source, handle)
        else:
            chunks = _decompress(source, handle, compression)
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > source.limits.decompressed_bytes:
                raise source.beyond(
                    f"more than {total} bytes of content", f"{source.limits.decompressed_bytes} at most"
                )
            yield chunk


def _decompress(source: Source, handle: IO[bytes], compression: Compression) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.PythonFile(handle, mode="r"), compression)
    total = 0
    while True:
        try:
            chunk: bytes = stream.read(UNPACKED_CHUNK_BYTES)
        except OSError as error:
            if error.errno is not None:
                raise
            if "Truncated" in str(error):
                raise source.refusal("file_is_complete", f"{compression} data cut off", "its end marker") from error
            raise source.refusal("file_is_readable", f"damaged {compression}: {error}", "intact data") from error
        if not chunk:
            return
        if not total and compression_of(chunk) != "none":
            raise _nested(source)
        total += len(chunk)
        _require_ratio(source, total, handle.tell())
        yield chunk


def require_beginning(source: Source, compression: Compression) -> None:
    """Refuse a bomb before the first of its records is read: the ratio held while reading costs the work of 32 MiB of
    records, which a bomb makes as dear as it can."""
    if compression not in ("gzip", "zstd"):
        return  # a zip says in its directory what it expands to
    with source.open() as handle:
        for _ in _decompress(source, handle, compression):
            if handle.tell() > PROBED_BYTES:
                return


def _require_ratio(source: Source, unpacked: int, packed: int) -> None:
    limit = source.limits.decompressed_ratio
    if unpacked > RATIO_FLOOR_BYTES and unpacked > limit * max(packed, 1):
        raise source.beyond(f"{packed} bytes expand to {unpacked} or more", f"a ratio of {limit} at most")


def _unzip(source: Source, handle: IO[bytes]) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(handle) as archive:
            member = _only_member(source, archive.infolist())
            _require_ratio(source, member.file_size, member.compress_size)
            with archive.open(member) as content:
                first = content.read(UNPACKED_CHUNK_BYTES)
                if compression_of(first) != "none":
                    raise _nested(source)
                while first:
                    yield first
                    first = content.read(UNPACKED_CHUNK_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _bad_zip(source, error) from error
    except OSError as error:
        # A damaged directory makes zipfile seek to impossible places.
        if error.errno != errno.EINVAL:
            raise
        raise _bad_zip(source, error) from error


def _nested(source: Source) -> Exception:
    return source.refusal("archive_holds_one_file", "an archive inside the archive", "one plain file")


def _bad_zip(source: Source, error: Exception) -> Exception:
    return source.refusal("file_is_readable", f"damaged zip: {error}", "an intact zip")


def _only_member(source: Source, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    files = [member for member in members if not member.is_dir() and not _is_of_system(member.filename)]
    if len(files) != 1:
        names = ", ".join(member.filename for member in files[:5])
        raise source.refusal("archive_holds_one_file", f"{len(files)} files in the zip ({names})", "one file")
    member = files[0]
    if member.flag_bits & 1:
        raise source.refusal("file_is_readable", "an encrypted zip", "a zip without a password")
    name = member.filename.replace("\\", "/")
    if name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:2] == ":":
        raise source.refusal("archive_holds_one_file", f"a path that leaves the zip: {name[:200]}", "a plain name")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise source.refusal("file_is_readable", f"zip compression method {member.compress_type}", "deflate or stored")
    return member


def _is_of_system(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.name in _SYSTEM_FILES or path.name.startswith("._") or path.parts[:1] == ("__MACOSX",)


def require_directory_size(source: Source) -> None:
    """Refuse a zip whose directory is absurd, before zipfile reads all of it into memory."""
    with source.open() as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - 65_557))
        tail = handle.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return
    _, _, _, entries, directory = struct.unpack_from("<HHHHI", tail, at + 4)
    if directory > ZIP_DIRECTORY_BYTES:
        raise source.refusal("archive_holds_one_file", f"{entries} or more files in the zip", "one file")
