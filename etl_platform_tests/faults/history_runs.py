"""A world for histories of deliveries: landing, bronze, lake and warehouse in memory, and the runs that work on them.

Runs do what the steps of `defs/` do, in terms of the ledger, one step at a time, so that anything may happen between
two steps. The ledger is a real one. Not here: who launches them (`history_world.py`), what happens when
(`test_ledger_histories.py`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

from etl_platform.delivery import Delivery
from etl_platform.errors import AttemptLostError
from etl_platform.ledger.ledger import Ledger
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import WHOLE_KEY, AttemptTotals, LandingObject, ObjectResult, Outcome, State, Write
from etl_platform_tests.support.landing_objects import DATE, NOW

SILVER, WAREHOUSE, GOLD, GOLD_IN_WAREHOUSE = "silver", "warehouse/prices", "gold/bars", "warehouse/bars"
WANTED: dict[str, str | None] = {WAREHOUSE: None, GOLD: None, GOLD_IN_WAREHOUSE: GOLD}
SERVICE_OF = {WAREHOUSE: "warehouse", GOLD: "lake", GOLD_IN_WAREHOUSE: "warehouse"}
PARTITIONS = [Delivery("prices", DATE + dt.timedelta(days=day), "institution_a") for day in (0, 1)]
KEYS = {"a": PARTITIONS[0], "b": PARTITIONS[0], "c": PARTITIONS[1]}
UNREADABLE = "unreadable"
Rows = tuple[tuple[str, str], ...]
"""(key, content) of what a table holds of a partition, sorted."""


@dataclass(frozen=True)
class Lying:
    """What lies under a key of landing."""

    content: str
    identity: str
    modified: dt.datetime


@dataclass(frozen=True)
class Copy:
    """A row of a bronze manifest."""

    key: str
    content: str
    identity: str
    is_current: bool


@dataclass
class Run:
    """A run as Dagster has it. status: "" while it executes; is_dead: its process is gone. partition: its only one."""

    id: str
    partition: Delivery
    is_publication: bool
    run_key: str | None
    process: str
    status: str = ""
    is_dead: bool = False
    step: str = "begin"
    listed: dict[str, Lying] | None = None
    copies: list[Copy] = field(default_factory=list)
    passed: dict[str, tuple[str, Rows]] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    @property
    def is_alive(self) -> bool:
        return not self.status and not self.is_dead


class BrokenError(Exception):
    """A step cannot go on. service: the one that is away, or None for good."""

    def __init__(self, text: str, service: str | None = None) -> None:
        super().__init__(text)
        self.service = service


class Runs:
    """Landing, tables, and the steps of runs."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.now = NOW
        self.landing: dict[str, Lying] = {}
        self.homes = dict(KEYS)  # which partition's pattern claims a key
        self.claims = dict.fromkeys(KEYS, "")  # "": its partition; or why it is nobody's: "unrouted", "ignored"
        self.away: set[str] = set()
        self.bronze: dict[Delivery, list[Copy]] = {p: [] for p in PARTITIONS}
        self.tables: dict[tuple[str, Delivery], Rows] = {}
        self.runs: dict[str, Run] = {}

    def tick_clock(self, seconds: float = 1) -> dt.datetime:
        self.now += dt.timedelta(seconds=seconds)
        return self.now

    # Landing

    def listing(self, keys: dict[str, Lying]) -> list[LandingObject]:
        """As a scan sees these keys."""
        return [self._listed(key, found) for key, found in sorted(keys.items())]

    def _listed(self, key: str, found: Lying) -> LandingObject:
        partition = self.homes[key] if not self.claims[key] else None
        return LandingObject(
            institution=partition.institution if partition else None,
            dataset=partition.dataset if partition else None,
            business_date=partition.business_date if partition else None,
            root="landing",
            uri=f"s3://bucket/{key}",
            key=key,
            etag=found.identity,
            version=None,
            size=1_000,
            last_modified=found.modified,
            is_ignored=self.claims[key] == "ignored",
        )

    def record(self, objects: list[LandingObject]) -> None:
        """Put news on record; whatever an identity leaves open its bytes decide (`landing/contents.py`)."""
        told = []
        for one, finding in zip(objects, self.ledger.compare(objects), strict=True):
            found = one if finding is not Finding.UNSURE else replace(one, sha256=self.landing[one.key].content)
            told.append((found, finding if found is one else self.ledger.compare([found])[0]))
        news = [found for found, finding in told if finding is not Finding.KNOWN]
        strays = [(found, "nobody's") for found in news if found.institution is None]
        self.ledger.record_seen([found for found in news if found.institution], now=self.now)
        self.ledger.record_unrouted([found for found in strays if not found[0].is_ignored], now=self.now)
        self.ledger.record_ignored([found for found in strays if found[0].is_ignored], now=self.now)

    # Steps of runs

    def living(self) -> list[Run]:
        return [run for run in self.runs.values() if run.is_alive]

    def is_gone(self, run_id: str) -> bool:
        return run_id not in self.runs or not self.runs[run_id].is_alive

    def advance(self, run: Run, tables: list[str], verdict: str = "") -> None:
        """The run's next step. tables: in which order it writes them. verdict: what its checks find, "" for nothing."""
        self.tick_clock()
        try:
            match run.step:
                case "begin" if run.is_publication:
                    run.step = "publish"
                case "begin":
                    self._begin(run)
                case "receive":
                    self._receive(run)
                case "silver":
                    self._store(run)
                case "checks":
                    self._check(run, verdict)
                case "publish":
                    self._publish(run, tables)
        except AttemptLostError as error:
            self.fail(run, str(error))
        except BrokenError as error:
            self.fail(run, str(error), error.service)

    def _needs(self, service: str) -> None:
        if service in self.away:
            raise BrokenError(f"{service} does not answer", service)

    def _begin(self, run: Run) -> None:
        self._needs("lake")
        if run.listed is None:
            mine = {k: f for k, f in self.landing.items() if self.homes[k] == run.partition and not self.claims[k]}
            run.listed = mine
            self.record(self.listing(mine))
            return  # whatever arrives before the attempt begins is claimed, and not listed
        dead = {run_id for run_id in self.runs if self.is_gone(run_id)}
        if not self.ledger.start_attempts(run.id, [run.partition], dead=dead, now=self.now):
            run.step = "receive"

    def _receive(self, run: Run) -> None:
        self._needs("lake")
        assert run.listed is not None
        on_record = self.ledger.objects(partition=run.partition)
        excluded = self.ledger.excluded(run.partition)
        names = {(found.key, found.identity): found.sha256 for found in on_record if found.sha256}
        manifest = {(copy.key, copy.content): copy for copy in self.bronze[run.partition]}
        listed: set[tuple[str, str]] = set()
        for key, found in run.listed.items():
            known = manifest.get((key, names.get((key, found.identity)) or ""))
            known = known or next((c for c in manifest.values() if (c.key, c.identity) == (key, found.identity)), None)
            if known is not None:
                manifest[key, known.content] = replace(known, identity=found.identity)
                listed.add((key, known.content))
            elif (there := self.landing.get(key)) is not None:
                manifest[key, there.content] = Copy(key, there.content, there.identity, is_current=True)
                listed.add((key, there.content))
        hidden = {key for key, _ in listed}
        listed = {one for one in listed if not {one, (one[0], manifest[one].identity)} & excluded}
        there_now = {key for key in run.listed if key in self.landing}
        keys = {key for key, _ in listed}
        hidden -= keys
        names_of = {(f.key, name): f for f in on_record for name in (f.sha256, f.identity) if f.state in _CURRENT}
        known_rows = {
            one: row
            for one, copy in manifest.items()
            if (row := names_of.get(one) or names_of.get((copy.key, copy.identity)))
        }
        hidden |= {key for key, _ in known_rows} | {key for key, name in excluded if name == WHOLE_KEY}
        run.copies = []
        for one, copy in manifest.items():
            is_current = one in known_rows or (copy.is_current and copy.key not in hidden)
            is_current = one in listed if copy.key in keys else is_current
            is_current = is_current and not {one, (copy.key, copy.identity)} & excluded
            identity = known_rows[one].identity if one in known_rows else copy.identity
            run.copies.append(replace(copy, is_current=is_current, identity=identity))
        held = {*manifest, *((copy.key, copy.identity) for copy in manifest.values())}
        mine = [found for found in on_record if found.claimed_by == run.id and found.state is State.SEEN]
        gone = [f.id for f in mine if f.key not in there_now and not {(f.key, f.identity), (f.key, f.sha256)} & held]
        self.ledger.mark_gone(gone, run_id=run.id, now=self.now)
        self.bronze[run.partition] = run.copies
        run.step = "silver"

    def _store(self, run: Run) -> None:
        self._needs("lake")
        excluded = self.ledger.excluded(run.partition)
        copies = [
            copy
            for copy in run.copies
            if copy.is_current and not {(copy.key, copy.content), (copy.key, copy.identity)} & excluded
        ]
        results = [
            ObjectResult("landing", copy.key, copy.identity, sha256=copy.content, rows_read=1, rows_silver=1)
            for copy in copies
        ]
        self.ledger.mark_received(run.id, results, now=self.now)
        good = [copy for copy in copies if copy.content != UNREADABLE]
        # A zombie's write to silver is held back by nothing: the one that comes after it writes again.
        self.tables[SILVER, run.partition] = tuple(sorted((copy.key, copy.content) for copy in good))
        bad = [
            replace(one, reason="not readable", rows_silver=0)
            for one, copy in zip(results, copies, strict=True)
            if copy not in good
        ]
        self.ledger.mark_loaded(run.id, [r for r, c in zip(results, copies, strict=True) if c in good], now=self.now)
        self.ledger.mark_refused(run.id, bad, now=self.now)
        run.step = "checks"

    def _check(self, run: Run, verdict: str) -> None:
        self._needs("lake")
        if verdict == "leave":
            self.ledger.leave(run.id, run.partition, "left for a run of its own", now=self.now)
            run.status = "success"
            return
        error = verdict or None
        self.ledger.end_checks(run.id, run.partition, totals=AttemptTotals(), error=error, now=self.now)
        if error:
            run.status = "failure"
        else:
            run.step = "publish"

    def _publish(self, run: Run, tables: list[str]) -> None:
        """One third of the writing of one table: through the gate, its rows, the word to the ledger."""
        table = next((t for t in tables if t not in run.written and WANTED[t] in {None, *run.written}), None)
        if table is None:
            table = next(t for t in WANTED if t not in run.written)
        self._needs(SERVICE_OF[table])
        if table not in run.passed:
            attempt = self.ledger.latest_attempt(run.partition)
            if attempt is None or attempt.outcome not in (Outcome.CHECKED, Outcome.SUCCEEDED):
                raise BrokenError("the latest attempt is not checked")
            rows = self.tables.get((WANTED[table] or SILVER, run.partition), ())
            run.passed[table] = (attempt.run_id, rows)
            if attempt.run_id != run.id:
                self.ledger.begin_write(Write(run.id, run.partition, table, attempt.run_id))
            return
        attempt_id, rows = run.passed[table]
        if table not in run.stored:
            self.tables[table, run.partition] = rows
            run.stored.add(table)
            return
        self.ledger.publish(attempt_id, run.partition, [table], wanted=WANTED, writer=run.id, now=self.now)
        run.written.add(table)
        if run.written == set(WANTED):
            run.status = "success"

    def fail(self, run: Run, text: str, service: str | None = None) -> None:
        """The run fails: what `reported` and the hooks of `defs/hooks.py` tell the ledger."""
        run.status = "failure"
        is_first = run.step == "begin" and not run.is_publication
        ledger, now = self.ledger, self.tick_clock()
        if service is not None:
            if not ledger.mark_waiting(run.id, run.partition, service, text, now=now) and is_first:
                ledger.mark_waiting(run.id, run.partition, service, text, is_first=True, now=now)
        elif not ledger.mark_failed(run.id, run.partition, text, now=now):
            if is_first:
                ledger.mark_unstarted(run.id, run.partition, text, now=now)
            else:
                ledger.mark_unpublished(run.partition, text, now=now)


_CURRENT = (State.SEEN, State.WAITING, State.LOADED, State.REFUSED, State.FAILED)
