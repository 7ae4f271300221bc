"""Damaged files of every format: a verdict each time, never a crash, a hang or a foreign exception."""

from __future__ import annotations

import gzip
import random
import time
from decimal import Decimal

import pyarrow as pa
import pytest
import zstandard

from etl_platform.errors import FileRefusedError
from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform_tests.unit.readers.parquet.test_records import written
from etl_platform_tests.unit.readers.reading import read, small_blocks
from etl_platform_tests.unit.readers.test_formats import zipped

CSV = 'id,näme,amount\n1,"a ""x""\nb",1.5\n# c\n2,,\n\n3,"",7\nT,4\n'.encode() * 3
CONTROLLED = 'id,näme,amount\n1,"a ""x""\nb",1.5\n# c\n2,,\n\n3,"",7\nT,3\n'.encode("cp1252")
JSON = '{"a":1.50,"b":"é\\n\\ud83d\\ude00","c":[1,{"d":null}]}\n\n{"a":true , "b":"}"}\n'.encode() * 3
ARRAY = b'{"m":{"n":1},"data":{"items":[{"a":1.50,"b":"x"},\n {"a":[1,{"b":"]"}]}],"t":2}}'
TABLE = pa.table(
    {
        "a": pa.array(range(300)),
        "b": pa.array([f"text {n % 7}" for n in range(300)]),
        "c": pa.array([Decimal("1.50"), None, Decimal("2.25")] * 100, pa.decimal128(20, 2)),
        "d": pa.array([[1], [], None] * 100),
    }
)
KINDS: dict[str, tuple[bytes, FormatOptions]] = {
    "csv": (CSV, CsvOptions()),
    "csv_options": (CONTROLLED, CsvOptions(comment="#", encoding="cp1252", trailer=r"T,(?P<rows>\d+)")),
    "csv_gzip": (gzip.compress(CSV), CsvOptions()),
    "csv_zip": (zipped(("x", CSV)), CsvOptions()),
    "json_lines": (JSON, JsonOptions()),
    "json_array": (ARRAY, JsonOptions(records="data.items")),
    "json_zstd": (zstandard.compress(JSON), JsonOptions()),
    "parquet": (written(TABLE), ParquetOptions()),
    "parquet_plain": (
        written(TABLE, use_dictionary=False, compression="zstd", data_page_version="2.0"),
        ParquetOptions(),
    ),
}
INTERESTING = [
    b"\0",
    b"\xff",
    b'"',
    b"\n",
    b"\r",
    b",",
    b"{",
    b"[",
    b"]",
    b"\\",
    b"\xef\xbb\xbf",
    b"\x7f\xff\xff\xff",
    b"\x80",
]


def mutate(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.choice(INTERESTING)
            case 2:
                del data[at : at + rng.randrange(1, 9)]
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 60)]
            case _:
                data[at : at + 4] = rng.choice(INTERESTING)
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_always_ends_in_a_verdict(kind: str) -> None:
    content, options = KINDS[kind]
    rng = random.Random(kind)
    refused = 0
    for number in range(150):
        damaged = mutate(content, rng)
        started = time.monotonic()
        try:
            with small_blocks(rng.choice([16, 1_000_000])):
                out = read(damaged, options)
        except FileRefusedError as error:
            refused += 1
            gave_up = "a parser gave up" in error.found
        else:
            gave_up = False
            assert len(out.raw) == len(out.rows)
        assert not gave_up, (kind, number, damaged)
        assert time.monotonic() - started < 5, (kind, number)
    assert 0 < refused < 150
