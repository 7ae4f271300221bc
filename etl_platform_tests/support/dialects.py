"""Typed rows as the bytes of a file in any format and dialect, written in plain Python (Hypothesis strategies).

Belongs here: the opposite of readers and casts, made without them. Not here: the rows (`valid_rows.py`).
"""

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hypothesis import strategies as st

from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import SenderFormat


@dataclass(frozen=True)
class File:
    """The bytes, and what an institution file says about them."""

    content: bytes
    options: FormatOptions
    sender: SenderFormat


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "zstd": zstandard.compress,
    "zip": lambda data: zipped(("prices.txt", data)),
}
_MARKS = [(".", ""), (".", ","), (".", "'"), (",", ""), (",", "."), (",", " "), (",", "\u00a0"), (".", "_")]
_DATES = [(), ("%Y%m%d",), ("%d.%m.%Y",), ("%m/%d/%Y",)]
_TIMES = [(), ("%d.%m.%Y %H:%M:%S%.f",), ("%Y%m%dT%H%M%S%.f%z",), ("%m/%d/%Y %I:%M:%S%.f %p",)]
_ZONES = ["UTC", "Asia/Tokyo", "America/New_York"]


@st.composite
def dialects(draw: st.DrawFn) -> Dialect:
    """How values may be written as text."""
    decimal, thousands = draw(st.sampled_from(_MARKS))
    return Dialect(
        decimal, thousands, draw(st.sampled_from(_TIMES)), draw(st.sampled_from(_DATES)), draw(st.sampled_from(_ZONES))
    )


def as_text(value: Any, dialect: Dialect) -> str | None:
    """A typed value as this sender writes it."""
    match value:
        case None | str():
            return value
        case dt.datetime():
            return _moment(value, dialect)
        case dt.date():
            return value.strftime((dialect.date_formats or ("%Y-%m-%d",))[0])
        case _:
            return _number(format(value, "f") if isinstance(value, Decimal) else repr(value), dialect)


def _moment(value: dt.datetime, dialect: Dialect) -> str:
    local = value.astimezone(ZoneInfo(dialect.time_zone))
    if not dialect.datetime_formats:
        return local.isoformat()
    # Python's `%f` is six digits; the configured `%.f` is the mark and the digits.
    return local.strftime(dialect.datetime_formats[0].replace("%.f", ".%f"))


def _number(plain: str, dialect: Dialect) -> str:
    mantissa, exponent, power = plain.partition("e")
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, point, fraction = digits.partition(".")
    if dialect.thousands:
        whole = f"{int(whole):,}".replace(",", dialect.thousands)
    return f"{sign}{whole}{point and dialect.decimal}{fraction}{exponent}{power}"


@st.composite
def csv_files(draw: st.DrawFn, table: pl.DataFrame, encoding: str) -> File:
    """Delimiter, quote, line end, quoting, header, order of columns, marks and formats, compression."""
    dialect = draw(dialects())
    delimiter, quote = draw(st.sampled_from(",;|\t")), draw(st.sampled_from("\"'"))
    end, header = draw(st.sampled_from(["\n", "\r\n", "\r"])), draw(st.booleans())
    quotes_all = draw(st.booleans())
    names = list(draw(st.permutations(table.columns)))
    special = (delimiter, quote, "\r", "\n")

    def field(text: str | None) -> str:
        if text is None:
            return ""
        if quotes_all or text == "" or any(mark in text for mark in special):
            return quote + text.replace(quote, quote * 2) + quote
        return text

    shown, mapping = draw(_headings(names))
    lines: list[list[str | None]] = [[*shown]] if header else []
    lines += [[as_text(value, dialect) for value in row] for row in table.select(names).rows()]
    text = end.join(delimiter.join(map(field, line)) for line in lines) + draw(st.sampled_from(["", end]))
    options = CsvOptions(
        delimiter=delimiter, quote=quote, encoding=encoding, header=header, columns=() if header else tuple(shown),
        multiline="trusted",  # any text: its lines may look like records
    )  # fmt: skip
    pack = COMPRESSIONS[draw(st.sampled_from(sorted(COMPRESSIONS)))]
    return File(pack(text.encode(encoding)), options, SenderFormat(dialect, mapping))


