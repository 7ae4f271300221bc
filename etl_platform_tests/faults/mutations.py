"""Good little files of every format, and damaged versions of them: the same bytes for the same seed and number.

Belongs here: bases and damage. Not here: reading them (`fuzz_files.py`).
"""

from __future__ import annotations

import datetime as dt
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import SenderFormat
from etl_platform_tests.support.dialects import COMPRESSIONS

GROUP = 16
"""Files that are read as one partition, and so share one base: a partition costs more than a tiny file."""


@dataclass(frozen=True)
class Base:
    """pack: how the text is compressed; damage may come before or after it."""

    name: str
    content: bytes
    options: FormatOptions
    dataset: str
    pack: Callable[[bytes], bytes] = bytes
    sender: SenderFormat = SenderFormat()


_SYMBOLS = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]
_HEADER = "symbol,timestamp,open,high,low,close,volume\n"
_PRICES = _HEADER + "".join(f"{s},2025-01-15T1{n}:00:00Z,1.5,2,1,1.25,{n}\n" for n, s in enumerate(_SYMBOLS))
_BOOKED = "transaction_id;account_id;timestamp;amount;currency;type;description\n" + "".join(
    f'T{n};ACC-{n};15.01.2025 1{n}:00:00;{n}1,50;EUR;deposit;"né ""{n}""\r\n"\n' for n in range(4)
)
_LINES = "".join(
    f'{{"symbol":"{s}","timestamp":"2025-01-15T1{n}:00:00Z","open":1.5,"high":2e0,"low":1,"close":"1.25",'
    f'"volume":{n},"x":{{"d":[{n},"\\u00e9\\ud83d\\ude00"]}}}}\n'
    for n, s in enumerate(_SYMBOLS)
)
_ARRAY = '{"meta":{"n":6},"data":{"items":[' + ",\n ".join(_LINES.splitlines()) + ']},"t":"]"}'


