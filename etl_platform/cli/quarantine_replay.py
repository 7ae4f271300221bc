"""A replay out of quarantine: on record, run in the ordinary way, and its effect measured on what is stored."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import polars as pl
from rich.console import Console

from etl_platform.cli.execute import Result, Task
from etl_platform.cli.run import run_tasks
from etl_platform.cli.session import Session
from etl_platform.contracts.quarantine import FILE, quarantine_table
from etl_platform.contracts.table import PartitionKey
from etl_platform.defs.pick_up import process
from etl_platform.delivery import Delivery
from etl_platform.ledger.records import Replay
from etl_platform.resources.processes import Processes
from etl_platform.stores.reading import read_frame
from etl_platform.transforms.quarantine_view import LINE, count_moved


def replay_partitions(
    session: Session,
    before: Mapping[Delivery, pl.DataFrame],
    by: str,
    reason: str,
    workers: int,
    console: Console,
) -> tuple[list[Result], list[Replay]]:
    """Run every partition of `before` (its quarantined rows) again; what became of each."""
    now = dt.datetime.now(dt.UTC)
    asked = [_asked(session, partition, rows, by, reason, now) for partition, rows in before.items()]
    asked = [replace(found, replay_id=asked[0].replay_id) for found in asked]
    # On record before anything is touched: a replay that is cut off shows as one without an end.
    session.ledger.record_replays(asked)
    # Before they wait: a sensor's tick in between would start a run of its own.
    mine = process(Processes(session.settings.processes).mine())
    session.ledger.take_leases(dict.fromkeys(before, mine), now=now)
    tasks: dict[PartitionKey, list[str]] = defaultdict(list)
    for partition in before:
        session.ledger.request_replay(
            institution=partition.institution, dataset=partition.dataset, business_date=partition.business_date, now=now
        )
        tasks[PartitionKey(partition.business_date, partition.institution)].append(partition.dataset)
    results = run_tasks(session, [Task(key, tuple(names)) for key, names in sorted(tasks.items())], workers, console)
    ended = [_ended(session, found, before[found.partition]) for found in asked]
    for found in ended:
        session.ledger.end_replay(found)
    return results, ended


def _asked(session: Session, partition: Delivery, rows: pl.DataFrame, by: str, reason: str, now: dt.datetime) -> Replay:
    return Replay(
        replay_id=uuid.uuid4().hex,
        partition=partition,
        requested_at=now,
        requested_by=by,
        reason=reason,
        version_before=session.ledger.rule_version(partition),
        rows_quarantined_before=_rows(rows),
    )


def _ended(session: Session, asked: Replay, before: pl.DataFrame) -> Replay:
    partition = asked.partition
    key = PartitionKey(partition.business_date, partition.institution)
    store = session.resources["lake"].store
    attempt = session.ledger.latest_attempt(partition)
    after = read_frame(store, quarantine_table(partition.dataset), [key], ["kind"])
    silver = read_frame(store, session.graph.contracts[partition.dataset].silver, [key], list(LINE))
    return replace(
        asked,
        run_id=attempt.run_id if attempt else None,
        version_after=session.ledger.rule_version(partition, attempt.run_id if attempt else None),
        rows_quarantined_after=_rows(after),
        rows_moved=count_moved(before, silver),
        outcome=str(attempt.outcome) if attempt else "no attempt",
    )


def _rows(quarantined: pl.DataFrame) -> int:
    return quarantined.filter(pl.col("kind") != FILE).height
