"""What can go wrong, each with its message.

Every error names the thing (institution, key, partition, column), what was found, what was expected and the
next step. `PermanentError`s are never retried: the same call would fail again. `TransientError`s may pass.
Bad *data* is not an exception: it is a quarantined row or a refused file, and a failed check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self


class EtlError(Exception):
    """Base of all errors of the platform.

    subject: the thing, e.g. ``institution_a prices 2025-01-15 key institution_a/prices/.../bars.csv``.
    found / expected: what was there and what should have been. next_step: what the reader should do now.
    """

    def __init__(self, subject: str, *, found: str, expected: str = "", next_step: str = "") -> None:
        self.subject, self.found, self.expected, self.next_step = subject, found, expected, next_step
        super().__init__(self._message(found))

    def _message(self, found: str) -> str:
        parts = [f"{self.subject}: {found}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.next_step:
            parts.append(f"next step: {self.next_step}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple[Callable[..., EtlError], tuple[Any, ...]]:
        # Exceptions are rebuilt from `args` alone, which lacks the named parts: a worker's error would not arrive.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[EtlError], args: tuple[Any, ...], facts: dict[str, Any]) -> EtlError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class PermanentError(EtlError):
    """The same call would fail again: never retried."""


class TransientError(EtlError):
    """A service that may come back (time-out, throttling, 5xx, serialization failure): retried with a limit.

    service: its name for people and for what waits for it (`lake`, `landing`, `warehouse`, `ledger`); None until the
    store that was asked has said so. retry_after: seconds that it asked to be left alone. tries, seconds: how often and
    how long it was asked before this was raised (see `retries.py`); no tries: nobody has tried again yet.
    """

    def __init__(
        self,
        subject: str,
        *,
        found: str,
        expected: str = "",
        next_step: str = "",
        service: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.service, self.retry_after = service, retry_after
        self.tries, self.seconds = 0, 0.0
        super().__init__(subject, found=found, expected=expected, next_step=next_step)

    def given_up(self, tries: int, seconds: float) -> Self:
        """This error, which now says after how many tries in how many seconds it was the last answer."""
        self.tries, self.seconds = tries, seconds
        spelled = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
        times = "1 try" if tries == 1 else f"{tries} tries"
        self.args = (self._message(f"gave up after {times} in {spelled} s; last answer: {self.found}"),)
        return self


class ConfigurationError(PermanentError):
    """A setting, an institution file or a dataset declaration is wrong."""


class UnknownNameError(ConfigurationError):
    """A date, institution, dataset, table or rule that does not exist; the message lists the near matches."""


class FileRefusedError(PermanentError):
    """A landing object that cannot be read at all. `rule` is the name under which it enters quarantine.

    Raised by readers and turned into a file-level quarantine row by the silver step; it never ends a run.
    """

    def __init__(self, subject: str, *, rule: str, found: str, expected: str = "", next_step: str = "") -> None:
        self.rule = rule
        super().__init__(subject, found=found, expected=expected, next_step=next_step)


class AttemptLostError(PermanentError):
    """A run goes on whose attempt was ended by others, who took it for dead."""


class SchemaMismatchError(PermanentError):
    """A frame or a stored table does not have the schema of its contract; names each differing column."""


class PartitionMismatchError(PermanentError):
    """A write holds rows of a partition (date, institution) that it was not asked to replace."""


class UnsupportedTypeError(PermanentError):
    """An asset gave or asked for a type that the IO managers do not know."""


class QueryError(PermanentError):
    """What a person asked of the tables is wrong SQL, or more than reading them."""


class StorageError(PermanentError):
    """A lake, database or ledger refused: wrong credentials, missing privilege, full disk, corrupt object."""


class StorageUnavailableError(TransientError):
    """A lake, database or ledger did not answer or asked to try again."""


class DeliveryRefusedError(PermanentError):
    """A delivery that can be read is not published, by its institution's own rules: too many bad rows, drift, rows that
    are final, a broken rule of gold. facts: what people look at beside the message, by name.
    """

    def __init__(
        self,
        subject: str,
        *,
        found: str,
        expected: str = "",
        next_step: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.facts = facts or {}
        super().__init__(subject, found=found, expected=expected, next_step=next_step)


class HeldBackError(PermanentError):
    """A run stops at what others do, or have not done: nothing that is on record has failed by that."""
