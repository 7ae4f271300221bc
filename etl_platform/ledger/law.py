"""What may happen to a landing object and to an attempt: one table of moves, from which everything else follows.

The statement that moves a row (`move`), the names of events that the ledger's functions use, and the diagram of
`docs/ledger.md` come from `OBJECTS` and `ATTEMPTS`. Nobody else writes a state or an outcome.

Belongs here: event, from, guard, to, effect. Not here: when an event happens (`recording.py`, `attempts.py`, ...).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from etl_platform.ledger.records import DELETED, Outcome, State
from etl_platform.ledger.tables import attempts, landing_objects

_o, _a = landing_objects.c, attempts.c
_BY_RUN: sa.BindParameter[str] = sa.bindparam("by_run", type_=_o.claimed_by.type)


class Happens(StrEnum):
    """Everything that happens to a landing object."""

    FOUND = "found"
    FOUND_STRAY = "found, nobody's"
    FOUND_IGNORED = "found, ignored by its name"
    REPLACED = "replaced by a newer content"
    RETURNED = "put back by its sender"
    REINSTATED = "what replaced it is gone"
    ROUTED = "an institution claims it now"
    REROUTED = "another partition claims it now"
    GIVEN_BACK = "back where it was published"
    DISOWNED = "no pattern claims it any more"
    SHUNNED = "ignored by its name now"
    GONE = DELETED
    BACK = "deleted from landing and found again"
    WITHDRAWN = "withdrawn by a person"
    WITHDRAWN_BESIDE = "withdrawn by a person, beside a newer content"
    RESTORED = "withdrawal undone"
    RESTORED_BESIDE = "withdrawal undone, beside a newer content"
    TAKEN = "a run begins"
    LOADED = "its rows are stored"
    REFUSED = "it cannot be read"
    FAILED = "its run failed"
    UNSTARTED = "its run ended before it began"
    UNPUBLISHED = "gold or warehouse refused"
    WAITS = "a service is away"
    WAITS_UNSTARTED = "a service is away before its run began"
    RELEASED = "the service answers"
    EXHAUSTED = "it failed too often while the service answers"
    DIED = "its run died"
    GIVEN_UP = "its runs died too often"
    LEFT = "left for a run of its own"
    REPLAYED = "asked for again"
    PASSED_OVER = "arrived while its run was loading"


class Attempted(StrEnum):
    """Everything that happens to an attempt."""

    BEGUN = "begun"
    UNBEGUN = "failed before it began"
    CHECKED = "checks passed"
    FAILED = "failed"
    WAITED = "a service is away"
    PUBLISHED = "gold and warehouse hold it"
    OVERWRITTEN = "an older run wrote after it"
    DIED = "its run died"
    OVERTAKEN = "a later run began"
    LEFT = "left for a run of its own"


class Guard(StrEnum):
    """What must hold of the row besides its state."""

    NONE = ""
    CLAIMED = "claimed by the run"
    UNCLAIMED = "claimed by no run"
    DECIDED = "claimed and decided by the run"
    NOT_REPLACED = "nothing newer under its key"
    PUBLISHED = "its rows were published"
    GONE = "gone by itself"


class Effect(StrEnum):
    """What changes besides the state."""

    CLAIM = "claim"
    RELEASE = "no claim"
    AGAIN = "next attempt"
    FORGET = "no reason"


@dataclass(frozen=True)
class Move:
    """One row of the law. sources: () for a row that is new. target: None for the state it has."""

    event: StrEnum
    sources: tuple[StrEnum, ...]
    target: StrEnum | None
    guard: Guard = Guard.NONE
    effects: tuple[Effect, ...] = ()


_OPEN = (State.SEEN, State.WAITING, State.REFUSED, State.FAILED)
"""States in which an object is not in the tables yet."""
_CURRENT = (*_OPEN, State.LOADED)
_TAKEN = (State.SEEN, State.LOADED, State.REFUSED, State.FAILED)
"""States of the objects that a run holds."""
_ANEW = (Effect.RELEASE, Effect.AGAIN, Effect.FORGET)

OBJECTS: tuple[Move, ...] = (
    Move(Happens.FOUND, (), State.SEEN),
    Move(Happens.FOUND_STRAY, (), State.UNROUTED),
    Move(Happens.FOUND_IGNORED, (), State.IGNORED),
    Move(Happens.REPLACED, (*_CURRENT, State.UNROUTED, State.IGNORED), State.SUPERSEDED, effects=(Effect.RELEASE,)),
    Move(Happens.RETURNED, (State.SUPERSEDED,), State.SEEN, effects=_ANEW),
    Move(Happens.REINSTATED, (State.SUPERSEDED,), State.SEEN, Guard.PUBLISHED, _ANEW),
    Move(Happens.ROUTED, (State.UNROUTED, State.IGNORED), State.SEEN, effects=_ANEW),
    Move(Happens.REROUTED, (State.LOADED,), State.SEEN, effects=_ANEW),
    Move(Happens.GIVEN_BACK, _OPEN, State.LOADED, effects=(Effect.RELEASE, Effect.FORGET)),
    Move(Happens.DISOWNED, (*_OPEN, State.IGNORED), State.UNROUTED, effects=(Effect.RELEASE,)),
    Move(Happens.SHUNNED, (*_OPEN, State.UNROUTED), State.IGNORED, effects=(Effect.RELEASE,)),
    Move(Happens.GONE, _OPEN, State.WITHDRAWN, effects=(Effect.RELEASE,)),
    Move(Happens.BACK, (State.WITHDRAWN,), State.SEEN, Guard.GONE, _ANEW),
    Move(Happens.WITHDRAWN, _CURRENT, State.WITHDRAWN, effects=(Effect.RELEASE,)),
    Move(Happens.WITHDRAWN_BESIDE, (State.SUPERSEDED,), State.WITHDRAWN, Guard.PUBLISHED),
    Move(Happens.RESTORED, (State.WITHDRAWN,), State.SEEN, Guard.NOT_REPLACED, _ANEW),
    Move(Happens.RESTORED_BESIDE, (State.WITHDRAWN,), State.SUPERSEDED, Guard.PUBLISHED, (Effect.FORGET,)),
    Move(Happens.TAKEN, (State.WAITING,), State.SEEN, effects=(Effect.CLAIM, Effect.FORGET)),
    Move(Happens.TAKEN, _TAKEN, None, effects=(Effect.CLAIM,)),
    Move(Happens.LOADED, _TAKEN, State.LOADED, Guard.CLAIMED),
    Move(Happens.REFUSED, _TAKEN, State.REFUSED, Guard.CLAIMED),
    Move(Happens.FAILED, (State.SEEN, State.FAILED), State.FAILED, Guard.CLAIMED),
    Move(Happens.UNSTARTED, (State.SEEN,), State.FAILED, Guard.UNCLAIMED),
    Move(Happens.UNPUBLISHED, (State.LOADED,), State.FAILED, Guard.DECIDED),
    Move(Happens.WAITS, (State.SEEN, State.FAILED), State.WAITING, Guard.CLAIMED, (Effect.RELEASE,)),
    Move(Happens.WAITS_UNSTARTED, (State.SEEN,), State.WAITING, Guard.UNCLAIMED),
    Move(Happens.RELEASED, (State.WAITING,), State.SEEN, effects=_ANEW),
    Move(Happens.EXHAUSTED, (State.WAITING,), State.FAILED),
    Move(Happens.DIED, _TAKEN, State.SEEN, Guard.CLAIMED, _ANEW),
    Move(Happens.GIVEN_UP, _TAKEN, State.FAILED, Guard.CLAIMED),
    Move(Happens.LEFT, _TAKEN, State.SEEN, Guard.CLAIMED, _ANEW),
    Move(Happens.REPLAYED, _CURRENT, State.SEEN, effects=_ANEW),
    Move(Happens.PASSED_OVER, (State.SEEN,), None, Guard.CLAIMED, (Effect.RELEASE,)),
)

ATTEMPTS: tuple[Move, ...] = (
    Move(Attempted.BEGUN, (), Outcome.RUNNING),
    Move(Attempted.UNBEGUN, (), Outcome.FAILED),
    Move(Attempted.CHECKED, (Outcome.RUNNING,), Outcome.CHECKED),
    Move(Attempted.FAILED, (Outcome.RUNNING, Outcome.CHECKED), Outcome.FAILED),
    Move(Attempted.WAITED, (Outcome.RUNNING,), Outcome.FAILED),
    Move(Attempted.PUBLISHED, (Outcome.CHECKED,), Outcome.SUCCEEDED),
    Move(Attempted.OVERWRITTEN, (Outcome.SUCCEEDED,), Outcome.CHECKED),
    Move(Attempted.DIED, (Outcome.RUNNING,), Outcome.CRASHED),
    Move(Attempted.OVERTAKEN, (Outcome.RUNNING, Outcome.CHECKED), Outcome.CRASHED),
    Move(Attempted.LEFT, (Outcome.RUNNING, Outcome.CHECKED), Outcome.FAILED),
)


def allowed(event: StrEnum, source: StrEnum | None) -> list[Move]:
    """The moves of `event` from `source` (None: of a row that is new)."""
    law: tuple[Move, ...] = OBJECTS if isinstance(event, Happens) else ATTEMPTS
    return [m for m in law if m.event is event and (source in m.sources if source is not None else not m.sources)]


def born(event: StrEnum) -> StrEnum:
    """The state in which a new row begins. Raises LookupError where the law knows no such beginning."""
    moves = allowed(event, None)
    if not moves or moves[0].target is None:
        raise LookupError(f"the law of the ledger has no beginning {event.value!r}")
    return moves[0].target


def move(
    connection: sa.Connection,
    event: Happens,
    *conditions: sa.ColumnElement[bool],
    now: dt.datetime,
    run_id: str | None = None,
    values: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Let `event` happen to the objects for which `conditions` hold, as the law says. Returns how many moved.

    run_id: of the run whose event it is, for guards and claims. values: further columns. rows: parameters, one
    execution each, of conditions that are constants: then the statement is composed once.
    """
    moved = _let(connection, event, conditions, {"updated_at": now, **(values or {})}, {"by_run": run_id}, rows)
    if moved is None:
        raise LookupError(f"the law of the ledger has no event {event.value!r}")
    return moved


