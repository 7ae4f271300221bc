"""Which runs are alive and which are gone, whoever launched them: Dagster, lock files and heartbeats seen together.

Belongs here: one look at a time, nothing is changed but notes of suspicion. Not here: what follows (`pick_up.py`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import dagster as dg

from etl_platform.clock import now
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import RUN_LAUNCH_SECONDS, RUN_START_SECONDS
from etl_platform.resources.processes import PROCESS_TAG, Processes

_SERVER_TAG = ".dagster/grpc_info"
"""Of runs that a code server launched."""
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
EXECUTING = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Of runs that have, or are about to have, a process."""


class Census:
    """One look at who is alive."""

    def __init__(self, instance: dg.DagsterInstance, ledger: Ledger, processes: Processes) -> None:
        self._instance, self._ledger, self._processes = instance, ledger, processes
        self._gone: dict[str, bool] = {}

    def executing(self) -> list[dg.RunRecord]:
        """Runs that have a process, or are about to, as Dagster has them."""
        return list(self._instance.get_run_records(dg.RunsFilter(statuses=EXECUTING)))

    def gone(self, records: Sequence[dg.RunRecord]) -> set[str]:
        """Ids of those whose process is gone."""
        silent = self._silent([r.dagster_run.tags.get(PROCESS_TAG) for r in records])
        return {r.dagster_run.run_id for r in records if self._is_gone(r, silent)}

    def starting(self, records: Sequence[dg.RunRecord]) -> list[dg.RunRecord]:
        """Those of which nobody can say yet: no process has said that it executes them, and it may still do so."""
        return [r for r in records if PROCESS_TAG not in r.dagster_run.tags and not self._never_came(r)]

    def run_is_gone(self, run_id: str) -> bool:
        """Whether nobody executes the run any more: its process is gone, or it has ended, or nobody knows it."""
        if run_id not in self._gone:
            record = self._instance.get_run_record_by_id(run_id)
            self._gone[run_id] = self._stranger_is_gone(run_id) if record is None else run_id in self.gone([record])
        return self._gone[run_id]

    def holder_is_gone(self, name: str) -> bool:
        """Whether the process of that name is gone."""
        if self._processes.is_known(name):
            return not self._processes.is_alive(name)
        return name in self._silent([name])

    def _stranger_is_gone(self, run_id: str) -> bool:
        """The same of a run that is not in this Dagster instance: of another one, or of one that only lives as long as
        its process (`dagster asset materialize` without DAGSTER_HOME)."""
        executes = self._processes.executes(run_id)
        if executes is not None:
            return not executes
        return not self._ledger.has_beaten(run_id) or run_id in self._silent([run_id])

    def _silent(self, names: Sequence[str | None]) -> set[str]:
        """Those who have no lock file here and of whom nothing was heard for a while."""
        elsewhere = {name for name in names if name and not self._processes.is_known(name)}
        return set(self._ledger.silent(sorted(elsewhere), now=now()))

    def _is_gone(self, record: dg.RunRecord, silent: set[str]) -> bool:
        name = record.dagster_run.tags.get(PROCESS_TAG)
        is_finished = record.dagster_run.status in FINISHED
        if name is None:
            return is_finished or self._never_came(record)
        if self._processes.is_known(name):
            return not self._processes.is_alive(name)
        # A run that has ended gave its lock back; only one that has not may be alive where we cannot see it.
        return is_finished or name in silent

    def _never_came(self, record: dg.RunRecord) -> bool:
        """Whether a run of which no process has said a word has none."""
        since = record.update_timestamp.timestamp()
        seconds = time.time() - since
        if seconds <= RUN_START_SECONDS:
            return False
        if _SERVER_TAG in record.dagster_run.tags and self._processes.served(since) is not False:
            return seconds > RUN_LAUNCH_SECONDS
        return True