def _table(kind: str) -> pa.Table:
    count = len(_SYMBOLS)
    price = pa.decimal128(18, 8) if kind == "decimal" else pa.float64() if kind == "float" else pa.string()
    columns: dict[str, Any] = {
        "symbol": pa.array(_SYMBOLS, pa.binary() if kind == "text" else pa.string()),
        "timestamp": pa.array([dt.datetime(2025, 1, 15, 10 + n) for n in range(count)], pa.timestamp("ns", "UTC")),  # noqa: DTZ001
        **{
            name: pa.array([Decimal(value)] * count, pa.decimal128(18, 8)).cast(price)
            for name, value in {"open": "1.5", "high": "2", "low": "1", "close": "1.25"}.items()
        },
        "volume": pa.array([*range(count - 1), None], pa.uint64()),
        "nested": pa.array([["a", "b"], [], None] * (count // 3), pa.list_(pa.string())),
        "by_day": pa.array(
            [[(dt.date(2025, 1, 15), Decimal("1.5"))], [], None] * (count // 3),
            pa.map_(pa.date32(), pa.decimal256(60, 2)),
        ),
    }
    return pa.table(columns)


def _parquet(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(_table(kind), buffer, **options)
    return buffer.getvalue()


@cache
def bases() -> tuple[Base, ...]:
    """Every format, layout and compression."""
    semicolons = CsvOptions(delimiter=";", encoding="latin-1", comment="#", trailer=None)
    german = SenderFormat(Dialect(decimal=",", datetime_formats=("%d.%m.%Y %H:%M:%S",)))
    items = JsonOptions(records="data.items")
    found = [
        Base("csv_options", _BOOKED.encode("latin-1"), semicolons, "transactions", sender=german),
        Base("csv_utf16", _PRICES.encode("utf-16"), CsvOptions(encoding="utf-16"), "prices"),
        Base("csv_cr", _PRICES.replace("\n", "\r").encode(), CsvOptions(), "prices"),
        Base("csv_trailer", f"{_PRICES}T,6\n".encode(), CsvOptions(trailer=r"T,(?P<rows>\d+)"), "prices"),
        Base("parquet_decimal", _parquet("decimal"), ParquetOptions(), "prices"),
        Base("parquet_checked", _parquet("decimal", write_page_checksum=True), ParquetOptions(), "prices"),
        Base("parquet_v2", _parquet("float", data_page_version="2.0", row_group_size=2), ParquetOptions(), "prices"),
        Base(
            "parquet_delta",
            _parquet(
                "text",
                use_dictionary=False,
                compression="none",
                column_encoding={
                    "symbol": "DELTA_BYTE_ARRAY",
                    "open": "DELTA_LENGTH_BYTE_ARRAY",
                    "volume": "DELTA_BINARY_PACKED",
                },
            ),
            ParquetOptions(),
            "prices",
        ),
    ]
    for name, pack in COMPRESSIONS.items():
        found.append(Base(f"csv_{name}", _PRICES.encode(), CsvOptions(), "prices", pack))
        found.append(Base(f"lines_{name}", _LINES.encode(), JsonOptions(), "prices", pack))
        found.append(Base(f"array_{name}", _ARRAY.encode(), items, "prices", pack))
    return tuple(found)


def mutated(seed: int, number: int) -> tuple[Base, bytes]:
    """File `number` of `seed`: its base, shared by its group, and the damaged bytes."""
    base = random.Random(f"{seed}/{number // GROUP}").choice(bases())
    rng = random.Random(f"{seed}:{number}")
    inner, outer = base.content, rng.random() < 0.5
    if base.pack is bytes or not outer:
        inner = _damaged(inner, rng)
    packed = base.pack(inner)
    return base, _damaged(packed, rng) if base.pack is not bytes and outer else packed


_BYTES = [
    b"\0",
    b"\xff",
    b'"',
    b"\n",
    b"\r",
    b",",
    b";",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x80",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"NaN",
    b"-",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"PAR1",
    b"\x1f\x8b",
    b"=1+1",
]


def _damaged(content: bytes, rng: random.Random) -> bytes:
    data = content
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        data = rng.choice(_DAMAGE)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return b"\0"
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _flip_near_end(data: bytes, rng: random.Random) -> bytes:
    """A Parquet or zip file says what it is at its end."""
    keep = rng.randrange(len(data) + 1)
    return data[:keep] + _flip(data[keep:], rng)


def _set(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = rng.choice(_BYTES)
    return data[:at] + new + data[at + rng.choice([0, len(new)]) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return rng.choice([data[:at], data[at:], data[:at] + data[at + rng.randrange(1, 40) :]])


def _double(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data + data if rng.random() < 0.2 else data[:at] + data[at : at + rng.randrange(1, 200)] + data[at:]


def _splice(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice(bases())
    strange = other.pack(other.content)
    return data[: rng.randrange(len(data) + 1)] + strange[rng.randrange(len(strange)) :]


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    line = lines[at]
    if rng.random() < 0.5:
        del lines[at]
    if rng.random() < 0.7:
        lines.insert(to, line)
    return b"".join(lines)


def _header(data: bytes, rng: random.Random) -> bytes:
    """A column renamed, doubled, dropped or moved, wherever its name stands."""
    head, end, rest = data.partition(b"\n")
    mark = b";" if b";" in head else b","
    names = head.split(mark)
    at = rng.randrange(len(names))
    name = names.pop(at)
    new = rng.choice([[], [name, name], [name.upper()], [b"renamed"], [b""], [b" " + name, b"extra"], [name]])
    to = rng.choice([at, rng.randrange(len(names) + 1)])
    return mark.join([*names[:to], *new, *names[to:]]) + end + rest


_DAMAGE = (_flip, _flip, _flip, _flip_near_end, _set, _set, _cut, _double, _splice, _lines, _header)