def move_attempt(
    connection: sa.Connection,
    event: Attempted,
    *conditions: sa.ColumnElement[bool],
    values: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """The same for attempts."""
    return _let(connection, event, conditions, values or {}, {}, rows) or 0


def _let(
    connection: sa.Connection,
    event: StrEnum,
    conditions: tuple[sa.ColumnElement[bool], ...],
    values: Mapping[str, Any],
    common: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]] | None,
) -> int | None:
    """How many rows moved, or None where the law does not know the event."""
    plain = {name: value for name, value in values.items() if not isinstance(value, sa.ColumnElement)}
    computed = tuple((name, value) for name, value in values.items() if name not in plain)
    compose = _composed if rows else _composed.__wrapped__
    law = OBJECTS if isinstance(event, Happens) else ATTEMPTS
    statements = [compose(m, conditions, tuple(plain), computed) for m in law if m.event is event]
    common = {**common, **{f"new_{name}": value for name, value in plain.items()}}
    given = [{**row, **common} for row in rows] if rows else dict(common)
    return sum(connection.execute(update, given).rowcount for update in statements) if statements else None


@lru_cache(maxsize=256)  # composing one costs more than what a small partition's statement does
def _composed(
    wanted: Move,
    conditions: tuple[sa.ColumnElement[bool], ...],
    names: tuple[str, ...],
    computed: tuple[tuple[str, sa.ColumnElement[Any]], ...],
) -> sa.Update:
    """The statement of a move, with a parameter `new_...` for each of the columns `names`."""
    if isinstance(wanted.event, Happens):
        subject, held, changes = landing_objects, _holds(wanted), _changes(wanted)
    else:
        subject, held, changes = attempts, [_is_one_of(_a.outcome, wanted.sources)], {"outcome": wanted.target}
    new = {name: sa.bindparam(f"new_{name}", type_=subject.c[name].type) for name in names}
    return sa.update(subject).where(*conditions, *held).values({**changes, **new, **dict(computed)})


