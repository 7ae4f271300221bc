"""Whatever text stands in a file: every row is accounted for, and what silver holds is exactly what the text says."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.contracts import BUILT_IN
from etl_platform.readers import CsvOptions, FormatOptions, JsonOptions, ParquetOptions
from etl_platform.transforms.dialect import Dialect
from etl_platform.transforms.normalise import SenderFormat
from etl_platform_tests.support.delivered import deliver, require_conservation, require_valid
from etl_platform_tests.support.dialects import as_text
from etl_platform_tests.support.valid_rows import ANY_TEXT, DATASETS, tables

NEARLY = st.text(st.sampled_from("0123456789.,-+eE '_:TZ\u0661\u00a0"), max_size=14)
SHAPED = st.from_regex(r"[+-]?[0-9]{1,12}([.,][0-9]{0,12})?([eE][+-]?[0-9]{1,2})?", fullmatch=True) | st.from_regex(
    r"2025-0?1-15[T ][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?", fullmatch=True
)
DIALECTS = [Dialect(), Dialect(",", "."), Dialect(".", ","), Dialect(".", "'")]
MOMENT = re.compile(
    r"(\d+)-(\d+)-(\d+)(?:[T ](\d+):(\d+)(?::(\d+)(?:[.,](\d+))?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII | re.IGNORECASE
)


def exact(text: str, dtype: pl.DataType, dialect: Dialect) -> Any:
    """What a text says, by Python's own arithmetic."""
    bare = text.strip()
    if isinstance(dtype, pl.String):
        return text
    if dtype.is_numeric():
        plain = bare.replace(dialect.thousands, "") if dialect.thousands else bare
        number = Decimal(plain.replace(dialect.decimal, "."))
        return float(number) if dtype.is_float() else number
    match = MOMENT.fullmatch(bare)
    assert match, f"{text!r} was read as {dtype}"
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    if isinstance(dtype, pl.Date):
        return dt.date(year, month, day)
    fraction = (match[7] or "").ljust(6, "0")
    assert not fraction[6:].strip("0"), f"{text!r} lost digits"
    zone = match[8] or "Z"
    sign = -1 if zone[0] == "-" else 1
    shift = dt.timedelta() if zone in "zZ" else sign * dt.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return dt.datetime(year, month, day, hour, minute, second, int(fraction[:6]), tzinfo=dt.UTC) - shift


@st.composite
def cells(draw: st.DrawFn, dataset: str, dialect: Dialect) -> list[list[str | None]]:
    """Valid rows as text, some of whose cells are anything."""
    table = draw(tables(dataset, ANY_TEXT, most=4))
    rows = [[as_text(value, dialect) for value in row] for row in table.rows()]
    anything = st.none() | NEARLY | SHAPED | ANY_TEXT
    for row in rows:
        for _ in range(draw(st.integers(0, 2))):
            row[draw(st.integers(0, len(row) - 1))] = draw(anything)
    return rows + draw(st.lists(st.sampled_from(rows), max_size=2))


def as_csv(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> tuple[bytes, FormatOptions]:
    lines = [
        ";".join("" if cell is None else '"' + cell.replace('"', '""') + '"' for cell in row) for row in (names, *rows)
    ]
    # Trusted: a text over two lines may by chance be one whose lines are records (see `test_stray_quotes.py`).
    return "\n".join(lines).encode(), CsvOptions(delimiter=";", multiline="trusted")


def as_json(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> tuple[bytes, FormatOptions]:
    return "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows).encode(), JsonOptions()


def as_parquet(names: Sequence[str], rows: Sequence[Sequence[str | None]]) -> tuple[bytes, FormatOptions]:
    buffer = io.BytesIO()
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), buffer, row_group_size=3)
    return buffer.getvalue(), ParquetOptions()


@pytest.mark.parametrize("dataset", DATASETS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_row_is_accounted_for_and_every_value_is_what_its_text_says(dataset: str, data: st.DataObject) -> None:
    columns = BUILT_IN[dataset].columns
    dialect = data.draw(st.sampled_from(DIALECTS))
    rows = data.draw(cells(dataset, dialect))
    write, first = data.draw(st.sampled_from([(as_csv, None), (as_json, 1), (as_parquet, 1)]))
    content, options = write([column.name for column in columns], rows)
    with tempfile.TemporaryDirectory() as folder:
        sender = SenderFormat(dialect)
        out = deliver([content], Path(folder), options, dataset=dataset, sender=sender, batch_rows=3)
    require_conservation(out)
    require_valid(out, dataset)
    assert out.result.rows_read == len(rows)
    line = first or 2
    starts = {}
    for row in rows:
        starts[line] = row
        # A record of CSV is as many lines as its cells have line ends; a row of JSON and Parquet is one.
        line += 1 if first else 1 + sum(len(re.findall(r"\r\n|\r|\n", cell or "")) for cell in row)
    assert {row for row, _ in out.broken} | set(out.silver["_source_row"]) <= set(starts)
    for held in out.silver.iter_rows(named=True):
        for column, text in zip(columns, starts[held["_source_row"]], strict=True):
            expected = None if text is None else exact(text, column.dtype, dialect)
            assert held[column.name] == expected, (column.name, text)
