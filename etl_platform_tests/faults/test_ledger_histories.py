"""No history of deliveries leaves an object without an end, an attempt without an end, or rows missing or doubled.

Hypothesis makes the histories: senders, launchers, people, services that go away, and processes that are killed between
any two steps. A failure prints its history.
"""

from __future__ import annotations

import datetime as dt
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from itertools import permutations
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from etl_platform.delivery import Delivery
from etl_platform.ledger import law
from etl_platform.ledger.law import ATTEMPTS, OBJECTS
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import CURRENT, State
from etl_platform.ledger.tables import metadata
from etl_platform_tests.faults.history_runs import KEYS, PARTITIONS, UNREADABLE, WANTED, Lying, Run
from etl_platform_tests.faults.history_world import World
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

SENT = ["deliver", "deliver", "old", "move", "delete", "unrouted", "ignored", "", "rerouted"]
CONTENTS = ["x", "y", "z", UNREADABLE]
LAUNCHERS = ["sensor", "command", "cut sensor", "cut command", "load", "publish"]
ENDS = ["kill", "cancel", "cut off", "error", "lake", "warehouse", "a service", "checks", "leave"]
ASKED = ["replay", "withdraw", "withdraw", "withdraw beside", "undo", "undo"]
OF = {"withdraw": CURRENT, "withdraw beside": [State.SUPERSEDED], "undo": [State.WITHDRAWN]}
HAPPENS = ["lake", "warehouse", "power", "60", "150", "3700", "90000"]
STORIES = ["deaths", "outages", "late publication", "arrival", "failure", "zombie", "on its way", "beside"]
THEN = ["work", "work", "begin", "tick", "nothing"]
ORDERS = [list(order) for order in permutations(WANTED)]


