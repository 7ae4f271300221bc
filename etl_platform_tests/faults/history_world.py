"""Who launches runs in a history of deliveries: ticks of a sensor, `etl-platform run`, people. After `defs/pick_up.py`,
`defs/due.py` and `defs/sensors.py`, in terms of the ledger. Not here: what runs do (`history_runs.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from etl_platform.delivery import Delivery
from etl_platform.ledger.records import CURRENT, Outcome, PendingPartition, State, Unpublished
from etl_platform.limits import RUN_REQUEST_LOST
from etl_platform_tests.faults.history_runs import KEYS, PARTITIONS, SERVICE_OF, WANTED, WAREHOUSE, Rows, Run, Runs

FAILURES_A_DAY = 3
ENDED = (State.LOADED, State.SUPERSEDED, State.REFUSED, State.FAILED, State.WITHDRAWN, State.UNROUTED, State.IGNORED)


class World(Runs):
    """Landing, tables, runs and their launchers."""

    def launch(
        self, partition: Delivery, *, is_publication: bool, run_key: str | None = None, process: str = ""
    ) -> Run:
        run = Run(f"r{len(self.runs):03}", partition, is_publication, run_key, process)
        self.runs[run.id] = run
        return run

    # A tick

    def scan(self) -> None:
        """`scan_landing`: news, and what is gone."""
        stuck = self.ledger.stuck(["landing"])
        self.record(self.listing(self.landing))
        self.ledger.mark_gone([number for key, number in stuck if key not in self.landing], now=self.now)

    def pick_up(self) -> dict[Delivery, str]:
        """Ends what died. Returns what living runs are at."""
        for run in [run for run in self.runs.values() if run.is_dead and not run.status]:
            error = f"the process of run {run.id} was killed"
            self.ledger.close_dead(run.id, error=error, now=self.now)
            if not self.ledger.attempts_of(run.id):
                self.ledger.close_unstarted(run.id, [run.partition], error=error, now=self.now)
            run.status = "failure"
        held = {}
        for attempt in self.ledger.open_attempts():
            if not self.is_gone(attempt.run_id):
                held[attempt.partition] = attempt.run_id
            elif attempt.outcome is Outcome.RUNNING:
                error = "the run ended without a result"
                if self.runs[attempt.run_id].status == "failure":
                    self.ledger.mark_waiting(attempt.run_id, attempt.partition, "ledger", error, now=self.now)
                else:
                    self.ledger.close_dead(attempt.run_id, error=error, now=self.now)
        for write in self.ledger.writes():
            if self.is_gone(write.writer):
                self.ledger.drop_write(write, wanted=WANTED)
        return held

    def judge_services(self) -> None:
        for service in sorted({t.service for t in self.ledger.troubles() if t.service}):
            found = f"{service} refused the connection" if service in self.away else None
            self.ledger.judge_service(service, found, limit=FAILURES_A_DAY, now=self.now)

    def tick(self, *, process: str | None = None, is_cut: bool = False) -> list[Run]:
        """What a tick of the sensor launches, or the process of that name. is_cut: it is stopped after its leases."""
        self.tick_clock()
        held = self.pick_up()
        self.judge_services()
        self.scan()
        wanted = self._due(held)
        keys: dict[Delivery, str | None] = {item.partition: None for item in wanted}
        if process is None:
            keys = {item.partition: _run_key(item) for item in wanted}
            if self._settle({str(key): partition for partition, key in keys.items()}):
                return []
        holders = {p: f"process {process}" if process else f"run key {key}" for p, key in keys.items()}
        free = set(self.ledger.take_leases(holders, void=self._void(), now=self.now))
        if is_cut:
            return []
        used = {run.run_key for run in self.runs.values() if run.run_key}
        return [
            self.launch(
                item.partition, is_publication=isinstance(item, Unpublished), run_key=key, process=process or ""
            )
            for item in wanted
            if item.partition in free and (key := keys[item.partition]) not in used
        ]

    def _due(self, held: dict[Delivery, str]) -> Sequence[PendingPartition | Unpublished]:
        pending = [item for item in self.ledger.pending_partitions(100) if item.partition not in held]
        is_pending = {item.partition for item in pending}
        checked = [
            item
            for item in self.ledger.unpublished()
            if item.partition not in {*held, *is_pending} and self.is_gone(item.attempt.run_id)
        ]
        starting = {run.partition for run in self.runs.values() if not run.status}
        both: list[PendingPartition | Unpublished] = [*pending, *checked]
        return [item for item in both if item.partition not in starting]

    def _settle(self, requested: dict[str, Delivery]) -> int:
        settled = 0
        for key, partition in requested.items():
            runs = [run for run in self.runs.values() if run.run_key == key]
            if not runs or not all(run.status for run in runs):
                continue
            error = f"run {runs[-1].id} ended before it began"
            settled += len(self.ledger.close_unstarted(runs[-1].id, [partition], error=error, now=self.now))
        return settled

    def _void(self) -> set[str]:
        alive = {f"process {run.process}" for run in self.living()}
        return {
            lease.holder
            for lease in self.ledger.leases()
            if lease.holder not in alive
            and (lease.holder.startswith("process ") or self.now - lease.taken_at >= RUN_REQUEST_LOST)
        }

    # The end of a history

    def settle(self) -> None:
        """Everything answers again, everybody who was at something is gone, and ticks go on until nothing is due."""
        self.away.clear()
        for run in self.living():
            run.is_dead = True
        for _ in range(60):
            launched = self.tick()
            for run in launched:
                while run.is_alive:
                    self.advance(run, list(WANTED))
            self.tick_clock(3_700)
            is_waiting = any(trouble.service for trouble in self.ledger.troubles())
            is_due = self.ledger.pending_partitions(1) or self.ledger.unpublished()
            if not launched and not is_waiting and not is_due:
                return
        found = [(one.key, one.identity, one.sha256, one.state) for one in self.ledger.objects()]
        raise AssertionError(f"it never settles: {found}, landing {self.landing}, {self.claims}")

    def rows_of(self, partition: Delivery) -> Rows:
        """What the ledger says that the tables hold of the partition."""
        found = self.ledger.objects(partition=partition, states=[State.LOADED])
        return tuple(sorted((one.key, str(one.sha256)) for one in found))

    def last_rows_of(self, partition: Delivery) -> Rows:
        """What was published of keys of which nothing else may be in the tables: the content after it was deleted, or
        became nobody's, before any run had loaded it, or a run failed. A mistake in a pattern empties no table."""
        found = self.ledger.objects(partition=partition)
        current = {one.key for one in found if one.state in CURRENT and one.state is not State.FAILED}
        current |= {one.key for one in self.ledger.objects(states=[State.LOADED])}
        last = [one for one in found if one.state is State.SUPERSEDED and one.is_published and one.key not in current]
        last += [one for one in found if one.state is State.FAILED and one.is_published]  # in a replay that never began
        return tuple((one.key, str(one.sha256)) for one in last)

    # What holds

    def check_always(self) -> None:
        """What holds after each step of any history."""
        attempts = [a for run_id in self.runs for a in self.ledger.attempts_of(run_id)]
        assert all((a.ended_at is None) == (a.outcome in (Outcome.RUNNING, Outcome.CHECKED)) for a in attempts)
        at = {(attempt.run_id, attempt.partition): attempt.outcome for attempt in attempts}
        for found in self.ledger.objects():
            if found.claimed_by is None:
                continue
            assert found.institution and found.dataset and found.business_date
            outcome = at[found.claimed_by, Delivery(found.dataset, found.business_date, found.institution)]
            if found.state is State.SEEN:
                assert outcome is Outcome.RUNNING, "it waits for a run that has ended"
            if found.state is State.LOADED and found.run_id == found.claimed_by:
                is_refused = outcome is Outcome.FAILED and self.runs[found.claimed_by].step == "publish"
                assert not is_refused, "it counts as loaded, and gold or warehouse refused it"
        living = [a.partition for a in attempts if a.ended_at is None and not self.is_gone(a.run_id)]
        assert len(living) == len(set(living)), "two living runs are at one partition"
        waiting = self.ledger.objects(states=[State.WAITING])
        troubled = {t.partition for t in self.ledger.troubles() if t.service}
        assert {(o.dataset, o.business_date, o.institution) for o in waiting} <= {
            (p.dataset, p.business_date, p.institution) for p in troubled
        }, "it waits for nothing"

    def check_settled(self) -> None:
        """What holds once a history has come to rest."""
        assert self.ledger.open_attempts() == [] and self.ledger.writes() == []
        assert [(found.key, found.state) for found in self.ledger.objects() if found.state not in ENDED] == []
        current = {found.key for found in self.ledger.objects() if found.state is not State.SUPERSEDED}
        assert set(self.landing) <= current, "what lies in landing is on record"
        for partition in PARTITIONS:
            latest = self.ledger.latest_attempt(partition)
            if latest is None:
                assert self.rows_of(partition) == ()
            elif latest.outcome is Outcome.SUCCEEDED:
                held = {table: self.tables.get((table, partition), ()) for table in WANTED}
                assert len(set(held.values())) == 1, held
                loaded, last = self.rows_of(partition), self.last_rows_of(partition)
                found = held[WAREHOUSE]
                assert set(loaded) <= set(found) <= {*loaded, *last} and len(set(found)) == len(found), (loaded, found)
            else:
                assert latest.error, "it says why"
        for row in self.ledger.objects(states=[State.FAILED, State.REFUSED, State.WITHDRAWN]):
            assert row.reason, "it says why"
        for key, lying in self.landing.items():
            if self.claims[key] or self.ledger.objects(key=key, states=[State.WITHDRAWN]):
                continue
            rows = [o for o in self.ledger.objects(key=key) if o.state is not State.SUPERSEDED]
            assert len(rows) == 1, rows
            (on_record,) = rows
            assert on_record.sha256 in (None, lying.content), "another content than the one in landing"


def _run_key(item: PendingPartition | Unpublished) -> str:
    return hashlib.sha256(f"{item.partition}={item.fingerprint}".encode()).hexdigest()[:16]


assert set(SERVICE_OF) == set(WANTED) and set(KEYS.values()) == set(PARTITIONS)
