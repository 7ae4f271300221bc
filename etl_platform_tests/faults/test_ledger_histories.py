"""No history of deliveries leaves an object without an end, an attempt without an end, or rows missing or doubled.

Hypothesis makes the histories: senders, launchers, people, services that go away, and processes that are killed between
any two steps. A failure prints its shortest history.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.records import CURRENT, DatasetPartition, State
from etl_platform.ledger.tables import metadata
from etl_platform_tests.faults.history_runs import KEYS, PARTITIONS, UNREADABLE, WANTED, Lying, Run
from etl_platform_tests.faults.history_world import World
from etl_platform_tests.support.ledgers import ledger, ledger_url, postgres_server  # noqa: F401

TABLES = st.permutations(list(WANTED))
THEN = st.sampled_from(["work", "work", "begin", "tick", "nothing"])
KEY, PARTITION = st.sampled_from(sorted(KEYS)), st.sampled_from(PARTITIONS)


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
            self._advance(run, list(WANTED), {"work": 20, "begin": 3}.get(then, 0))

    @initialize(keys=st.sets(KEY, min_size=1))
    def arrive(self, keys: set[str]) -> None:
        for key in sorted(keys):
            self._deliver(key, "x", whole_minutes=False)

    @rule(
        key=KEY,
        what=st.sampled_from(["deliver", "deliver", "deliver", "move", "delete", "unrouted", "ignored", ""]),
        content=st.sampled_from(["x", "y", "z", UNREADABLE]),
        whole_minutes=st.booleans(),
        then=THEN,
    )
    def send(self, key: str, what: str, content: str, whole_minutes: bool, then: str) -> None:
        """A sender, or a change of a pattern."""
        landing, claims = self.world.landing, self.world.claims
        if what == "deliver":
            self._deliver(key, content, whole_minutes=whole_minutes)
        elif what == "move" and key in landing:
            landing[key] = replace(landing[key], identity=self._identity())
        elif what == "delete":
            landing.pop(key, None)
        elif what in ("unrouted", "ignored", ""):
            claims[key] = what
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

    @rule(
        who=st.sampled_from(["sensor", "command", "cut sensor", "cut command", "load", "publish"]), partition=PARTITION
    )
    def launch(self, who: str, partition: DatasetPartition) -> None:
        self.count += 1
        process = f"p{self.count}" if who.endswith("command") else None
        if who in ("load", "publish"):
            self.world.launch(partition, is_publication=who == "publish")
        else:
            self.world.tick(process=process, is_cut=who.startswith("cut"))

    def _one(self, data: st.DataObject) -> Run | None:
        if not self.world.living():
            self.world.tick()
        living = self.world.living()
        return data.draw(st.sampled_from(living), label="run") if living else None

    def _advance(self, run: Run, tables: list[str], steps: int, verdict: str = "") -> None:
        for _ in range(steps):
            if run.is_alive:
                self.world.advance(run, tables, verdict)
                self.world.check_always()

    @rule(data=st.data(), tables=TABLES, steps=st.sampled_from([1, 3, 5, 12]))
    def go_on(self, data: st.DataObject, tables: list[str], steps: int) -> None:
        """A run does some of its steps; all of them are 10, and fewer where it only publishes."""
        if run := self._one(data):
            self._advance(run, tables, steps)

    @rule(
        data=st.data(),
        tables=TABLES,
        steps=st.integers(0, 9),
        how=st.sampled_from(
            ["kill", "cancel", "cut off", "error", "lake", "warehouse", "a service", "checks", "leave"]
        ),
        then=THEN,
    )
    def end_badly(self, data: st.DataObject, tables: list[str], steps: int, how: str, then: str) -> None:
        """A run does some of its steps and ends as it should not."""
        run = self._one(data)
        if run is None:
            return
        self._advance(run, tables, 3 if how in ("checks", "leave") else steps)
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
        data=st.data(), what=st.sampled_from(["replay", "withdraw", "withdraw", "undo"]), partition=PARTITION, then=THEN
    )
    def ask(self, data: st.DataObject, what: str, partition: DatasetPartition, then: str) -> None:
        """A person."""
        now = self.world.tick_clock()
        if what == "replay":
            self.opened.request_replay(business_date=partition.business_date, now=now)
            self._then(then)
            return
        found = self.opened.objects(states=CURRENT if what == "withdraw" else [State.WITHDRAWN])
        if found:
            one = data.draw(st.sampled_from(found), label="object")
            if what == "withdraw":
                self.opened.withdraw(one, reason="wrong", by="ann", now=now)
            else:
                self.opened.undo_withdrawal(one, by="ann", now=now)
        self._then(then)

    @rule(what=st.sampled_from(["lake", "warehouse", "power", "60", "150", "3700", "90000"]), then=THEN)
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

    @invariant()
    def what_always_holds(self) -> None:
        self.world.check_always()

    def teardown(self) -> None:
        self.world.settle()
        self.world.check_always()
        self.world.check_settled()


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
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(histories, settings=wanted)


def test_every_history_comes_to_rest(histories: type[Histories]) -> None:
    _run(histories, 25, 30)


@pytest.mark.long
def test_long_histories_come_to_rest(histories: type[Histories]) -> None:
    _run(histories, 300, 60)
