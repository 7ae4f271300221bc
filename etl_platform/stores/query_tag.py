"""The query tag: which run wrote or read what, visible in the account's query history.

Whoever starts work (the IO manager) opens `query_run`; the store adds institution, table and partitions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from etl_platform.contracts.table import PartitionKey, Table

_RUN: ContextVar[str] = ContextVar("query_tag_run", default="")


@contextmanager
def query_run(run: str) -> Iterator[None]:
    """Statements sent inside carry `run` (a Dagster run id) in their query tag."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


def query_tag(table: Table, institution: str | None, partitions: Sequence[PartitionKey]) -> str:
    """One JSON object. Many partitions are named by the first, the last and their number: a tag holds 2000 bytes."""
    dates = sorted(str(key.business_date) for key in partitions)
    shown = dates[0] if len(dates) == 1 else f"{dates[0]}..{dates[-1]} ({len(dates)})" if dates else ""
    tag = {
        "app": "etl_platform",
        "institution": institution or "",
        "table": f"{table.layer}.{table.name}",
        "partition": shown,
        "run": _RUN.get(),
    }
    return json.dumps({name: value for name, value in tag.items() if value})
