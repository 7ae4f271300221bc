"""Memory and time stay bounded: bombs are refused at once, and a large file needs no more than a small one.

Each measurement runs in its own interpreter, because peak memory of a process never goes down.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

MEASURE = """
import json, resource, sys, time
from pathlib import Path
from etl_platform.errors import FileRefusedError
from etl_platform.readers import CsvOptions, JsonOptions, ParquetOptions, read_file

options = {"csv": CsvOptions(), "json": JsonOptions(), "parquet": ParquetOptions()}[sys.argv[2]]

def peak_kb():
    # ru_maxrss survives exec: it would begin with the peak of the test process.
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))

before = peak_kb()
started, rows, rule = time.process_time(), 0, None
try:
    for batch in read_file(Path(sys.argv[1]), subject="s", options=options):
        rows += batch.columns.height
except FileRefusedError as error:
    rule = error.rule
seconds = time.process_time() - started
print(json.dumps({"rows": rows, "rule": rule, "seconds": seconds, "mb": (peak_kb() - before) / 1024}))
"""


def measure(path: Path, kind: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), kind], capture_output=True, text=True, timeout=120, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", b"a,b\n" + b"1,2\n" * 15_000_000)
    return buffer.getvalue()


def parquet_bomb() -> bytes:
    buffer = io.BytesIO()
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"a": repeated}), buffer)
    return buffer.getvalue()


def wide_parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({f"c{number}": pa.array([1]) for number in range(12_000)}), buffer)
    return buffer.getvalue()


def wide_json() -> bytes:
    return b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}\n"


def sparse_json() -> bytes:
    """240 KB whose table of 20,000 rows and 9,990 columns would take gigabytes."""
    return b"".join(b'{"k%d":1}\n' % (number % 9_990) for number in range(20_000))


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip": ("csv", lambda: gzip.compress(b"a,b\n" + b"1,2\n" * 15_000_000, 1)),
    "gzip_of_zeros": ("csv", lambda: gzip.compress(bytes(60_000_000), 1)),
    "zstd": ("json", lambda: zstandard.compress(b'{"a":1}\n' * 15_000_000)),
    "zip": ("csv", zip_bomb),
    "parquet": ("parquet", parquet_bomb),
    "wide_parquet": ("parquet", wide_parquet),
    "wide_csv": ("csv", lambda: b",".join(b"c%d" % number for number in range(1_000_000)) + b"\n"),
    "wide_json": ("json", wide_json),
    "sparse_json": ("json", sparse_json),
    "sparse_json_array": ("json", lambda: b"[" + sparse_json().strip().replace(b"\n", b",") + b"]"),
    "deep_json": ("json", lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_at_once(name: str, tmp_path: Path) -> None:
    kind, make = BOMBS[name]
    path = tmp_path / "object"
    path.write_bytes(make())
    result = measure(path, kind)
    assert result["rule"] == "file_is_within_limits"
    assert result["seconds"] < 2
    assert result["mb"] < 200


LINE = {
    "csv": b'AAPL,2025-01-15T10:00:00Z,123.45,124.5,122.0,"123,0",1200\n',
    "json": b'{"symbol":"AAPL","at":"2025-01-15T10:00:00Z","open":123.45,"high":124.5,"volume":1200}\n',
}


@pytest.mark.parametrize("kind", LINE)
def test_memory_is_flat_in_the_size_of_the_file(kind: str, tmp_path: Path) -> None:
    peaks = []
    for thousands in (100, 500):
        path = tmp_path / f"object{thousands}"
        header = b"symbol,at,open,high,low,close,volume\n" if kind == "csv" else b""
        path.write_bytes(header + LINE[kind] * thousands * 1000)
        result = measure(path, kind)
        assert result["rows"] == thousands * 1000
        peaks.append(result["mb"])
    assert peaks[1] < peaks[0] + 40
