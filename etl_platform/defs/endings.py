"""Why a run of Dagster failed, by the errors that it has on record: for runs that could not tell the ledger.

Not here: what follows from it (`pick_up.py`), runs that told (`attempt.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dagster as dg

from etl_platform.errors import ConfigurationError, EtlError, StorageError, StorageUnavailableError, UnknownNameError
from etl_platform.ledger.failures import SERVICE as LEDGER

_FAILURES = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.HOOK_ERRORED}


def was_ledger(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the ledger failed the run, or kept it from saying what did."""
    # An error on record has its class's name and its text, which begins with the thing: a database's label.
    return _is_any(instance, run, lambda text: text.startswith(f"{LEDGER} "), StorageUnavailableError, StorageError)


def was_configuration(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the run failed by a configuration file: by no fault of what it was to load."""
    return _is_any(instance, run, lambda _: True, ConfigurationError, UnknownNameError)


def _is_any(
    instance: dg.DagsterInstance, run: dg.DagsterRun, holds: Callable[[str], bool], *kinds: type[EtlError]
) -> bool:
    names = {kind.__name__ for kind in kinds}
    return any(name in names and holds(text) for name, text in _errors(instance, run))


def _errors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[tuple[str, str]]:
    """Class name and text of each error of the run, and of what caused it."""
    for entry in instance.all_logs(run.run_id, of_type=_FAILURES):
        error = getattr(entry.get_dagster_event().event_specific_data, "error", None)
        while error is not None:
            name = error.cls_name or ""
            # As a traceback ends: the class with its module, a colon, the text.
            yield name, error.message.partition(f"{name}: ")[2]
            error = error.cause
