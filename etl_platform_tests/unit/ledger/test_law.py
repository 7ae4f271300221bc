"""The law of the ledger: each of its rows is needed, nobody moves a row but by it, and the pictures say the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl_platform import ledger as package
from etl_platform.ledger import law
from etl_platform.ledger.law import ATTEMPTS, OBJECTS, Attempted, Guard, Happens, Move, allowed, born, diagram, table
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import Outcome, State
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401
from etl_platform_tests.unit.ledger.law_stories import ATTEMPT_STORIES, OBJECT_STORIES, Story

ROWS = [*OBJECTS, *ATTEMPTS]
MODULES = sorted(Path(package.__file__ or "").parent.glob("*.py"))


def story_of(move: Move) -> Story:
    if isinstance(move.event, Happens):
        return OBJECT_STORIES[move.event, move.sources == (State.WAITING,)]
    assert isinstance(move.event, Attempted)
    return ATTEMPT_STORIES[move.event]


def name(move: Move) -> str:
    return f"{'object' if isinstance(move.event, Happens) else 'attempt'} {move.event.name} {'+'.join(move.sources)}"


def without(row: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(law, "OBJECTS", tuple(m for m in OBJECTS if m is not row))
    monkeypatch.setattr(law, "ATTEMPTS", tuple(m for m in ATTEMPTS if m is not row))


def test_each_row_has_its_story_and_each_event_its_row() -> None:
    told = [story_of(move) for move in ROWS]
    assert len(told) == len(set(told)) == len(OBJECT_STORIES) + len(ATTEMPT_STORIES)
    assert {move.event for move in OBJECTS} == set(Happens)
    assert {move.event for move in ATTEMPTS} == set(Attempted)


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_what_a_row_says_happens(ledger: Ledger, row: Move) -> None:
    found, expected = story_of(row)(ledger)
    assert found == expected


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_without_the_row_it_does_not(ledger: Ledger, row: Move, monkeypatch: pytest.MonkeyPatch) -> None:
    without(row, monkeypatch)
    try:
        found, expected = story_of(row)(ledger)
    except (LookupError, AssertionError):
        return  # an event that the law does not know, or a story that cannot go on
    assert found != expected


@pytest.mark.parametrize("row", [move for move in ROWS if move.guard is not Guard.NONE], ids=name)
def test_a_guard_is_told_in_the_table_and_the_picture(row: Move) -> None:
    rows = OBJECTS if isinstance(row.event, Happens) else ATTEMPTS
    assert f"| {row.event.value} | {', '.join(row.sources)} | {row.guard.value} |" in table(rows)
    assert f"{row.event.value} [{row.guard.value}]" in diagram(rows)


def test_every_state_can_be_reached_and_left() -> None:
    for law_rows, states in ((OBJECTS, State), (ATTEMPTS, Outcome)):
        reached = {move.target for move in law_rows}
        assert set(states) <= reached
    left = {source for move in OBJECTS for source in move.sources if move.target not in (None, source)}
    assert left == set(State), "no state of an object is a dead end"


def test_of_what_is_new_there_is_one_beginning() -> None:
    assert (born(Happens.FOUND), born(Attempted.BEGUN)) == (State.SEEN, Outcome.RUNNING)
    with pytest.raises(LookupError, match="no beginning"):
        born(Happens.LOADED)
    assert [move.target for move in allowed(Happens.REPLACED, State.LOADED)] == [State.SUPERSEDED]
    assert allowed(Happens.REPLACED, State.WITHDRAWN) == []


# Nobody else writes a state


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


WATCHED = {"state", "outcome"}


def writes_a_state(call: ast.Call) -> bool:
    """`.values(state=...)`, `.values({"outcome": ...})`, or those names for a bound parameter of an update."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "values":
        return False
    given = {word.arg for word in call.keywords}
    given |= {
        part.value
        for argument in (*call.args, *(word.value for word in call.keywords if word.arg is None))
        for part in ast.walk(argument)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }
    return bool(WATCHED & given)


def test_no_module_but_the_law_writes_a_state_or_an_outcome() -> None:
    assert len(MODULES) > 20
    guilty = [
        f"{path.name}:{call.lineno}"
        for path in MODULES
        if path.name not in ("law.py", "root_names.py")  # it joins rows of an upgrade, before anybody uses them
        for call in calls(path)
        if writes_a_state(call)
    ]
    assert guilty == []


def test_a_new_row_begins_as_the_law_says() -> None:
    """Dictionaries with a state or an outcome, which inserts are made of, have it from `born`."""
    found = []
    for path in MODULES:
        if path.name == "root_names.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                for label, value in zip(node.keys, node.values, strict=True):
                    if isinstance(label, ast.Constant) and label.value in WATCHED:
                        is_born = isinstance(value, ast.Call) and ast.unparse(value.func) == "born"
                        if not is_born and path.name != "law.py":
                            found.append(f"{path.name}:{node.lineno} {ast.unparse(value)}")
    assert found == []


def test_events_are_the_laws_own_names() -> None:
    """`move` and `move_attempt` are given members of the enumerations, so that the table is complete."""
    for path in MODULES:
        for call in calls(path):
            if isinstance(call.func, ast.Name) and call.func.id in ("move", "move_attempt") and path.name != "law.py":
                event = ast.unparse(call.args[1])
                assert event.startswith(("Happens.", "Attempted.")) or event in ("event", "left_event"), path.name
