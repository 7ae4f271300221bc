"""The ledger: every landing object ever seen, what became of it, and every attempt to load it.

What marks a partition as launched? Nothing in the ledger does: a mark set before the launch loses the partition when
the daemon stops in between, a mark set after it launches twice. Instead

- an object is *seen* until a run decides on it, so a sensor that starts again finds the same partitions pending;
- a pending partition has a *fingerprint* of its current objects and of how often each was asked for. The run key is
  made of it, so Dagster itself drops the second launch of the same content, and a new file, a new version or a
  replay launches again. It covers objects of every current state, so a run that only moves states changes nothing;
- a run *claims* the current objects of its partition when it starts (`start_attempts`). Claimed objects are not
  pending, and only the last claimer may decide on them. A run that is overtaken (a newer version, a replay, a second
  run of the partition) leaves the object as it is: it stays seen, and the run that was launched for it decides;
- a run that fails leaves its objects *failed* until someone asks for a replay, which raises their attempt. A run that
  died is found among `running_attempts`; `close_crashed` puts its objects back under a new attempt, a few times,
  also those that it had decided on: gold and warehouse come after that.

A launch that Dagster accepted and that never started (a cancelled queue, a deleted run) stays pending under a run key
that is used up: `mark_failed` for a run that failed in the queue, or `request_replay`, sets it free.

Not here: SQL (the modules below), the decision which institution owns a key, launching.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from etl_platform.errors import ConfigurationError
from etl_platform.ledger import (
    attempts,
    leaving,
    nobodys,
    pending,
    places,
    profiles,
    recording,
    reruns,
    roots,
    schemas,
    status,
    versions,
)
from etl_platform.ledger.database import LedgerDatabase
from etl_platform.ledger.given import in_chunks
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import (
    Attempt,
    AttemptTotals,
    DatasetPartition,
    DeliveredSchema,
    LandingObject,
    LedgerObject,
    MovedRoot,
    ObjectResult,
    Outcome,
    PartitionStatus,
    PendingPartition,
    Replay,
    State,
    Withdrawal,
)
from etl_platform.ledger.tables import attempts as attempts_table
from etl_platform.ledger.tables import landing_objects

# Objects recorded per transaction: about a second under the write lock, then others have their turn.
_TRANSACTION = 5_000

_t = landing_objects.c


class Ledger:
    """The ledger at `url` (`sqlite:////path` or `postgresql://...`). Opens nothing until its first use.

    read_only: creates no table and no file and refuses to write; a database that is not there yet is an empty one.

    Every method raises StorageUnavailableError when the database does not answer, StorageError when it refuses.
    Times are aware; those that come out are UTC.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._database = LedgerDatabase(url, read_only=read_only)

    def __repr__(self) -> str:
        return f"<{self._database.label}>"

    def close(self) -> None:
        """Return all connections. The ledger can be used again."""
        self._database.close()

    def together(self) -> AbstractContextManager[None]:
        """What this thread asks and tells inside is one transaction: for several short questions in a row. Others wait
        to write until it ends, so nothing else belongs inside."""
        return self._database.together()

    # What arrived

    def compare(self, objects: Sequence[LandingObject]) -> list[Finding]:
        """What each listed object is: known, known under another address, news, or to be told by its bytes. Of the
        last kind: ask again with its `sha256`."""
        if not objects:
            return []
        with self._database.read() as connection:
            return [compared.finding for compared in places.compare(connection, objects)]

    def unknown(self, objects: Sequence[LandingObject]) -> list[LandingObject]:
        """Those among the listed objects that are news, or may be."""
        findings = zip(objects, self.compare(objects), strict=True)
        return [found for found, finding in findings if finding in (Finding.NEWS, Finding.UNSURE)]

    def record_seen(self, objects: Sequence[LandingObject], *, now: dt.datetime) -> int:
        """Record routed objects; earlier contents of the same places become superseded, and a known content gets the
        address that it has now. Returns how many were news.

        Safe to repeat, and for several processes at once.
        """
        by_age = sorted(objects, key=lambda found: found.last_modified)
        news = 0
        for chunk in in_chunks(by_age, _TRANSACTION):
            with self._database.write() as connection:
                news += recording.insert_seen(connection, chunk, now)
        return news

    def record_unrouted(self, objects: Sequence[tuple[LandingObject, str]], *, now: dt.datetime) -> int:
        """Record objects that no institution claims, each with its reason. Returns how many are news."""
        fresh = 0
        for chunk in in_chunks(objects, _TRANSACTION):
            with self._database.write() as connection:
                fresh += nobodys.insert_unrouted(connection, chunk, now)
        return fresh

    def record_ignored(self, objects: Sequence[tuple[LandingObject, str]], *, now: dt.datetime) -> int:
        """Record objects that are nobody's by their name, each with its reason. Returns how many are news."""
        fresh = 0
        for chunk in in_chunks(objects, _TRANSACTION):
            with self._database.write() as connection:
                fresh += nobodys.insert_ignored(connection, chunk, now)
        return fresh

    def note_roots(self, urls: Mapping[str, str], *, now: dt.datetime) -> list[MovedRoot]:
        """The landing roots (name -> address) are there now. Returns those that were elsewhere before, once."""
        with self._database.read() as connection:
            before = roots.select_roots(connection)
        if all(before.get(name) == url for name, url in urls.items()):
            return []
        with self._database.write() as connection:
            return roots.note(connection, urls, now)

    def stuck(self, root_names: Sequence[str]) -> list[tuple[str, int]]:
        """Key and id, sorted, of every object below the roots that was refused, has failed or waits for a service."""
        with self._database.read() as connection:
            return leaving.select_stuck(connection, root_names)

    def mark_gone(self, ids: Sequence[int], *, now: dt.datetime) -> int:
        """These objects are in landing no longer and in no table: withdrawn. Returns how many."""
        if not ids:
            return 0
        with self._database.write() as connection:
            return leaving.mark_gone(connection, ids, now)

    def pending_partitions(self, limit: int, *, after: PendingPartition | None = None) -> list[PendingPartition]:
        """Partitions that need a run, longest waiting first. `after`: the last one of the page before."""
        with self._database.read() as connection:
            return pending.select_pending(connection, limit, after)

    # What runs do

    def start_attempts(self, run_id: str, partitions: Sequence[DatasetPartition], *, now: dt.datetime) -> None:
        """Put the run's attempts at the partitions on record and claim the partitions' current objects for it.

        Every step may call it: while an attempt runs it changes nothing more.
        """
        with self._database.write() as connection:
            attempts.start(connection, run_id, partitions, now)

    def mark_received(self, run_id: str, results: Sequence[ObjectResult], *, now: dt.datetime) -> int:
        """The run has the bytes of these objects: from now on they are known by them. Returns how many, as
        `mark_loaded`."""
        if not results:
            return 0
        with self._database.write() as connection:
            return recording.receive(connection, run_id, results, now)

    def mark_loaded(self, run_id: str, results: Sequence[ObjectResult], *, now: dt.datetime) -> int:
        """These objects' rows are in the tables. Returns how many; the others were taken from the run meanwhile."""
        return self._decide(run_id, State.LOADED, results, now)

    def mark_refused(self, run_id: str, results: Sequence[ObjectResult], *, now: dt.datetime) -> int:
        """These objects cannot be read at all, each for its `reason`. Returns how many, as `mark_loaded`."""
        return self._decide(run_id, State.REFUSED, results, now)

    def _decide(self, run_id: str, state: State, results: Sequence[ObjectResult], now: dt.datetime) -> int:
        if not results:
            return 0
        with self._database.write() as connection:
            return attempts.decide(connection, run_id, state, results, now)

    def mark_failed(self, run_id: str, partition: DatasetPartition, error: str, *, now: dt.datetime) -> int:
        """The run failed on the partition: what it left undecided waits for a replay. Returns how many objects.

        For a run without an attempt on record (it failed before its start) this is whatever waits unclaimed.
        """
        with self._database.write() as connection:
            return attempts.fail(connection, run_id, partition, error, now)

    def end_attempt(
        self,
        run_id: str,
        partition: DatasetPartition,
        *,
        totals: AttemptTotals,
        error: str | None = None,
        now: dt.datetime,
    ) -> bool:
        """Close the attempt: succeeded, or failed with `error`, which also marks what it left undecided as failed.

        False when there is no such attempt, or it is closed already.
        """
        outcome = Outcome.SUCCEEDED if error is None else Outcome.FAILED
        with self._database.write() as connection:
            if error is not None:
                attempts.fail(connection, run_id, partition, error, now)
            return attempts.end(connection, run_id, partition, outcome, totals=totals, error=error, now=now)

    def mark_unpublished(self, run_id: str, partition: DatasetPartition, error: str, *, now: dt.datetime) -> bool:
        """Gold or warehouse could not be written after the attempt had succeeded: it failed after all, and so did
        what it had loaded, which waits for a replay. False: the run has no success on record."""
        with self._database.write() as connection:
            return attempts.unpublish(connection, run_id, partition, error, now)

    def close_crashed(
        self, run_id: str, partition: DatasetPartition, *, error: str, attempts_limit: int = 3, now: dt.datetime
    ) -> bool:
        """Close the attempt of a run that died. Its objects wait again under a new attempt, so that the sensor launches
        them; those that were attempted `attempts_limit` times have failed. False: not running."""
        with self._database.write() as connection:
            closed = attempts.end(connection, run_id, partition, Outcome.CRASHED, totals=None, error=error, now=now)
            if closed:
                attempts.put_back(connection, run_id, partition, error=error, attempts_limit=attempts_limit, now=now)
            return closed

    def close_dead(
        self, run_id: str, *, error: str, attempts_limit: int = 3, now: dt.datetime
    ) -> list[DatasetPartition]:
        """Close all attempts of a run whose process is gone, as `close_crashed` does, and those that had succeeded but
        were not published yet. Returns the partitions whose objects wait again, or have failed at the limit."""
        with self._database.write() as connection:
            return attempts.close_dead(connection, run_id, error=error, attempts_limit=attempts_limit, now=now)

    def running_attempts(self) -> list[Attempt]:
        """Attempts without an end, oldest first: each should have a live run."""
        with self._database.read() as connection:
            return attempts.select_attempts(connection, attempts_table.c.outcome == Outcome.RUNNING)

    # What senders sent

    def record_schemas(
        self, run_id: str, partition: DatasetPartition, delivered: Sequence[DeliveredSchema], *, now: dt.datetime
    ) -> None:
        """The partition's deliveries have these columns, which differ so from what was expected. Safe to repeat."""
        with self._database.write() as connection:
            schemas.replace_schemas(connection, run_id, partition, delivered, now)

    def last_schema(self, partition: DatasetPartition, *, before_key: str | None = None) -> DeliveredSchema | None:
        """The delivery before the partition that a new one is compared with, or None. before_key: the partition's own
        other deliveries count too."""
        with self._database.read() as connection:
            return schemas.select_last(connection, partition, before_key=before_key)

    def schemas(self, partition: DatasetPartition) -> list[DeliveredSchema]:
        """The partition's present deliveries, in order."""
        with self._database.read() as connection:
            return schemas.select_schemas(connection, partition)

    def drifted(
        self, institutions: Sequence[str], datasets: Sequence[str], dates: Sequence[dt.date] | None = None
    ) -> list[DeliveredSchema]:
        """Deliveries whose columns differed, by date; those that were overwritten since, too. No dates: all."""
        with self._database.read() as connection:
            return schemas.select_drifted(connection, dates, institutions, datasets)

    def record_profile(
        self, partition: DatasetPartition, rows: int, profile: dict[str, Any], *, now: dt.datetime
    ) -> None:
        """What the partition's stored rows look like in sum."""
        with self._database.write() as connection:
            profiles.replace_profile(connection, partition, rows, profile, now)

    def earlier_profiles(self, partition: DatasetPartition, count: int) -> list[dict[str, Any]]:
        """Profiles of the last `count` earlier dates with rows, newest first."""
        with self._database.read() as connection:
            return profiles.select_earlier(connection, partition, count)

    # What people ask

    def request_replay(
        self,
        *,
        institution: str | None = None,
        dataset: str | None = None,
        business_date: dt.date | None = None,
        now: dt.datetime,
    ) -> int:
        """Let the current objects of all matching partitions be loaded again. Returns how many objects.

        Raises ConfigurationError when nothing is named: that would be everything ever received.
        """
        if institution is None and dataset is None and business_date is None:
            raise ConfigurationError(
                "replay",
                found="no institution, dataset or date",
                expected="at least one of them",
                next_step="name what to load again",
            )
        with self._database.write() as connection:
            return attempts.replay(
                connection, institution=institution, dataset=dataset, business_date=business_date, now=now
            )

    def objects(
        self,
        *,
        partition: DatasetPartition | None = None,
        uri: str | None = None,
        key: str | None = None,
        states: Sequence[State] | None = None,
        limit: int | None = None,
    ) -> list[LedgerObject]:
        """Objects that match all that is given, in the order in which they were recorded."""
        conditions = [attempts.is_of(partition)] if partition else []
        if uri is not None:
            conditions.append(_t.uri == uri)
        if key is not None:
            conditions.append(_t.key == key)
        if states is not None:
            conditions.append(_t.state.in_(states))
        with self._database.read() as connection:
            return status.select_objects(connection, *conditions, limit=limit)

    def unrouted(self, limit: int, *, before_id: int | None = None) -> list[LedgerObject]:
        """Objects that no institution claims, newest first. `before_id`: the last id of the page before."""
        conditions = [_t.state == State.UNROUTED]
        if before_id is not None:
            conditions.append(_t.id < before_id)
        with self._database.read() as connection:
            return status.select_objects(connection, *conditions, newest_first=True, limit=limit)

    def ignored(self, limit: int, *, before_id: int | None = None) -> list[LedgerObject]:
        """Objects that are nobody's by their name, newest first. `before_id`: the last id of the page before."""
        conditions = [_t.state == State.IGNORED]
        if before_id is not None:
            conditions.append(_t.id < before_id)
        with self._database.read() as connection:
            return status.select_objects(connection, *conditions, newest_first=True, limit=limit)

    def objects_of(self, partitions: Sequence[DatasetPartition]) -> list[LedgerObject]:
        """Everything that was ever part of these partitions of one institution and dataset."""
        if not partitions:
            return []
        conditions = (
            _t.institution == partitions[0].institution,
            _t.dataset == partitions[0].dataset,
            _t.business_date.in_([partition.business_date for partition in partitions]),
        )
        with self._database.read() as connection:
            return status.select_objects(connection, *conditions)

    def excluded(self, partition: DatasetPartition) -> frozenset[tuple[str, str]]:
        """(key, sha256), or (key, identity) of what no run has read, of contents that a run leaves out: withdrawn,
        unrouted or ignored by now, or overwritten before their rows were ever published."""
        with self._database.read() as connection:
            return leaving.select_excluded(connection, partition)

    def withdraw(self, found: LedgerObject, *, reason: str, by: str, now: dt.datetime) -> bool:
        """Take one object out of its partition, which runs again without it. False: it is no part of it."""
        with self._database.write() as connection:
            return leaving.withdraw(connection, found, reason, by, now)

    def undo_withdrawal(self, found: LedgerObject, *, by: str, now: dt.datetime) -> bool:
        """Put a withdrawn object back. False: a newer content of its key is part of the partition."""
        with self._database.write() as connection:
            return leaving.restore(connection, found, by, now)

    def withdrawals(self, limit: int) -> list[Withdrawal]:
        """What people took out, the latest first."""
        with self._database.read() as connection:
            return leaving.select_withdrawals(connection, limit)

    def open_reruns(self) -> dict[DatasetPartition, str]:
        """Partitions that are to run again because an object was taken out of them, each with the reason."""
        with self._database.read() as connection:
            return reruns.select_open(connection)

    def near_keys(self, key: str, limit: int) -> list[str]:
        """Some keys on record that begin or end like `key`."""
        with self._database.read() as connection:
            return status.select_near_keys(connection, key, limit)

    def fresh_sizes(self, institution: str, dataset: str) -> dict[dt.date, int]:
        """Bytes that make up each partition, of those in which no object has failed."""
        with self._database.read() as connection:
            return status.select_fresh_sizes(connection, institution, dataset)

    def status_matrix(
        self, dates: Sequence[dt.date], institutions: Sequence[str], datasets: Sequence[str]
    ) -> dict[DatasetPartition, PartitionStatus]:
        """What the ledger knows of each partition; those of which it knows nothing are missing."""
        with self._database.read() as connection:
            return status.select_status(connection, dates, institutions, datasets)

    def rows_of_earlier_dates(self, partition: DatasetPartition, days: int) -> list[int]:
        """Silver rows of the last `days` earlier business dates with loaded objects, newest first."""
        with self._database.read() as connection:
            return status.select_earlier_rows(connection, partition, days)

    def latest_loaded_date(self, partition: DatasetPartition) -> dt.date | None:
        """The last business date, up to the partition's own, on which its dataset has loaded objects; None: never."""
        with self._database.read() as connection:
            return status.select_latest_loaded_date(connection, partition)

    # Which rules judged, and what was replayed

    def record_version(
        self, run_id: str, partitions: Sequence[DatasetPartition], version: str, document: str, *, now: dt.datetime
    ) -> None:
        """The run's attempts at the partitions of one dataset are judged under the rules that `document` holds."""
        with self._database.write() as connection:
            versions.record(connection, run_id, partitions, version, document, now)

    def rule_version(self, partition: DatasetPartition, run_id: str | None = None) -> str | None:
        """The rules under which what is stored of the partition was judged, or those of that run."""
        with self._database.read() as connection:
            return versions.select_version(connection, partition, run_id)

    def rule_document(self, version: str) -> str | None:
        """What a version says, as JSON text."""
        with self._database.read() as connection:
            return versions.select_document(connection, version)

    def quarantined_partitions(
        self, institutions: Sequence[str], datasets: Sequence[str], dates: Sequence[dt.date] | None
    ) -> list[DatasetPartition]:
        """The partitions of which rows or files are in quarantine, oldest first. dates: None for all."""
        with self._database.read() as connection:
            return versions.select_quarantined(connection, institutions, datasets, dates)

    def record_replays(self, found: Sequence[Replay]) -> None:
        """Put replays on record as they are asked for."""
        with self._database.write() as connection:
            versions.insert_replays(connection, found)

    def end_replay(self, replay: Replay) -> None:
        """Put the result of a replay on record."""
        with self._database.write() as connection:
            versions.update_replay(connection, replay)

    def replays(self, limit: int) -> list[Replay]:
        """What was replayed, the latest first."""
        with self._database.read() as connection:
            return versions.select_replays(connection, limit)

    def latest_attempt(self, partition: DatasetPartition) -> Attempt | None:
        """The attempt at the partition that started last, or None."""
        with self._database.read() as connection:
            return status.select_latest_attempt(connection, partition)

    def check(self) -> str:
        """One line for people when the ledger can be read and written."""
        with self._database.write() as connection:
            status.try_write(connection)
            return f"{self._database.label}: {status.describe(connection)}"
