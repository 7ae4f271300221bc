"""What goes into the ledger and what comes out: plain values and the names of states and outcomes.

Not here: SQL (`tables.py` and the modules above it).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from etl_platform.delivery import Delivery

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class State(StrEnum):
    """What became of a landing object. `law.py` says how it gets from one to the next."""

    SEEN = "seen"
    WAITING = "waiting"
    LOADED = "loaded"
    REFUSED = "refused"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    UNROUTED = "unrouted"
    IGNORED = "ignored"


CURRENT = (State.SEEN, State.WAITING, State.LOADED, State.REFUSED, State.FAILED)
"""States of the objects that make up a partition today: routed, and not replaced by a newer version."""


DELETED = "deleted from landing"
"""The reason of what is withdrawn because it lies in landing no more: nobody's decision."""

WHOLE_KEY = ""
"""Instead of the name of one content: all that a key has replaced."""


class Outcome(StrEnum):
    """How far an attempt at a partition came: `checked` is stored and right, `succeeded` is published."""

    RUNNING = "running"
    CHECKED = "checked"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CRASHED = "crashed"


@dataclass(frozen=True)
class LandingObject:
    """One object as the landing store lists it. The partition fields are all None while no institution claims it.

    root: name of its landing root. also: other names under which its place may be on record (institutions that share a
    root). is_ignored: nobody's by its name. is_held: nobody's for now, until its institution's file is repaired.
    sha256: of its content, where that was looked at.
    """

    institution: str | None
    dataset: str | None
    business_date: dt.date | None
    root: str
    uri: str
    key: str
    etag: str | None
    version: str | None
    size: int
    last_modified: dt.datetime
    sha256: str | None = field(default=None, compare=False)
    also: tuple[str, ...] = field(default=(), compare=False)
    is_ignored: bool = field(default=False, compare=False)
    is_held: bool = field(default=False, compare=False)

    @property
    def identity(self) -> str:
        """What tells one content of a place from the next: version, else etag, else size and time of modification."""
        # S3 calls every object of an unversioned bucket version "null", whatever its content.
        if self.version and self.version != "null":
            return self.version
        if self.etag:
            return self.etag.strip('"')  # clients disagree on whether the quotes belong to the tag
        return f"{self.size}-{(self.last_modified - _EPOCH) // dt.timedelta(microseconds=1)}"


@dataclass(frozen=True)
class ObjectResult:
    """What a run found in one object. `reason` says why a refused one cannot be read."""

    root: str
    key: str
    identity: str
    sha256: str | None = None
    rows_read: int = 0
    rows_silver: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class LedgerObject:
    """One row of the ledger. `run_id` is the run that brought it to its state, `claimed_by` the last that took it."""

    id: int
    institution: str | None
    dataset: str | None
    business_date: dt.date | None
    root: str
    uri: str
    key: str
    identity: str
    etag: str | None
    version: str | None
    size: int
    last_modified: dt.datetime
    sha256: str | None
    first_seen_at: dt.datetime
    updated_at: dt.datetime
    state: State
    reason: str | None
    attempt: int
    claimed_by: str | None
    run_id: str | None
    is_published: bool
    rows_read: int | None
    rows_silver: int | None
    rows_quarantined: int | None
    rows_duplicate: int | None

    @property
    def is_withdrawn(self) -> bool:
        """Whether a person took it out. What was deleted from landing was taken out by nobody: it comes back by
        itself."""
        return self.state is State.WITHDRAWN and self.reason != DELETED

    def landing_object(self) -> LandingObject:
        """The object as it was listed."""
        return LandingObject(
            institution=self.institution,
            dataset=self.dataset,
            business_date=self.business_date,
            root=self.root,
            uri=self.uri,
            key=self.key,
            etag=self.etag,
            version=self.version,
            size=self.size,
            last_modified=self.last_modified,
        )


@dataclass(frozen=True)
class PendingPartition:
    """A partition that needs a run. `fingerprint` names its present content and attempt (see `ledger.py`).

    waiting_since / newest_first_seen: when the first and the last of its waiting objects were recorded.
    """

    partition: Delivery
    fingerprint: str
    waiting_since: dt.datetime
    newest_first_seen: dt.datetime


@dataclass(frozen=True)
class AttemptTotals:
    """What an attempt counted, over all objects of its partition."""

    rows_read: int = 0
    rows_silver: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    checks_passed: int = 0
    checks_failed: int = 0


@dataclass(frozen=True)
class Attempt:
    """One attempt of a run at a partition. `seconds` and `totals` are None while it is running or when it crashed."""

    run_id: str
    partition: Delivery
    started_at: dt.datetime
    outcome: Outcome
    ended_at: dt.datetime | None
    seconds: float | None
    error: str | None
    totals: AttemptTotals | None


