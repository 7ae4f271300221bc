"""Which rules judged which attempt, and what was replayed out of quarantine: by whom, when, why, with what effect.

Not here: what makes a version (`institutions/rule_version.py`), running a replay (`cli/quarantine.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.records import CURRENT, Outcome, Replay, State
from etl_platform.ledger.tables import attempts, judgements, landing_objects, replays, rule_versions

_t = landing_objects.c
_j = judgements.c
_a = attempts.c
_IS_KNOWN = sa.select(rule_versions.c.version).where(rule_versions.c.version == sa.bindparam("given_version"))
_EARLIER = sa.delete(judgements).where(_j.run_id == sa.bindparam("given_run_id"), is_given(_j))
_JUDGED = sa.insert(judgements)


def record(
    connection: sa.Connection,
    run_id: str,
    partitions: Sequence[Delivery],
    version: str,
    document: str,
    now: dt.datetime,
) -> None:
    """The run's attempts at these partitions of one dataset were judged under `version`. Safe to repeat."""
    if not partitions:
        return
    if connection.execute(_IS_KNOWN, {"given_version": version}).first() is None:
        row = {"version": version, "dataset": partitions[0].dataset, "document": document, "first_used_at": now}
        connection.execute(sa.insert(rule_versions), row)
    connection.execute(_EARLIER, [{"given_run_id": run_id, **given(partition)} for partition in partitions])
    rows = [{"run_id": run_id, "version": version, "judged_at": now, **asdict(partition)} for partition in partitions]
    connection.execute(_JUDGED, rows)


def select_version(connection: sa.Connection, partition: Delivery, run_id: str | None) -> str | None:
    """The version under which the partition's stored rows were judged, or that of the run's judgement.

    An attempt that stopped before it stored anything (too many bad rows, drift) has counted nothing.
    """
    query = sa.select(_j.version).where(is_given(_j)).order_by(_j.judged_at.desc()).limit(1)
    if run_id is not None:
        return connection.execute(query.where(_j.run_id == run_id), given(partition)).scalar()
    same = (_j.run_id == _a.run_id, *(_j[name] == _a[name] for name in ("institution", "dataset", "business_date")))
    has_stored = sa.or_(_a.outcome == Outcome.SUCCEEDED, _a.rows_read > 0)
    return connection.execute(query.join(attempts, sa.and_(*same)).where(has_stored), given(partition)).scalar()


def select_document(connection: sa.Connection, version: str) -> str | None:
    """What a version says."""
    return connection.execute(sa.select(rule_versions.c.document).where(rule_versions.c.version == version)).scalar()


def select_quarantined(
    connection: sa.Connection, institutions: Sequence[str], datasets: Sequence[str], dates: Sequence[dt.date] | None
) -> list[Delivery]:
    """The partitions of which something is in quarantine, oldest first."""
    conditions: list[sa.ColumnElement[bool]] = [
        _t.institution.in_(institutions),
        _t.dataset.in_(datasets),
        _t.state.in_(CURRENT),
    ]
    conditions.append(sa.or_(_t.rows_quarantined > 0, _t.state == State.REFUSED))
    if dates is not None:
        conditions.append(_t.business_date.between(min(dates), max(dates)))
    query = sa.select(_t.dataset, _t.business_date, _t.institution).distinct().where(*conditions)
    found = (Delivery(*row) for row in connection.execute(query.order_by(_t.business_date)))
    return [partition for partition in found if dates is None or partition.business_date in set(dates)]


def insert_replays(connection: sa.Connection, found: Sequence[Replay]) -> None:
    """Put replays on record as they are asked for."""
    connection.execute(sa.insert(replays), [_row(replay) for replay in found])


def update_replay(connection: sa.Connection, replay: Replay) -> None:
    """Its result."""
    mine = (
        replays.c.replay_id == replay.replay_id,
        *(replays.c[name] == value for name, value in asdict(replay.partition).items()),
    )
    connection.execute(sa.update(replays).where(*mine).values(_row(replay)))


def select_replays(connection: sa.Connection, limit: int) -> list[Replay]:
    """The latest first."""
    query = sa.select(replays).order_by(replays.c.requested_at.desc(), replays.c.business_date).limit(limit)
    return [_read(row) for row in connection.execute(query).mappings()]


def _row(replay: Replay) -> dict[str, object]:
    values = asdict(replay)
    return {**values.pop("partition"), **values}


def _read(row: sa.RowMapping) -> Replay:
    values = dict(row)
    partition = Delivery(values.pop("dataset"), values.pop("business_date"), values.pop("institution"))
    return Replay(partition=partition, **values)
