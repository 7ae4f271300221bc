"""Why a run of Dagster failed: by Dagster's own storage, and, where it could not tell the ledger, by the errors that it
has on record.

Not here: what follows from it (`pick_up.py`, `pipeline/attempt.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dagster as dg
import sqlalchemy as sa

from etl_platform import errors
from etl_platform.errors import ConfigurationError, EtlError, StorageError, StorageUnavailableError, UnknownNameError
from etl_platform.ledger.failures import SERVICE as LEDGER
from etl_platform.ledger.failures import may_pass

DAGSTER = "Dagster's storage"
"""What waits for it names it so. It counts as a service that answers: without it there is no tick that asks."""

_OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, EtlError)}
_DATABASES = {"OperationalError", "InterfaceError", "DagsterPostgresException"}
_FAILURES = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.HOOK_ERRORED}


def own_error(error: BaseException | None) -> EtlError | None:
    """The platform's own error in a chain of causes, or what one of Dagster's own storage means; None without one."""
    while error is not None:
        if isinstance(error, EtlError):
            return error
        if (told := of_storage(error)) is not None:
            return told
        error = error.__cause__
    return None


def of_storage(error: BaseException) -> StorageUnavailableError | None:
    """An error of Dagster's own storage that may pass: every other database's is one of the platform's own errors."""
    if isinstance(error, sa.exc.DBAPIError) and may_pass(error):
        found = f"{type(error.orig).__name__}: {error.orig}".strip()
    elif isinstance(error, sa.exc.TimeoutError):
        found = "all connections of this process are in use"
    else:
        return None
    return StorageUnavailableError(
        DAGSTER,
        found=found,
        expected="an answer of the database that dagster.yaml names",
        next_step="none: what the run was at is run again",
        service=DAGSTER,
    )


def was_storage(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether Dagster's own storage failed the run."""
    names = [{name for name, _ in chain} for chain in _errors(instance, run)]
    return any(found & _DATABASES and not found & _OURS for found in names)


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
    return any(name in names and holds(text) for chain in _errors(instance, run) for name, text in chain)


def _errors(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[list[tuple[str, str]]]:
    """Class name and text of each error of the run, with those of what caused it."""
    for entry in instance.all_logs(run.run_id, of_type=_FAILURES):
        error = getattr(entry.get_dagster_event().event_specific_data, "error", None)
        chain = []
        while error is not None:
            name = error.cls_name or ""
            # As a traceback ends: the class with its module, a colon, the text.
            chain.append((name, error.message.partition(f"{name}: ")[2]))
            error = error.cause
        yield chain