def _is_one_of(column: sa.Column[Any], names: tuple[StrEnum, ...]) -> sa.ColumnElement[bool]:
    # No IN: its parameters cannot be filled in for many executions at once.
    return sa.or_(*(column == name for name in names))


def _holds(wanted: Move) -> list[sa.ColumnElement[bool]]:
    found = [_is_one_of(_o.state, wanted.sources)]
    match wanted.guard:
        case Guard.CLAIMED:
            found.append(_o.claimed_by == _BY_RUN)
        case Guard.UNCLAIMED:
            found.append(_o.claimed_by.is_(None))
        case Guard.DECIDED:
            found += [_o.claimed_by == _BY_RUN, _o.run_id == _BY_RUN]
        case Guard.NOT_REPLACED:
            newer = landing_objects.alias("newer")
            same = sa.and_(newer.c.root == _o.root, newer.c.key == _o.key, newer.c.id != _o.id)
            is_current = sa.or_(*(newer.c.state == state for state in _CURRENT))
            # What no run has read is nowhere but under its key, where a later content lies now, withdrawn as well.
            is_later = sa.tuple_(newer.c.last_modified, newer.c.id) > sa.tuple_(_o.last_modified, _o.id)
            is_lost = sa.and_(is_later, _o.rows_read.is_(None))
            # What it had replaced counts again since it was taken out, and gives way.
            stays = sa.and_(is_current, sa.or_(is_later, ~newer.c.is_published))
            found.append(~sa.exists().where(same, sa.or_(stays, is_lost)))
        case Guard.PUBLISHED:
            found.append(_o.is_published)
        case Guard.GONE:
            found.append(_o.reason == Happens.GONE)  # not what a person took out
    return found