@st.composite
def _headings(draw: st.DrawFn, names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The sender's names, and which of them the institution file maps."""
    style = draw(st.sampled_from(["own", "shouted", "mapped"]))
    if style == "mapped":
        shown = [f"Spalte {number};" for number in range(len(names))]
        return shown, dict(zip(shown, names, strict=True))
    return ([f" {name.upper()} " for name in names] if style == "shouted" else list(names)), {}


@st.composite
def json_files(draw: st.DrawFn, table: pl.DataFrame, encoding: str) -> File:
    """Layout, spacing, escapes, numbers as numbers or text, null or no key, compression."""
    dialect = draw(dialects())
    numbers_are_text = (dialect.decimal, dialect.thousands) != (".", "") or draw(st.booleans())
    is_ascii, spaced, says_null = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    shown, mapping = draw(_headings(table.columns))
    layout, path = draw(st.sampled_from([("lines", ""), ("auto", ""), ("array", ""), ("array", "data.items")]))

    def value(held: Any) -> str:
        text = as_text(held, dialect)
        is_number = isinstance(held, int | float | Decimal)
        return text or "" if is_number and not numbers_are_text else json.dumps(text, ensure_ascii=is_ascii)

    def record(row: Sequence[Any]) -> str:
        pairs = [(name, held) for name, held in zip(shown, row, strict=True) if says_null or held is not None]
        members = (", " if spaced else ",").join(
            f"{json.dumps(name, ensure_ascii=is_ascii)}:{' ' * spaced}{value(held)}" for name, held in pairs
        )
        return "{" + members + "}"

    records = [record(row) for row in table.rows()]
    text = "\n".join(records)
    if layout == "array" or (layout == "auto" and draw(st.booleans())):
        text = "[" + (",\n" if spaced else ",").join(records) + "]"
    for part in reversed(path.split(".") if path else []):
        text = f'{{"meta":{{"n":[1]}},{json.dumps(part)}: {text} }}'
    options = JsonOptions(layout=layout, records=path, encoding=encoding)
    pack = COMPRESSIONS[draw(st.sampled_from(sorted(COMPRESSIONS)))]
    return File(pack(text.encode(encoding)), options, SenderFormat(dialect, mapping))


@st.composite
def parquet_files(draw: st.DrawFn, table: pl.DataFrame) -> File:
    """Typed or text columns, codec, pages, row groups, encodings."""
    dialect, as_texts = Dialect(), draw(st.booleans())
    shown, mapping = draw(_headings(table.columns))
    if as_texts:
        dialect = draw(dialects())
        rows = [[as_text(value, dialect) for value in row] for row in table.rows()]
        kind = draw(st.sampled_from([pa.string(), pa.large_string(), pa.binary()]))
        columns = [
            pa.array([None if v is None else v.encode() for v in c], pa.binary()).cast(kind)
            for c in zip(*rows, strict=True)
        ]
    else:
        columns = [column.combine_chunks() for column in table.to_arrow().columns]
    has_dictionary = draw(st.booleans())
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(dict(zip(shown, columns, strict=True))),
        buffer,
        compression=draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])),
        use_dictionary=has_dictionary,
        data_page_version=draw(st.sampled_from(["1.0", "2.0"])),
        row_group_size=draw(st.integers(1, 10)),
        write_page_checksum=draw(st.booleans()),
        column_encoding=dict.fromkeys(shown, "DELTA_BYTE_ARRAY") if as_texts and not has_dictionary else None,
    )
    return File(buffer.getvalue(), ParquetOptions(), SenderFormat(dialect, mapping))
