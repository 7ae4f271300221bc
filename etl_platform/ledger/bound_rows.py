"""What a statement is given: rows to join with, or the partition that it is about.

A join looks every given row up in an index; for `(a, b) IN (...)` SQLite reads the whole index instead. All rows go
as one bound JSON text: composing and parsing thousands of single parameters costs more than the look-ups.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.tables import storable
from etl_platform.limits import BOUND_ROWS

_T = TypeVar("_T")


_Columns = sa.ColumnCollection[str, sa.Column[Any]]


def is_given(columns: _Columns) -> sa.ColumnElement[bool]:
    """Whether a row belongs to the partition that the parameters `given` name.

    For statements that are composed once: composing one costs more than a small partition's rows do.
    """
    return sa.and_(is_given_dataset(columns), columns["business_date"] == GIVEN_DATE)


def is_given_dataset(columns: _Columns) -> sa.ColumnElement[bool]:
    """Whether a row belongs to the institution and dataset that the parameters name, on whatever date."""
    names = ("institution", "dataset")
    return sa.and_(*(columns[name] == sa.bindparam(f"given_{name}") for name in names))


GIVEN_DATE: sa.BindParameter[dt.date] = sa.bindparam("given_business_date", type_=sa.Date())


def given(partition: Delivery) -> dict[str, Any]:
    """The parameters of a statement about `partition`."""
    return {
        "given_dataset": partition.dataset,
        "given_business_date": partition.business_date,
        "given_institution": partition.institution,
    }


def in_chunks(items: Sequence[_T], size: int = BOUND_ROWS) -> Iterator[Sequence[_T]]:
    """`items` in slices of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def given_rows(
    dialect: sa.Dialect, columns: Sequence[sa.Column[Any]], rows: Sequence[tuple[str | dt.date, ...]]
) -> sa.FromClause:
    """`rows` as a table with the names of `columns`, which are text or dates."""
    if dialect.name == "postgresql":
        records = [dict(zip((c.name for c in columns), map(_plain, row), strict=True)) for row in rows]
        named = [sa.column(c.name, sa.Date() if isinstance(c.type, sa.Date) else sa.Text()) for c in columns]
        recordset = sa.func.json_to_recordset(sa.cast(_bound(records), sa.JSON))
        return recordset.table_valued(*named).render_derived(name="given", with_types=True)
    element = sa.func.json_each(_bound([[_plain(value) for value in row] for row in rows])).table_valued("value")
    parts = [sa.func.json_extract(element.c.value, f"$[{i}]").label(c.name) for i, c in enumerate(columns)]
    return sa.select(*parts).subquery("given")


def _plain(value: str | dt.date) -> str:
    return storable(value) if isinstance(value, str) else value.isoformat()


def _bound(value: object) -> sa.BindParameter[str]:
    return sa.bindparam("given", json.dumps(value, ensure_ascii=False), type_=sa.Text(), unique=True)
