"""Partitions that wait for a service that is away, and their release.

A partition *waits* while its trouble names a service. It is released when the service answers after it was away, or,
where it was never seen away, when its delay is over: at once after the first failure of a day, then after 30 s, 1 min,
2 min, ..., at most an hour. Failures count only while the service answers; at the limit of a day the partition has
failed. Each function works inside the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import asdict, replace

import sqlalchemy as sa

from etl_platform.delivery import Delivery
from etl_platform.ledger import attempts, leases, reruns
from etl_platform.ledger.attempt_rows import IS_MINE, IS_OF, find, latest, mine
from etl_platform.ledger.bound_rows import given, is_given
from etl_platform.ledger.law import Attempted, Happens, move, move_attempt
from etl_platform.ledger.records import Outcome, Trouble
from etl_platform.ledger.tables import troubles as troubles_table
from etl_platform.ledger.troubles import change, forget, note, select_troubles
from etl_platform.limits import FIRST_DELAY, LONGEST_DELAY

_t = troubles_table.c


def wait(
    connection: sa.Connection,
    run_id: str,
    partition: Delivery,
    service: str,
    error: str,
    *,
    is_first: bool,
    now: dt.datetime,
) -> bool:
    """A service failed the run at the partition: it waits. What is checked stays checked. is_first: the run failed
    before it began, so what waits unclaimed waits for the service. False: nothing of it is open."""
    own, newest = find(connection, run_id, partition), latest(connection, partition)
    why, here = {"reason": error}, [given(partition)]
    if own is not None and own.outcome is Outcome.RUNNING:
        ending = {"ended_at": now, "error": error}
        move_attempt(connection, Attempted.WAITED, IS_MINE, values=ending, rows=[mine(run_id, partition)])
        move(connection, Happens.WAITS, IS_OF, now=now, run_id=run_id, values=why, rows=here)
    elif own is None and is_first:
        move(connection, Happens.WAITS_UNSTARTED, IS_OF, now=now, values=why, rows=here)
    elif newest is None or newest.outcome is not Outcome.CHECKED:
        return False
    # A run that only publishes begins no attempt: nothing else would end its lease before its time.
    leases.give_back(connection, [partition])
    change(connection, partition, error, now, {"service": service, "next_try_at": None})
    return True


def judge(
    connection: sa.Connection,
    service: str,
    found: str | None,
    limit: int,
    now: dt.datetime,
    *,
    at_once: bool = False,
) -> tuple[list[Delivery], list[Delivery]]:
    """The service was asked: it answers (found None), or `found` is what came instead. at_once: no delay holds.

    Returns the partitions that are released, and those that failed too often today although it answers.
    """
    was_away = note(connection, service, found, now)
    if found is not None:
        return [], []
    found_waiting = select_troubles(connection, _t.service == service)
    counted = found_waiting if was_away else [_counted(connection, trouble, now) for trouble in found_waiting]
    is_all = was_away or at_once
    given_up = [] if is_all else [t.partition for t in counted if t.failures > limit]
    released = [t.partition for t in counted if is_all or (t.failures <= limit and _is_due(t, now))]
    for partition in released:
        _release(connection, partition, now)
    for partition in given_up:
        _give_up(connection, partition, service, limit, now)
    return released, given_up


def _counted(connection: sa.Connection, trouble: Trouble, now: dt.datetime) -> Trouble:
    """A failure that nobody has looked at yet counts, since the service answers, and has its delay from now on."""
    if trouble.next_try_at is not None:
        return trouble
    seen = change(connection, trouble.partition, trouble.error, now, {"failures": 1})
    due = now + delay(seen.failures)
    connection.execute(sa.update(troubles_table).where(is_given(_t)).values(next_try_at=due), given(seen.partition))
    return replace(seen, next_try_at=due)


def _is_due(trouble: Trouble, now: dt.datetime) -> bool:
    return trouble.next_try_at is not None and trouble.next_try_at <= now


def delay(failures: int) -> dt.timedelta:
    """How long after its nth failure of a day a partition waits, with jitter: nothing after the first."""
    if failures <= 1:
        return dt.timedelta()
    longest = min(FIRST_DELAY * 2 ** min(failures - 2, 20), LONGEST_DELAY)
    share = random.uniform(0.5, 1)  # noqa: S311 - spreads load, keeps no secret
    return dt.timedelta(seconds=longest.total_seconds() * share)


def _release(connection: sa.Connection, partition: Delivery, now: dt.datetime) -> None:
    values = {"service": None, "next_try_at": None, "number": _t.number + 1}
    connection.execute(sa.update(troubles_table).where(is_given(_t)).values(values), given(partition))
    move(connection, Happens.RELEASED, IS_OF, now=now, rows=[given(partition)])
    attempt = latest(connection, partition)
    is_checked = attempt is not None and attempt.outcome is Outcome.CHECKED
    if not is_checked or reruns.is_open(connection, partition):
        reruns.request(connection, [partition], "the service answers again", now)


def _give_up(connection: sa.Connection, partition: Delivery, service: str, limit: int, now: dt.datetime) -> None:
    row = select_troubles(connection, *(_t[name] == value for name, value in asdict(partition).items()))[0]
    error = f"{row.error}; failed more than {limit} times today although {service} answers"
    move(connection, Happens.EXHAUSTED, IS_OF, now=now, values={"reason": error}, rows=[given(partition)])
    attempts.fail_publication(connection, partition, error, now)
    forget(connection, partition)
