"""An attempt at a partition on record: its start, how it fails or waits, and what a permanent failure means."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import dagster as dg

from etl_platform.defs.endings import of_storage
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError, EtlError, PermanentError, TransientError
from etl_platform.ledger.failures import SERVICE as LEDGER
from etl_platform.ledger.ledger import Ledger
from etl_platform.partitions import parse_key
from etl_platform.retries import within

WAIT_FOR_RUN_SECONDS = 600.0
"""How long a run waits for another one at the same partition: two were started by hand, or at the same moment."""
_LOOK_SECONDS = 1.0

IsGone = Callable[[str], bool]
"""Whether nobody executes the run of that id any more."""
Tell = Callable[[str], None]


def now() -> dt.datetime:
    """The present in UTC."""
    return dt.datetime.now(dt.UTC)


class NothingFailed(Exception):  # noqa: N818 - no error: the cause of a dg.Failure that says so
    """A run stops at what others do: nothing that is on record has failed by that."""


def start(
    ledger: Ledger,
    run_id: str,
    partitions: Sequence[Delivery],
    is_gone: Callable[[], IsGone],
    tell: Tell,
) -> None:
    """Begin the run's attempts, or go on with them. A living run that is at one of the partitions is waited for; what
    a dead one has left is taken over. Raises dg.Failure when the other one takes too long."""
    until = time.monotonic() + WAIT_FOR_RUN_SECONDS
    dead: set[str] = set()
    while others := ledger.start_attempts(run_id, partitions, dead=dead, now=now()):
        look = is_gone()
        alive = [other for other in others if not look(other.run_id)]
        dead |= {other.run_id for other in others} - {other.run_id for other in alive}
        if not alive:
            continue
        first = alive[0]
        tell(f"{first.partition} is being loaded by run {first.run_id}; waiting for it to end")
        if time.monotonic() > until:
            raise dg.Failure(
                description=(
                    f"{first.partition}: found run {first.run_id} at it since {first.started_at:%Y-%m-%d %H:%M} UTC, "
                    f"expected it to end within {WAIT_FOR_RUN_SECONDS:.0f} s; next step: wait for it or terminate "
                    "it, then run the partition again"
                ),
                allow_retries=False,
            ) from NothingFailed()
        time.sleep(_LOOK_SECONDS)


@contextmanager
def reported(ledger: Ledger, run_id: str, partition: Delivery) -> Iterator[None]:
    """Run any step of an attempt; a failure ends the attempt, if the run has one, with its message and goes on.

    Where a service was away the partition waits for it. A PermanentError becomes a `dg.Failure`. An interrupt or kill
    leaves the attempt as it is: whoever comes next picks it up.
    """
    try:
        yield
    except Exception as error:
        # Whatever it is, the attempt must not stay "running" on record; the error itself goes on.
        end(ledger, run_id, partition, error)
        if isinstance(error, PermanentError):
            raise dg.Failure(description=str(error), allow_retries=False) from error
        raise


def end(ledger: Ledger, run_id: str, partition: Delivery, error: BaseException, *, where: str = "") -> bool:
    """Put on record that the run's open attempt failed by `error`, or waits for the service that caused it.

    False when the run has none: it began nothing, or only publishes what another one has checked.
    """
    text = where + message(error)
    cause = _cause(error)
    if isinstance(cause, TransientError):
        with _asked_once_more(cause):
            return ledger.mark_waiting(run_id, partition, cause.service or UNNAMED, text, now=now())
    return ledger.mark_failed(run_id, partition, text, now=now())


def _asked_once_more(cause: TransientError) -> AbstractContextManager[None]:
    """Nobody sleeps in a run slot to tell the ledger that it is away: whoever comes next finds what it was not told."""
    return within(0) if cause.service == LEDGER else nullcontext()


UNNAMED = "a service"
"""Of which no error said its name: it counts as one that answers."""


def failures_reported(dataset: str, *, is_first: bool = False) -> dg.HookDefinition:
    """Ends the attempt of a run in which a step of `dataset` failed where `reported` does not see it: while an IO
    manager read or wrote. Gold and warehouse fail after the checks: what another run has checked failed, too.

    is_first: of the step that begins attempts; when it fails before that, what was launched has failed, or waits.
    """

    @dg.failure_hook(name=f"end_attempt_at_{dataset}", required_resource_keys={"ledger"})
    def end_attempt(context: dg.HookContext) -> None:
        partition = partition_of_run(context, dataset)
        error = context.op_exception
        if partition is None or error is None:
            return  # a run over several partitions is refused before it begins an attempt
        ledger: Ledger = context.resources.ledger
        where = f"{context.step_key}: "
        if end(ledger, context.run_id, partition, error, where=where):
            return
        cause = _cause(error)
        if isinstance(cause, TransientError):
            if is_first:
                service = cause.service or UNNAMED
                with _asked_once_more(cause):
                    ledger.mark_waiting(
                        context.run_id, partition, service, where + message(error), is_first=True, now=now()
                    )
        elif isinstance(cause, ConfigurationError) or isinstance(cause.__cause__, NothingFailed):
            # Of an institution that is out of use, say: what is stored and what waits has not failed by that.
            return
        elif is_first:
            ledger.mark_unstarted(context.run_id, partition, where + message(error), now=now())
        else:
            ledger.mark_unpublished(partition, where + message(error), now=now())

    return end_attempt


def partition_of_run(context: dg.HookContext, dataset: str) -> Delivery | None:
    """The partition of `dataset` that the hook's run is about; None for a run over several."""
    run = context.instance.get_run_by_id(context.run_id)
    key = run.tags.get("dagster/partition") if run else None
    return None if key is None else Delivery.of(dataset, parse_key(key))


def message(error: BaseException) -> str:
    """What went wrong itself, without Dagster's sentences about where it happened."""
    cause = _cause(error)
    if isinstance(cause, dg.Failure):
        return cause.description or "failed"
    return str(cause) if isinstance(cause, EtlError) else f"{type(cause).__name__}: {cause}"


def _cause(error: BaseException) -> BaseException:
    while not isinstance(error, EtlError | dg.Failure):
        if (told := of_storage(error)) is not None:
            return told
        if error.__cause__ is None:
            break
        error = error.__cause__
    return error