@dataclass(frozen=True)
class Trouble:
    """What went wrong with a partition and may pass. service: the one it waits for, or None where it does not wait.

    deaths: runs that died since the last success. failures: of today, while the service answered. next_try_at: None
    while the service is away, or nobody has asked it yet. number: grows with all that happens here.
    """

    partition: Delivery
    service: str | None
    error: str
    since: dt.datetime
    deaths: int
    failures: int
    next_try_at: dt.datetime | None
    number: int


class Kind(StrEnum):
    """In which way a partition is not well."""

    FAILED = "failed"
    REFUSED = "refused"
    WAITING = "waiting"


@dataclass(frozen=True)
class Unwell:
    """A partition that failed, of which a file was refused, or that waits. service, next_try_at: of one that waits;
    without a time it is tried when the service answers."""

    partition: Delivery
    kind: Kind
    reason: str
    service: str | None = None
    next_try_at: dt.datetime | None = None


@dataclass(frozen=True)
class Write:
    """Run `writer` is writing the published `table` of the partition from what the attempt of another run stored."""

    writer: str
    partition: Delivery
    table: str
    attempt_run_id: str


@dataclass(frozen=True)
class Lease:
    """Somebody is about to start a run of the partition."""

    partition: Delivery
    holder: str
    taken_at: dt.datetime


@dataclass(frozen=True)
class Unpublished:
    """A checked attempt whose rows are not in all tables of gold and warehouse. fingerprint: names the next try."""

    attempt: Attempt
    fingerprint: str

    @property
    def partition(self) -> Delivery:
        return self.attempt.partition


@dataclass(frozen=True)
class Overlap:
    """What is known of one date's rows that other dates may hold as well. None: nothing, it was stored before anybody
    counted them, or exposed was counted under other rules.

    exposed: so many may be held by another date. held: so many are, and are not in silver. outcome, run_id: of its
    latest attempt. was_published: whether any attempt at it has ever succeeded.
    """

    business_date: dt.date
    exposed: int | None
    held: int | None
    outcome: Outcome
    run_id: str
    was_published: bool

    @property
    def is_checked(self) -> bool:
        """Whether what it has stored passed its checks: only then others may leave rows to it."""
        return self.outcome in (Outcome.CHECKED, Outcome.SUCCEEDED)


@dataclass(frozen=True)
class PartitionStatus:
    """What the ledger knows of one partition: objects per state, rows of the loaded ones, the latest attempt, what was
    published last (None: nothing yet), what it waits for, and why it is to be run again (None: it is not)."""

    objects: dict[State, int] = field(default_factory=dict)
    rows_read: int = 0
    rows_silver: int = 0
    rows_quarantined: int = 0
    rows_duplicate: int = 0
    last_recorded_at: dt.datetime | None = None
    latest_attempt: Attempt | None = None
    published: Attempt | None = None
    trouble: Trouble | None = None
    asked: str | None = None


@dataclass(frozen=True)
class DeliveredSchema:
    """The columns of one delivered object and how they differ from what was expected, as plain JSON values.

    delivery: its order in the partition, from 1. policy: what the institution's file said at the time. is_baseline:
    whether the next delivery is compared with it (not: refused, or stopped before it was published). is_current: false
    once the sender has overwritten the object.
    """

    partition: Delivery
    root: str
    uri: str
    sha256: str
    key: str
    delivery: int
    format: str
    policy: str
    columns: list[dict[str, Any]]
    differences: list[dict[str, Any]]
    is_baseline: bool = True
    is_current: bool = True
    recorded_at: dt.datetime | None = None


@dataclass(frozen=True)
class Replay:
    """One partition run again for the sake of its quarantine. The result is None until its run has ended.

    replay_id: shared by the partitions that were asked for together. rows_moved: from quarantine to silver.
    """

    replay_id: str
    partition: Delivery
    requested_at: dt.datetime
    requested_by: str
    reason: str
    version_before: str | None
    rows_quarantined_before: int
    run_id: str | None = None
    version_after: str | None = None
    rows_quarantined_after: int | None = None
    rows_moved: int | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class Withdrawal:
    """One object taken out by a person: who, when and why, and who put it back, if somebody did."""

    id: int
    object_id: int
    root: str
    key: str
    identity: str
    reason: str
    requested_by: str
    requested_at: dt.datetime
    undone_by: str | None
    undone_at: dt.datetime | None


@dataclass(frozen=True)
class MovedRoot:
    """A landing root that has another address than it had."""

    name: str
    url_before: str
    url: str

    def __str__(self) -> str:
        return (
            f"landing root {self.name}: found at {self.url}; expected at {self.url_before}, where it was; next step: "
            "none where it was moved, since what it holds is told by content; else correct ETL_LANDING or `landing:`"
        )