class Histories(RuleBasedStateMachine):
    """One history. `opened` is the ledger that all of them use, emptied for each."""

    opened: Ledger

    def __init__(self) -> None:
        super().__init__()
        with self.opened._database.write() as connection:
            for table in metadata.tables.values():
                connection.execute(sa.delete(table))
        self.world = World(self.opened)
        self.count = 0

    # Few rules of many kinds, each with ordinary work behind it: Hypothesis leaves out some rules of each history.

    def _then(self, then: str) -> None:
        """What goes on all the time: ticks and runs."""
        if then != "nothing":
            self.world.tick()
        for run in self.world.living():
            self._advance(run, list(WANTED), {"work": 20, "begin": 4}.get(then, 0))

    @initialize(seed=st.integers(0, 2**32 - 1), steps=st.sampled_from([40, 60, 20, 0]))
    def begin(self, seed: int, steps: int) -> None:
        for key in sorted(KEYS):
            self._deliver(key, "x", whole_minutes=False)
        self.anything(seed, steps)

    def anything(self, seed: int, steps: int) -> None:
        """Some of all that follows, each as likely as the other: alone Hypothesis prefers few and equal things.
        Every history begins with it."""
        chance = random.Random(seed)
        for _ in range(steps):
            pick, then, order = chance.randrange(100), chance.choice(THEN), chance.choice(ORDERS)
            partition, key = chance.choice(PARTITIONS), chance.choice(sorted(KEYS))
            match chance.randrange(9):
                case 0 | 1:
                    self.send(key, chance.choice(SENT), chance.choice(CONTENTS), chance.random() < 0.3, then)
                case 2:
                    self.launch(chance.choice(LAUNCHERS), partition)
                case 3:
                    self.go_on(pick, order, chance.choice([1, 3, 5, 12]))
                case 4 | 5:
                    self.end_badly(pick, order, chance.randrange(15), chance.choice(ENDS), then)
                case 6:
                    self.ask(pick, chance.choice(ASKED), partition, then)
                case 7:
                    self.happen(chance.choice(HAPPENS), then)
                case _:
                    self.tell(chance.choice(STORIES), partition, key, chance.randrange(10))
            self.world.check_always()

    @rule(
        key=st.sampled_from(sorted(KEYS)),
        what=st.sampled_from(SENT),
        content=st.sampled_from(CONTENTS),
        whole_minutes=st.booleans(),
        then=st.sampled_from(THEN),
    )
    def send(self, key: str, what: str, content: str, whole_minutes: bool, then: str) -> None:
        """A sender, or a change of a pattern."""
        landing, claims = self.world.landing, self.world.claims
        if what == "deliver":
            self._deliver(key, content, whole_minutes=whole_minutes)
        elif what == "old":  # `cp -p`, `mv`, `rsync -t` of a file that was made long ago
            landing[key] = Lying(content, self._identity(), self.world.tick_clock() - dt.timedelta(days=9))
        elif what == "move" and key in landing:
            landing[key] = replace(landing[key], identity=self._identity())
        elif what == "delete":
            landing.pop(key, None)
        elif what in ("unrouted", "ignored", ""):
            claims[key] = what
        elif what == "rerouted":
            self.world.homes[key] = next(p for p in PARTITIONS if p != self.world.homes[key])
        self._then(then)

    def _deliver(self, key: str, content: str, *, whole_minutes: bool) -> None:
        now = self.world.tick_clock()
        before = self.world.landing.get(key)
        modified = now.replace(second=0) if whole_minutes else now
        recorded = [o.last_modified for o in self.opened.objects(key=key)]
        # Clocks of stores may be coarse; they do not run backwards.
        if any(modified <= other for other in [*recorded, *([before.modified] if before else [])]):
            modified = now
        self.world.landing[key] = Lying(content, self._identity(), modified)

    def _identity(self) -> str:
        self.count += 1
        return f"e{self.count}"

    @rule(who=st.sampled_from(LAUNCHERS), partition=st.sampled_from(PARTITIONS))
    def launch(self, who: str, partition: Delivery) -> None:
        self.count += 1
        process = f"p{self.count}" if who.endswith("command") else None
        if who in ("load", "publish"):
            self.world.launch(partition, is_publication=who == "publish")
        else:
            self.world.tick(process=process, is_cut=who.startswith("cut"))

    def _one(self, pick: int) -> Run | None:
        if not self.world.living():
            self.world.tick()
        return _picked(self.world.living(), pick)

    def _advance(self, run: Run, tables: list[str], steps: int, verdict: str = "") -> None:
        for _ in range(steps):
            if run.is_alive:
                self.world.advance(run, tables, verdict)
                self.world.check_always()

    @rule(pick=st.integers(0, 5), tables=st.sampled_from(ORDERS), steps=st.sampled_from([1, 3, 5, 12]))
    def go_on(self, pick: int, tables: list[str], steps: int) -> None:
        """A run does some of its steps; all of them are 14, and fewer where it only publishes."""
        if run := self._one(pick):
            self._advance(run, tables, steps)

    @rule(
        pick=st.integers(0, 5),
        tables=st.sampled_from(ORDERS),
        steps=st.integers(0, 14),
        how=st.sampled_from(ENDS),
        then=st.sampled_from(THEN),
    )
    def end_badly(self, pick: int, tables: list[str], steps: int, how: str, then: str) -> None:
        """A run does some of its steps and ends as it should not."""
        run = self._one(pick)
        if run is None:
            return
        self._advance(run, tables, 4 if how in ("checks", "leave") else steps)
        if not run.is_alive:
            return
        if how == "kill":
            run.is_dead = True
        elif how in ("cancel", "cut off"):  # cut off: it fails and cannot say so, the ledger is away
            run.status = "canceled" if how == "cancel" else "failure"
        elif how in ("checks", "leave"):
            self._advance(run, tables, 1, "leave" if how == "leave" else "a blocking check failed")
        else:
            self.world.fail(run, "something is wrong", None if how == "error" else how)
        self._then(then)

    @rule(
        pick=st.integers(0, 5),
        what=st.sampled_from(ASKED),
        partition=st.sampled_from(PARTITIONS),
        then=st.sampled_from(THEN),
    )
    def ask(self, pick: int, what: str, partition: Delivery, then: str) -> None:
        """A person."""
        now = self.world.tick_clock()
        if what == "replay":
            self.opened.request_replay(business_date=partition.business_date, now=now)
        elif found := _picked(self.opened.objects(states=OF[what]), pick):
            if what == "undo":
                self.opened.undo_withdrawal(found, by="ann", now=now, beside=found.is_published)
            elif what == "withdraw" or found.is_published:
                self.opened.withdraw(found, reason="wrong", by="ann", now=now)
        self._then(then)

    @rule(what=st.sampled_from(HAPPENS), then=st.sampled_from(THEN))
    def happen(self, what: str, then: str) -> None:
        """A service goes away or comes back, the power is cut, or time passes."""
        if what in ("lake", "warehouse"):
            self.world.away ^= {what}
        elif what == "power":
            for run in self.world.living():
                run.is_dead = True
        else:
            self.world.tick_clock(int(what))
        self._then(then)

    @rule(
        story=st.sampled_from(STORIES),
        partition=st.sampled_from(PARTITIONS),
        key=st.sampled_from(sorted(KEYS)),
        steps=st.integers(0, 9),
    )
    def tell(self, story: str, partition: Delivery, key: str, steps: int) -> None:
        """What takes several steps in a row that chance hardly ever makes."""
        if story in (
            "late publication",
            "arrival",
            "zombie",
            "on its way",
        ):  # in a quiet hour, or nothing of it would come about
            self.world.away.clear()
            self._then("work")
        happens: dict[str, tuple[int, Callable[[Run], None]]] = {
            "deaths": (4, lambda run: setattr(run, "is_dead", True)),
            "outages": (9, lambda run: self.world.fail(run, "lake does not answer", "lake")),
            "failure": (1, lambda run: self.world.fail(run, "something is wrong")),
        }
        if story in happens:
            self._each_run(partition, *happens[story])
        elif story == "on its way":
            self._on_its_way(key)
        elif story == "beside":
            self._beside(key, partition, steps)
        elif story == "arrival":  # between a run's look at landing and its attempt
            self.opened.request_replay(business_date=self.world.homes[key].business_date, now=self.world.tick_clock())
            self.world.tick()
            for run in [run for run in self.world.living() if run.step == "begin"]:
                self._advance(run, list(WANTED), 1)
            self._deliver(key, "y", whole_minutes=False)
            self.world.scan()
            for run in self.world.living():
                self._advance(run, list(WANTED), 20)
        elif story == "zombie":  # a run is taken for dead between its table's rows and the word to the ledger
            run = self.world.launch(partition, is_publication=False)
            self._advance(run, list(WANTED), 6)
            table = next(iter(run.passed), None)
            if run.is_alive and table:
                run.is_dead = True
                self._then("work")
                self.opened.request_replay(business_date=partition.business_date, now=self.world.tick_clock())
                self._then("work")
                for _ in range(2):
                    self.world._publish(run, [table])
        else:  # a publication is slow, and a newer attempt publishes meanwhile
            slow = self.world.launch(partition, is_publication=True)
            self._advance(slow, list(WANTED), 2)
            self._advance(self.world.launch(partition, is_publication=False), list(WANTED), 20)
            self._advance(slow, list(WANTED), steps)
            slow.is_dead = slow.is_alive  # killed anywhere in it

    def _on_its_way(self, key: str) -> None:
        """It goes over to another partition, and before a run has it there nobody claims it."""
        self.send(key, "", "x", whole_minutes=False, then="work")
        self.send(key, "rerouted", "x", whole_minutes=False, then="nothing")
        self.world.scan()
        self.send(key, "unrouted", "x", whole_minutes=False, then="nothing")
        self.world.scan()

    def _beside(self, key: str, partition: Delivery, pick: int) -> None:
        """Where every content counts, one that was replaced is taken out and put back."""
        for content in ("x", "y"):
            self._deliver(key, content, whole_minutes=False)
            self._then("work")
        for what in ("withdraw beside", "undo"):
            self.ask(pick, what, partition, "work")

    def _each_run(self, partition: Delivery, times: int, happens: Callable[[Run], None]) -> None:
        """The same happens to so many runs at the partition, one after the other, in the middle of its files."""
        self.opened.request_replay(business_date=partition.business_date, now=self.world.tick_clock())
        for _ in range(times):
            self.world.tick()
            for run in [run for run in self.world.living() if run.partition == partition]:
                self._advance(run, list(WANTED), 3)
                if run.is_alive:
                    happens(run)
            self.world.tick_clock(3_700)

    @invariant()
    def what_always_holds(self) -> None:
        self.world.check_always()

    def teardown(self) -> None:
        self.world.settle()
        self.world.check_always()
        self.world.check_settled()


