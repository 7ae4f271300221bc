"""Dagster's daemon, one iteration at a time, in this process: what it does with backfills and sensors.

Belongs here: every private name of Dagster that the research needs. It exports no way to run one iteration of its
daemon; a daemon as a process (`support/daemon.py`) costs ten seconds a backfill. Not here: what is asked (the tests).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from dagster._core.execution.backfill import PartitionBackfill  # noqa: TID251 - the docstring says why
from dagster._core.remote_origin import InProcessCodeLocationOrigin  # noqa: TID251 - likewise
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin  # noqa: TID251 - likewise
from dagster._core.workspace.context import WorkspaceProcessContext  # noqa: TID251 - likewise
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget  # noqa: TID251 - likewise
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.sensor import execute_sensor_iteration

from etl_platform_tests.research import range_runs

_LOGGER = logging.getLogger(__name__)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Daemon:
    """Runs that it launches have ended when it returns."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    def backfill(self, assets: Sequence[str], keys: Sequence[str], tags: Mapping[str, str] | None = None) -> str:
        """Ask for one, as the UI does. Returns its id."""
        asked = PartitionBackfill.from_asset_partitions(
            backfill_id=uuid.uuid4().hex[:8],
            asset_graph=self.workspace.create_request_context().asset_graph,
            partition_names=keys,
            asset_selection=[dg.AssetKey(name) for name in assets],
            backfill_timestamp=time.time(),
            tags=tags or {},
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=_QUIET,
        )
        self.instance.add_backfill(asked)
        return asked.backfill_id

    def tick(self, backfill: str) -> str:
        """One iteration over the backfills. Returns the state of this one."""
        errors = [error for error in execute_backfill_iteration(self.workspace, _LOGGER) if error]
        assert not errors, errors
        found = self.instance.get_backfill(backfill)
        assert found is not None
        return found.status.value

    def tick_sensors(self) -> None:
        """One iteration over the sensors."""
        errors = [error for error in execute_sensor_iteration(self.workspace, _LOGGER, None, None) if error]
        assert not errors, errors

    def runs(self, backfill: str) -> list[dg.DagsterRun]:
        """In the order of their launch."""
        found = self.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
        return list(reversed(found))


@contextmanager
def daemon() -> Iterator[Daemon]:
    """A daemon over `range_runs.py` with storage of its own."""
    target = LoadableTargetOrigin(module_name=range_runs.__name__)
    origin = InProcessCodeLocationOrigin(target, location_name="research")
    with (
        dg.instance_for_test(synchronous_run_launcher=True, synchronous_run_coordinator=True) as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace,
    ):
        yield Daemon(instance, workspace)
