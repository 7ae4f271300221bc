"""The one policy for every call to a service: how often it is asked again, and how long that takes.

Belongs here: the inner ring, around one call. Not here: what is worth another try (each store says so with a
TransientError), partitions that wait for a service (the outer ring, which takes over when this one gives up).

Full jitter (each wait is anywhere between zero and its bound) keeps many callers of a service that comes back from
asking all at once. With the defaults the bounds are 5, 10, 20 and 30 s: the ring waits 32.5 s in expectation and 65 s
at most, beside the calls themselves. Simulated: a service that is away for 5 s is outlasted in 99.9 % of all calls, one
that is away for 10 s in 98.7 %, for 25 s in 74 %. A first wait of 2 s would leave one call in five behind after 10 s;
one of 8 s would gain one in a hundred, and let every throttled request wait 4 s instead of 2.5.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from etl_platform.errors import TransientError
from etl_platform.limits import RETRY_ATTEMPTS, RETRY_FIRST_WAIT_SECONDS, RETRY_LONGEST_WAIT_SECONDS

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_no_wait_beyond: ContextVar[float | None] = ContextVar("no_wait_beyond", default=None)


@dataclass(frozen=True)
class Retries:
    """How often and how patiently to ask: waits grow from at most the first to at most the longest."""

    attempts: int = RETRY_ATTEMPTS
    first_wait_seconds: float = RETRY_FIRST_WAIT_SECONDS
    longest_wait_seconds: float = RETRY_LONGEST_WAIT_SECONDS

    def call(
        self,
        action: Callable[[], _T],
        *,
        service: str | None = None,
        may_repeat: Callable[[TransientError], bool] = lambda _: True,
    ) -> _T:
        """`action()`, again after a TransientError; any other error, and the last one, is raised.

        service: named in the error, unless it names another one. may_repeat: asked after each failure, for an action
        that cannot always be done twice. An error on which another ring has given up passes through: waits of rings
        in each other would multiply.
        """
        begun = time.monotonic()
        failed: list[TransientError] = []
        try:
            with asking(service):
                return action()
        except TransientError as error:  # from here on it is worth a ring, which costs more than most calls
            failed.append(error)

        def is_worth_it(error: BaseException) -> bool:
            return isinstance(error, TransientError) and not error.tries and may_repeat(error)

        def named() -> _T:
            if failed:
                raise failed.pop()  # the first try
            with asking(service):
                return action()

        retrying = Retrying(
            stop=_Stop(self.attempts),
            wait=self._wait,
            retry=retry_if_exception(is_worth_it),
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            return retrying(named)
        except TransientError as error:
            if not error.tries:
                error.given_up(int(retrying.statistics["attempt_number"]), time.monotonic() - begun)
            raise

    def _wait(self, state: RetryCallState) -> float:
        """A random part of the bound; not less than the service asked for, but never more than the longest wait."""
        jittered = wait_random_exponential(multiplier=self.first_wait_seconds, max=self.longest_wait_seconds)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, TransientError) else None
        return max(jittered, min(asked or 0.0, self.longest_wait_seconds))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """No call of this thread's block waits beyond so many seconds from its beginning: for what comes again by itself
    (a tick), and is cut off when it takes long."""
    token = _no_wait_beyond.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _no_wait_beyond.reset(token)


class _Stop(stop_after_attempt):
    """After so many attempts, or where the next wait would end too late for the block `within` which it is."""

    def __call__(self, retry_state: RetryCallState) -> bool:
        limit = _no_wait_beyond.get()
        is_late = limit is not None and time.monotonic() + retry_state.upcoming_sleep > limit
        return is_late or super().__call__(retry_state)


@contextmanager
def asking(service: str | None) -> Iterator[None]:
    """A TransientError of the block names `service`, unless it names another one that the block has used."""
    try:
        yield
    except TransientError as error:
        error.service = error.service or service
        raise


def retry_after_seconds(header: str | None) -> float | None:
    """What an HTTP answer's `Retry-After` asks for: seconds, or the time until a date. None where it says nothing."""
    if not header:
        return None
    text = header.strip()
    if text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    return max((moment - dt.datetime.now(dt.UTC)).total_seconds(), 0.0)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0.0
    _log.warning("attempt %d failed, trying again in %.2g s: %s", state.attempt_number, wait, error)