_T = TypeVar("_T")


def _picked(found: Sequence[_T], pick: int) -> _T | None:
    return found[pick % len(found)] if found else None


def without_fsync(opened: Ledger) -> None:
    """No power cut of this machine is part of a history, and waiting for its disk would take most of the time."""
    engine = opened._database._open()
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        engine.dispose()


@pytest.fixture
def histories(ledger: Ledger) -> type[Histories]:
    ledger.check()
    without_fsync(ledger)
    return type("HistoriesHere", (Histories,), {"opened": ledger})


def _run(histories: type[Histories], examples: int, steps: int) -> None:
    wanted = settings(
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
        # Not made shorter: every shorter one is a second of work, and each line of a history is readable.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    run_state_machine_as_test(histories, settings=wanted)


def test_every_history_comes_to_rest(histories: type[Histories]) -> None:
    _run(histories, 6, 5)


@pytest.mark.long
def test_long_histories_come_to_rest(histories: type[Histories], moved: Counter[StrEnum]) -> None:
    _run(histories, 30, 5)
    # Chance seldom brings about these three; each has its story in the unit tests of the law.
    rare = {law.Happens.UNSTARTED, law.Happens.UNPUBLISHED, law.Happens.BACK}
    wanted = {move.event for move in (*OBJECTS, *ATTEMPTS) if move.sources} - rare
    assert wanted - set(moved) == set(), "little of the law is left out"


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> Counter[StrEnum]:
    """How often something moved, by event."""
    counts: Counter[StrEnum] = Counter()

    def counted(original: Callable[..., int]) -> Callable[..., int]:
        def move(connection: sa.Connection, event: StrEnum, *args: Any, **kwargs: Any) -> int:
            rows = original(connection, event, *args, **kwargs)
            counts.update([event] * min(rows, 1))
            return rows

        return move

    for original in (law.move, law.move_attempt):
        for name, module in list(sys.modules.items()):
            if name.startswith("etl_platform.ledger.") and getattr(module, original.__name__, None) is original:
                monkeypatch.setattr(module, original.__name__, counted(original))
    return counts
