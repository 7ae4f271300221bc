"""An attempt at a delivery on record: its start, how it fails or waits, and what a failure means."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from etl_platform.clock import now
from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError, EtlError, HeldBackError, TransientError
from etl_platform.ledger.failures import SERVICE as LEDGER
from etl_platform.ledger.ledger import Ledger
from etl_platform.limits import LOOK_FOR_RUN_SECONDS, WAIT_FOR_RUN_SECONDS
from etl_platform.pipeline.run import Run
from etl_platform.retries import within

UNNAMED = "a service"
"""Of which no error said its name: it counts as one that answers."""

Explain = Callable[[BaseException], EtlError | None]
"""The platform's own error for one that a launcher knows better: of Dagster's own storage, say."""


def begin_attempts(run: Run, deliveries: Sequence[Delivery], ledger: Ledger) -> None:
    """Begin the run's attempts, or go on with them. A living run that is at one of the deliveries is waited for; what
    a dead one has left is taken over. Raises HeldBackError when the other one takes too long."""
    until = time.monotonic() + WAIT_FOR_RUN_SECONDS
    dead: set[str] = set()
    while others := ledger.start_attempts(run.run_id, deliveries, dead=dead, now=now()):
        is_gone = run.look()
        alive = [other for other in others if not is_gone(other.run_id)]
        dead |= {other.run_id for other in others} - {other.run_id for other in alive}
        if not alive:
            continue
        first = alive[0]
        run.log.info(f"{first.partition} is being loaded by run {first.run_id}; waiting for it to end")
        if time.monotonic() > until:
            raise HeldBackError(
                str(first.partition),
                found=f"run {first.run_id} is at it since {first.started_at:%Y-%m-%d %H:%M} UTC",
                expected=f"it to end within {WAIT_FOR_RUN_SECONDS:.0f} s",
                next_step="wait for it or terminate it, then run the partition again",
            )
        time.sleep(LOOK_FOR_RUN_SECONDS)


@contextmanager
def reported(
    ledger: Ledger, run_id: str, deliveries: Sequence[Delivery], *, explain: Explain | None = None, where: str = ""
) -> Iterator[None]:
    """Run any step of attempts; a failure ends those that the run has open, with its message, and goes on.

    Where a service was away the delivery waits for it. An interrupt or kill leaves the attempt as it is: whoever comes
    next picks it up.
    """
    try:
        yield
    except Exception as error:
        # Whatever it is, the attempt must not stay "running" on record; the error itself goes on.
        for delivery in deliveries:
            end(ledger, run_id, delivery, (explain and explain(error)) or error, where=where)
        raise


def end(ledger: Ledger, run_id: str, delivery: Delivery, error: BaseException, *, where: str = "") -> bool:
    """Put on record that the run's open attempt failed by `error`, or waits for the service that caused it.

    False when the run has none: it began nothing, or only publishes what another one has checked.
    """
    text = where + message(error)
    cause = cause_of(error)
    if isinstance(cause, TransientError):
        with _asked_once_more(cause):
            return ledger.mark_waiting(run_id, delivery, cause.service or UNNAMED, text, now=now())
    return ledger.mark_failed(run_id, delivery, text, now=now())


def end_unpublished(
    ledger: Ledger, run_id: str, delivery: Delivery, error: BaseException, *, where: str, is_first: bool
) -> None:
    """The same for a run without an open attempt. is_first: it failed before it began one; else at gold or warehouse,
    after the checks: what another run has checked failed, too."""
    cause = cause_of(error)
    if isinstance(cause, TransientError):
        if is_first:
            service = cause.service or UNNAMED
            with _asked_once_more(cause):
                ledger.mark_waiting(run_id, delivery, service, where + message(error), is_first=True, now=now())
    elif isinstance(cause, ConfigurationError | HeldBackError):
        # Of an institution that is out of use, say: what is stored and what waits has not failed by that.
        return
    elif is_first:
        ledger.mark_unstarted(run_id, delivery, where + message(error), now=now())
    else:
        ledger.mark_unpublished(delivery, where + message(error), now=now())


def message(error: BaseException) -> str:
    """What went wrong itself, without the sentences of others about where it happened."""
    cause = cause_of(error)
    return str(cause) if isinstance(cause, EtlError) else f"{type(cause).__name__}: {cause}"


def cause_of(error: BaseException) -> BaseException:
    """The platform's own error in a chain of causes, or its first cause."""
    while not isinstance(error, EtlError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _asked_once_more(cause: TransientError) -> AbstractContextManager[None]:
    """Nobody sleeps in a run slot to tell the ledger that it is away: whoever comes next finds what it was not told."""
    return within(0) if cause.service == LEDGER else nullcontext()