def _changes(wanted: Move) -> dict[str, Any]:
    changes: dict[str, Any] = {} if wanted.target is None else {"state": wanted.target}
    for effect in wanted.effects:
        match effect:
            case Effect.CLAIM:
                changes["claimed_by"] = _BY_RUN
            case Effect.RELEASE:
                changes["claimed_by"] = None
            case Effect.AGAIN:
                changes["attempt"] = _o.attempt + 1
            case Effect.FORGET:
                changes["reason"] = None
    return changes


def diagram(law: Sequence[Move]) -> str:
    """The law as a Mermaid state diagram; moves between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for wanted in law:
        for source in wanted.sources or (None,):
            start = source.value if source else "[*]"
            end = wanted.target.value if wanted.target else start
            told = wanted.event.value + (f" [{wanted.guard.value}]" if wanted.guard else "")
            arrows.setdefault((start, end), []).append(told)
    lines = [f"    {start} --> {end}: {'<br>'.join(events)}" for (start, end), events in sorted(arrows.items())]
    return "\n".join(["stateDiagram-v2", *lines])


def table(law: Sequence[Move]) -> str:
    """The law as a Markdown table."""
    lines = ["| event | from | guard | to | effect |", "|---|---|---|---|---|"]
    for m in law:
        sources = ", ".join(s.value for s in m.sources) or "(new)"
        target = m.target.value if m.target else "the same"
        effects = ", ".join(e.value for e in m.effects)
        lines.append(f"| {m.event.value} | {sources} | {m.guard.value} | {target} | {effects} |")
    return "\n".join(lines)
