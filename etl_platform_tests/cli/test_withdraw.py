"""`etl-platform withdraw` as its user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import State
from etl_platform_tests.cli.test_commands import Shell, deliver, etl, home, put
from etl_platform_tests.support.platform import DATE, HEADER, bar, plain_senders

__all__ = ["etl", "home"]

KEY = f"first/prices/{DATE}/a.csv"


def states(home: Path) -> list[State]:
    ledger = Ledger(f"sqlite:///{home}/ledger.db", read_only=True)
    found = [row.state for row in ledger.objects()]
    ledger.close()
    return found


@pytest.fixture
def loaded(home: Path, etl: Shell) -> Path:
    deliver(home, "first", DATE)
    assert etl("run", "--workers", "1").status == 0
    return home


def test_an_object_is_withdrawn_and_put_back_on_record(loaded: Path, etl: Shell) -> None:
    done = etl("withdraw", KEY, "--reason", "a mistake", "--by", "ann")
    assert (done.status, done.err) == (0, "")
    assert (
        f"{KEY} (first prices {DATE}; " in done.out
        and "): withdrawn" in done.out
        and states(loaded) == [State.WITHDRAWN]
    )

    again = etl("withdraw", KEY, "--reason", "a mistake")
    assert again.status == 2 and f"object '{KEY}': withdrawn by ann: a mistake; expected" in again.err

    undone = etl("withdraw", KEY, "--undo")
    assert undone.status == 0 and "put back" in undone.out and states(loaded) == [State.SEEN]
    assert etl("withdraw", KEY, "--undo").status == 2


def test_an_object_is_named_by_its_address_too(loaded: Path, etl: Shell) -> None:
    address = (loaded / "landing" / KEY).as_uri()
    assert etl("withdraw", address, "--reason", "a mistake").status == 0
    assert states(loaded) == [State.WITHDRAWN]


def test_a_withdrawn_object_leaves_the_tables_with_the_next_run(loaded: Path, etl: Shell) -> None:
    """Needs the run that takes up open reruns."""
    put(loaded, f"first/prices/{DATE}/b.csv", HEADER + bar("BBB"))
    assert etl("run", "--workers", "1").status == 0
    assert etl("withdraw", KEY, "--reason", "a mistake").status == 0

    done = etl("run", "--workers", "1")

    assert done.status == 0 and "1 in all" in done.out
    assert "nothing to run" in etl("run").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((f"first/prices/{DATE}/b.csv", "--reason", "x"), f"expected {KEY}"),
        (("a.csv", "--reason", "x"), "no such key in the ledger"),
        ((KEY, "--reason", "x", "--institution", "second"), "no such key in the ledger"),
        ((KEY, "--reason", "x", "--institution", "frist"), "expected first"),
        ((KEY,), "why it is withdrawn"),
        ((KEY, "--reason", "  "), "why it is withdrawn"),
        ((KEY, "--undo"), ": loaded; expected an object that was withdrawn"),
    ],
)
def test_what_cannot_be_withdrawn_is_told_in_one_line_and_changes_nothing(
    loaded: Path, etl: Shell, arguments: tuple[str, ...], told: str
) -> None:
    done = etl("withdraw", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1) and told in done.err
    assert states(loaded) == [State.LOADED]


def test_a_key_of_two_landing_roots_needs_its_institution(home: Path, etl: Shell) -> None:
    own = home.parent / "own"
    folder = plain_senders(home.parent / "institutions", "first", "second")
    for code in ("first", "second"):
        text = (folder / f"{code}.yaml").read_text()
        pattern = 'key_pattern: "{dataset}/{date:%Y-%m-%d}/..."'
        (folder / f"{code}.yaml").write_text(f"landing: {own / code}\n{pattern}\n{text}")
        path = own / code / "prices" / str(DATE) / "a.csv"
        path.parent.mkdir(parents=True)
        path.write_text(HEADER + bar("AAA"))
    assert etl("run", "--workers", "1").status == 0
    key = f"prices/{DATE}/a.csv"

    unclear = etl("withdraw", key, "--reason", "x")
    assert unclear.status == 2 and "first, second" in unclear.err and states(home) == [State.LOADED] * 2
    assert etl("withdraw", key, "--reason", "x", "--institution", "second").status == 0
    assert states(home) == [State.LOADED, State.WITHDRAWN]
