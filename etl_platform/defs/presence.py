"""A run says that it is alive, whoever launched it: a lock file and heartbeats for its time, named in its tags.

It rests in the resource that every step uses, so that no launcher (UI, sensor, backfill, `dagster job execute`,
`dagster asset materialize`, `etl-platform run`) and no asset can forget it. Not here: who asks (`census.py`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from etl_platform.errors import EtlError
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import HEARTBEAT_EVERY
from etl_platform.resources.processes import PROCESS_TAG, Processes


def announcing(ledger: Ledger, processes: Processes) -> dg.ResourceDefinition:
    """`ledger` as a resource; the runs that use it say that they are alive as long as they execute."""

    @dg.resource(description="Every landing object ever seen, every attempt to load it, and which runs are alive.")
    @contextmanager
    def ledger_of_run(context: dg.InitResourceContext) -> Iterator[Ledger]:
        if context.run is None or context.instance is None:
            yield ledger
            return
        with announced(context.instance, context.run.run_id, ledger, processes):
            yield ledger

    return ledger_of_run


@contextmanager
def announced(instance: dg.DagsterInstance, run_id: str, ledger: Ledger, processes: Processes) -> Iterator[None]:
    """The run is alive for the time of the block."""
    with processes.held(run_id) as name:
        instance.add_run_tags(run_id, {PROCESS_TAG: name})
        ended = threading.Event()
        # Without DAGSTER_HOME the instance is a folder of this process, and nobody else sees the run's tags: its id is
        # all that its attempt tells.
        told, at_once = (name, False) if os.environ.get("DAGSTER_HOME") else (run_id, True)
        beating = threading.Thread(target=_beat, args=(ledger, told, ended, at_once), name="heartbeat", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()


def _beat(ledger: Ledger, name: str, ended: threading.Event, at_once: bool) -> None:
    """Most runs end before the first beat and cost the ledger nothing. at_once: it is all that others can see."""
    has_beaten, seconds = False, 0.0 if at_once else HEARTBEAT_EVERY.total_seconds()
    while not ended.wait(seconds):
        seconds = HEARTBEAT_EVERY.total_seconds()
        # A ledger that is away hears of it when it is back: three beats must be missing.
        with suppress(EtlError):
            ledger.beat(name)
            has_beaten = True
    if has_beaten:
        with suppress(EtlError):
            ledger.forget_beats([name])
