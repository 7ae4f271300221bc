"""The ledger: every landing object ever seen, what became of it, and every attempt to load it.

The law of a delivery (`law.py` has it as a table, `docs/ledger.md` as a picture):

- an object is *seen* until a run decides on it, so a sensor that starts again finds the same partitions pending;
- a pending partition has a *fingerprint* of its current objects and of how often each was asked for. The run key is
  made of it, so Dagster itself drops the second launch of the same content, and a new file, a new version or a
  replay launches again. It covers objects of every current state, so a run that only moves states changes nothing;
- who is about to start a run *leases* the partition, so that nobody else starts a second one;
- a run *claims* the current objects of its partition when it starts (`start_attempts`). Claimed objects are not
  pending, and only the last claimer may decide on them. While an attempt of a living run is open nobody else begins;
- an attempt is *checked* once what it stored passed the checks, and *succeeded* once every table of gold and warehouse
  holds it (`publish`), whichever run wrote them. What is checked and not published is found by `unpublished`;
- a run that fails leaves its objects *failed* until someone asks for a replay, which raises their attempt. One that
  failed by a service that is away leaves them *waiting* (`waiting.py`). What a run that died had taken waits again.

Not here: SQL (the modules below), the decision which institution owns a key, launching, who is alive.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any

from etl_platform.delivery import Delivery
from etl_platform.errors import ConfigurationError
from etl_platform.ledger import (
    attempt_rows,
    attempts,
    heartbeats,
    leases,
    leaving,
    nobodys,
    pending,
    places,
    profiles,
    publications,
    published,
    recording,
    reruns,
    root_names,
    roots,
    schemas,
    shared_keys,
    status,
    troubles,
    unwell,
    versions,
    waiting,
)
from etl_platform.ledger.bound_rows import in_chunks
from etl_platform.ledger.database import LedgerDatabase
from etl_platform.ledger.law import Happens
from etl_platform.ledger.places import Finding
from etl_platform.ledger.records import (
    Attempt,
    AttemptTotals,
    DeliveredSchema,
    LandingObject,
    Lease,
    LedgerObject,
    MovedRoot,
    ObjectResult,
    Overlap,
    PartitionStatus,
    PendingPartition,
    Replay,
    State,
    Trouble,
    Unpublished,
    Unwell,
    Withdrawal,
    Write,
)
from etl_platform.ledger.revision import refuse_newer, refuse_old
from etl_platform.ledger.tables import attempts as attempts_table
from etl_platform.ledger.tables import landing_objects
from etl_platform.limits import DEATHS_LIMIT, TRANSACTION_OBJECTS
from etl_platform.retries import Retries

_t = landing_objects.c


class Ledger:
    """The ledger at `url` (`sqlite:////path` or `postgresql://...`). Opens nothing until its first use.

    read_only: creates no table and no file and refuses to write; a database that is not there yet is an empty one.

    retries: how a database that does not answer is asked again before that; by default it is not.

    Every method raises StorageUnavailableError when the database does not answer, StorageError when it refuses.
    Times are aware; those that come out are UTC.
    """

    def __init__(self, url: str, *, read_only: bool = False, retries: Retries | None = None) -> None:
        self._database = LedgerDatabase(url, read_only=read_only, retries=retries)
        self._root_names: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<{self._database.label}>"

    def refuse_other(self) -> None:
        """Raises StorageError for a ledger of another version's code. Nothing is created or changed."""
        found = self._database.revision()
        refuse_newer(found, self._database.label)
        refuse_old(found, self._database.label)

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
        for chunk in in_chunks(by_age, TRANSACTION_OBJECTS):
            with self._database.write() as connection:
                news += recording.insert_seen(connection, chunk, now)
        return news

    def record_unrouted(self, objects: Sequence[tuple[LandingObject, str]], *, now: dt.datetime) -> int:
        """Record objects that no institution claims, each with its reason. Returns how many are news."""
        fresh = 0
        for chunk in in_chunks(objects, TRANSACTION_OBJECTS):
            with self._database.write() as connection:
                fresh += nobodys.insert_unrouted(connection, chunk, now)
        return fresh

    def record_ignored(self, objects: Sequence[tuple[LandingObject, str]], *, now: dt.datetime) -> int:
        """Record objects that are nobody's by their name, each with its reason. Returns how many are news."""
        fresh = 0
        for chunk in in_chunks(objects, TRANSACTION_OBJECTS):
            with self._database.write() as connection:
                fresh += nobodys.insert_ignored(connection, chunk, now)
        return fresh

    def has_objects(self, roots: Sequence[str]) -> bool:
        """Whether anything below roots of these names is on record."""
        with self._database.read() as connection:
            return status.has_objects(connection, roots)

    def note_roots(
        self, urls: Mapping[str, str], names: Mapping[str, str] | None = None, *, now: dt.datetime
    ) -> list[MovedRoot]:
        """The landing roots (name -> address) are there now. Returns those that were elsewhere before, once.

        names: institution -> name of its root. Under another name than before it has what it delivered under that one.
        Looked at once in a process, and when they change.
        """
        wanted = dict(names or {})
        with self._database.read() as connection:
            before = roots.select_roots(connection)
            are_named = wanted == self._root_names or not root_names.are_due(connection, wanted)
        if not are_named or any(before.get(name) != url for name, url in urls.items()):
            with self._database.write() as connection:
                root_names.name_roots(connection, wanted)
                root_names.take_over(connection, urls, roots.select_roots(connection))
                moved = roots.note(connection, urls, now)
        else:
            moved = []
        self._root_names = wanted
        return moved

    def stuck(self, root_names: Sequence[str]) -> list[tuple[str, int]]:
        """Key and id, sorted, of every object below the roots that was refused, has failed or waits for a service."""
        with self._database.read() as connection:
            return leaving.select_stuck(connection, root_names)

    def mark_gone(self, ids: Sequence[int], *, run_id: str | None = None, now: dt.datetime) -> int:
        """These objects are in landing no longer and in no table: withdrawn. Returns how many.

        What had been published at their places counts again, and is the run's that found it out."""
        if not ids:
            return 0
        with self._database.write() as connection:
            return leaving.mark_gone(connection, ids, run_id, now)

    def pending_partitions(self, limit: int, *, after: PendingPartition | None = None) -> list[PendingPartition]:
        """Partitions that need a run, longest waiting first. `after`: the last one of the page before."""
        with self._database.read() as connection:
            return pending.select_pending(connection, limit, after)

    def unpublished(self) -> list[Unpublished]:
        """Checked attempts that are not in gold and warehouse yet and wait for no service, oldest first."""
        with self._database.read() as connection:
            return pending.select_unpublished(connection)

    # Who is about to run what

    def leases(self) -> list[Lease]:
        """What somebody is about to start."""
        with self._database.read() as connection:
            return leases.select_leases(connection)

    def take_leases(
        self, wanted: Mapping[Delivery, str], *, void: Collection[str] = (), now: dt.datetime
    ) -> list[Delivery]:
        """Lease each partition to its holder, until an attempt at it begins. void: holders who are gone. Returns those
        that were free: of two that want the same, one gets it."""
        if not wanted:
            return []
        with self._database.write() as connection:
            return leases.take(connection, wanted, void, now)

    def give_back_leases(self, holders: Collection[str]) -> None:
        """These holders start nothing more."""
        with self._database.write() as connection:
            leases.give_back_all(connection, holders)

    def beat(self, name: str) -> None:
        """The executing run of that name is alive."""
        with self._database.write() as connection:
            heartbeats.beat(connection, name)

    def silent(self, names: Collection[str], *, now: dt.datetime) -> list[str]:
        """Those of which nothing was heard for HEARTBEAT_SILENCE since somebody asked first."""
        if not names:
            return []
        with self._database.write() as connection:
            return heartbeats.silent(connection, names, now)

    def has_beaten(self, name: str) -> bool:
        """Whether the process of that name has said that it is alive, and not that it has ended."""
        with self._database.read() as connection:
            return heartbeats.is_known(connection, name)

    def forget_beats(self, names: Collection[str]) -> None:
        """They have ended."""
        with self._database.write() as connection:
            heartbeats.forget(connection, names)

    # What runs do

    def start_attempts(
        self, run_id: str, partitions: Sequence[Delivery], *, dead: Collection[str] = (), now: dt.datetime
    ) -> list[Attempt]:
        """Put the run's attempts at the partitions on record and claim the partitions' current objects for it.

        Every step may call it: what the run has on record already stays as it is. dead: runs that are known to be
        gone. Returns open attempts of other runs that are in the way; then nothing was begun.
        """
        with self._database.write() as connection:
            return attempts.start(connection, run_id, partitions, dead, now)

    def mark_received(self, run_id: str, results: Sequence[ObjectResult], *, now: dt.datetime) -> int:
        """The run has the bytes of these objects: from now on they are known by them. Returns how many, as
        `mark_loaded`."""
        if not results:
            return 0
        with self._database.write() as connection:
            return recording.receive(connection, run_id, results, now)

    def mark_loaded(self, run_id: str, results: Sequence[ObjectResult], *, now: dt.datetime) -> int:
        """These objects' rows are in the tables. Returns how many; the others were taken from the run meanwhile."""
        return self._decide(run_id, Happens.LOADED, results, now)

    def mark_refused(self, run_id: str, results: Sequence[ObjectResult], *, now: dt.datetime) -> int:
        """These objects cannot be read at all, each for its `reason`. Returns how many, as `mark_loaded`."""
        return self._decide(run_id, Happens.REFUSED, results, now)

    def _decide(self, run_id: str, event: Happens, results: Sequence[ObjectResult], now: dt.datetime) -> int:
        if not results:
            return 0
        with self._database.write() as connection:
            return attempts.decide(connection, run_id, event, results, now)

    def end_checks(
        self,
        run_id: str,
        partition: Delivery,
        *,
        totals: AttemptTotals,
        error: str | None = None,
        now: dt.datetime,
    ) -> bool:
        """What the attempt stored was checked: gold and warehouse may take it, or it failed with `error`.

        False when the run has no running attempt on record.
        """
        with self._database.write() as connection:
            return attempts.check(connection, run_id, partition, totals, error, now)

    def publish(
        self,
        run_id: str,
        partition: Delivery,
        tables: Collection[str],
        *,
        wanted: Mapping[str, str | None],
        writer: str | None = None,
        now: dt.datetime,
    ) -> bool:
        """`tables` hold what the attempt of that run stored. With all of `wanted` it has succeeded: then true, unless
        another run is still writing one of them.

        wanted: each table that is to hold it -> the one of them that it is written from, sources first. writer: the
        run that wrote them, where it is another one."""
        with self._database.write() as connection:
            return publications.publish(connection, run_id, partition, tables, wanted, writer or run_id, now)

    def begin_write(self, write: Write) -> None:
        """A run is about to write a published table from what another run's attempt stored. `publish` ends it; where
        the run says nothing more, `drop_write`."""
        with self._database.write() as connection:
            publications.begin_write(connection, write)

    def writes(self) -> list[Write]:
        """What runs have begun to write so and not ended."""
        with self._database.read() as connection:
            return publications.select_writes(connection)

    def drop_write(self, write: Write, *, wanted: Mapping[str, str | None]) -> None:
        """The writer is gone: what it may have overwritten is to be published again."""
        with self._database.write() as connection:
            publications.drop_write(connection, write, wanted)

    def mark_failed(self, run_id: str, partition: Delivery, error: str, *, now: dt.datetime) -> bool:
        """The run failed on the partition: its open attempt ends, and what it left undecided, or could not publish,
        waits for a replay. False: it has no open attempt."""
        with self._database.write() as connection:
            return attempts.fail(connection, run_id, partition, error, now)

    def mark_unstarted(self, run_id: str, partition: Delivery, error: str, *, now: dt.datetime) -> int:
        """The run failed before its start: whatever waits unclaimed waits for a replay. Returns how many objects."""
        with self._database.write() as connection:
            return attempts.fail_unstarted(connection, run_id, partition, error, now)

    def mark_unpublished(self, partition: Delivery, error: str, *, now: dt.datetime) -> bool:
        """Gold or warehouse refused what a checked attempt stored: it failed after all, and so did what it had loaded,
        which waits for a replay. False: nothing waits for them."""
        with self._database.write() as connection:
            return attempts.fail_publication(connection, partition, error, now)

    def mark_waiting(
        self,
        run_id: str,
        partition: Delivery,
        service: str,
        error: str,
        *,
        is_first: bool = False,
        now: dt.datetime,
    ) -> bool:
        """A service that may come back failed the run: the partition waits for it. is_first: before the run had begun.
        False: nothing of the partition is open."""
        with self._database.write() as connection:
            return waiting.wait(connection, run_id, partition, service, error, is_first=is_first, now=now)

    def leave(self, run_id: str, partition: Delivery, error: str, *, now: dt.datetime) -> None:
        """A run over many partitions leaves this one to a run of its own, for `error`."""
        with self._database.write() as connection:
            attempts.leave(connection, run_id, partition, error, now)

    def close_dead(
        self, run_id: str, *, error: str, deaths_limit: int = DEATHS_LIMIT, now: dt.datetime
    ) -> list[Delivery]:
        """End the open attempts of a run that is gone. Its objects wait again, so that they are launched; of a
        partition at which `deaths_limit` runs in a row have died they failed. What was checked stays so, for gold and
        warehouse. Returns the partitions that wait."""
        with self._database.write() as connection:
            open_ones = attempt_rows.select_attempts(connection, attempts_table.c.run_id == run_id)
            partitions = [attempt.partition for attempt in open_ones if attempt.outcome in attempts.OPEN]
            return [p for p in partitions if attempts.die(connection, run_id, p, error, deaths_limit, now)]

    def close_unstarted(
        self,
        run_id: str,
        partitions: Sequence[Delivery],
        *,
        error: str,
        deaths_limit: int = DEATHS_LIMIT,
        now: dt.datetime,
    ) -> list[Delivery]:
        """A run is gone that had not begun any attempt: what it was launched for waits again, or has failed at the
        limit. Returns what waits."""
        with self._database.write() as connection:
            return [p for p in partitions if attempts.die_unstarted(connection, run_id, p, error, deaths_limit, now)]

    def attempts_of(self, run_id: str) -> list[Attempt]:
        """All attempts of a run, oldest first."""
        with self._database.read() as connection:
            return attempt_rows.select_attempts(connection, attempts_table.c.run_id == run_id)

    def open_attempts(self) -> list[Attempt]:
        """Attempts without an end, oldest first: each has a live run, or waits for gold and warehouse."""
        with self._database.read() as connection:
            is_open = attempts_table.c.outcome.in_([outcome.value for outcome in attempts.OPEN])
            return attempt_rows.select_attempts(connection, is_open)

    # What is away

    def troubles(self) -> list[Trouble]:
        """What went wrong with partitions and may pass, the longest first."""
        with self._database.read() as connection:
            return troubles.select_troubles(connection)

    def judge_service(
        self, service: str, found: str | None, *, limit: int, at_once: bool = False, now: dt.datetime
    ) -> tuple[list[Delivery], list[Delivery]]:
        """A service that partitions wait for was asked: it answers (found None), or this is what came instead.
        at_once: a person asks for them, so that no delay and no limit holds.

        Returns the partitions that wait no more, and those that failed more than `limit` times today while it answered.
        """
        with self._database.write() as connection:
            return waiting.judge(connection, service, found, limit, now, at_once=at_once)

    # What senders sent

    def record_schemas(
        self, run_id: str, partition: Delivery, delivered: Sequence[DeliveredSchema], *, now: dt.datetime
    ) -> None:
        """The partition's deliveries have these columns, which differ so from what was expected. Safe to repeat."""
        with self._database.write() as connection:
            schemas.replace_schemas(connection, run_id, partition, delivered, now)

    def last_schema(self, partition: Delivery, *, before_key: str | None = None) -> DeliveredSchema | None:
        """The delivery before the partition that a new one is compared with, or None. before_key: the partition's own
        other deliveries count too."""
        with self._database.read() as connection:
            return schemas.select_last(connection, partition, before_key=before_key)

    def schemas(self, partition: Delivery) -> list[DeliveredSchema]:
        """The partition's present deliveries, in order."""
        with self._database.read() as connection:
            return schemas.select_schemas(connection, partition)

    def drifted(
        self, institutions: Sequence[str], datasets: Sequence[str], dates: Sequence[dt.date] | None = None
    ) -> list[DeliveredSchema]:
        """Deliveries whose columns differed, by date; those that were overwritten since, too. No dates: all."""
        with self._database.read() as connection:
            return schemas.select_drifted(connection, dates, institutions, datasets)

    def record_profile(self, partition: Delivery, rows: int, profile: dict[str, Any], *, now: dt.datetime) -> None:
        """What the partition's stored rows look like in sum."""
        with self._database.write() as connection:
            profiles.replace_profile(connection, partition, rows, profile, now)

    def earlier_profiles(self, partition: Delivery, count: int) -> list[dict[str, Any]]:
        """Profiles of the last `count` earlier dates with rows, newest first."""
        with self._database.read() as connection:
            return profiles.select_earlier(connection, partition, count)

    # What two dates hold

    def record_overlap(self, partition: Delivery, *, exposed: int, held: int, now: dt.datetime) -> None:
        """So many rows of the partition may be held by another date, and so many are."""
        with self._database.write() as connection:
            shared_keys.replace_counts(connection, partition, exposed, held, now)

    def overlap_counts(self, partition: Delivery) -> tuple[int, int] | None:
        """Those two numbers; None where nobody has counted them yet."""
        with self._database.read() as connection:
            return shared_keys.select_counts(connection, partition)

    def overlaps(self, partition: Delivery, first: dt.date, last: dt.date, run_id: str) -> list[Overlap]:
        """The other dates of the dataset, from first to last, that a run has ever been at, as the partition's run sees
        them."""
        with self._database.read() as connection:
            return shared_keys.select_near(connection, partition, first, last, run_id)

    def ask_again(self, partitions: Collection[Delivery], reason: str, *, now: dt.datetime) -> None:
        """Let each partition be run again, whatever its objects say."""
        with self._database.write() as connection:
            reruns.request(connection, partitions, reason, now)

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
        partition: Delivery | None = None,
        uri: str | None = None,
        key: str | None = None,
        states: Sequence[State] | None = None,
        limit: int | None = None,
    ) -> list[LedgerObject]:
        """Objects that match all that is given, in the order in which they were recorded."""
        wanted = asdict(partition) if partition else {}
        conditions = [_t[name] == value for name, value in wanted.items()]
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

    def objects_of(self, partitions: Sequence[Delivery]) -> list[LedgerObject]:
        """Everything that was ever part of these partitions of one institution and dataset."""
        if not partitions:
            return []
        with self._database.read() as connection:
            return status.select_objects_of(connection, partitions)

    def excluded(self, partition: Delivery) -> frozenset[tuple[str, str]]:
        """(key, sha256), or (key, identity) of what no run has read, of contents that a run leaves out: withdrawn,
        unrouted or ignored by now, or overwritten before their rows were ever published."""
        with self._database.read() as connection:
            return leaving.select_excluded(connection, partition)

    def withdraw(self, found: LedgerObject, *, reason: str, by: str, now: dt.datetime) -> bool:
        """Take one object out of its partition, which runs again without it. False: it is no part of it."""
        with self._database.write() as connection:
            return leaving.withdraw(connection, found, reason, by, now)

    def undo_withdrawal(self, found: LedgerObject, *, by: str, now: dt.datetime, beside: bool = False) -> bool:
        """Put a withdrawn object back. False: a newer content of its key is part of the partition, beside which it does
        not count (see `leaving.restore`)."""
        with self._database.write() as connection:
            return leaving.restore(connection, found, by, now, beside=beside)

    def withdrawals(self, limit: int) -> list[Withdrawal]:
        """What people took out, the latest first."""
        with self._database.read() as connection:
            return leaving.select_withdrawals(connection, limit)

    def open_reruns(self) -> dict[Delivery, str]:
        """Partitions that are to run again because an object was taken out of them, each with the reason."""
        with self._database.read() as connection:
            return reruns.select_open(connection)

    def near_keys(self, key: str, limit: int) -> list[str]:
        """Some keys on record that begin or end like `key`."""
        with self._database.read() as connection:
            return status.select_near_keys(connection, key, limit)

    def fresh_sizes(self, institution: str, dataset: str) -> dict[dt.date, int]:
        """Bytes that make up each partition, of those in which no object, and whose last attempt has not, failed."""
        with self._database.read() as connection:
            return status.select_fresh_sizes(connection, institution, dataset)

    def status_matrix(
        self, dates: Sequence[dt.date], institutions: Sequence[str], datasets: Sequence[str]
    ) -> dict[Delivery, PartitionStatus]:
        """What the ledger knows of each partition; those of which it knows nothing are missing."""
        with self._database.read() as connection:
            return status.select_status(connection, dates, institutions, datasets)

    def published(self, datasets: Collection[str], institutions: Collection[str]) -> dict[Delivery, dt.datetime | None]:
        """The partitions that were ever published, each with the time at which the first attempt after that began;
        None: no run has begun there since."""
        with self._database.read() as connection:
            return published.select_published(connection, datasets, institutions)

    def has_published(self) -> bool:
        """Whether anything was ever published."""
        with self._database.read() as connection:
            return published.has_any(connection)

    def published_keys(self, partition: Delivery) -> set[str]:
        """The keys below which lies what is published of the partition."""
        with self._database.read() as connection:
            return published.select_keys(connection, partition)

    def was_published(self, partition: Delivery) -> bool:
        """Whether any attempt at the partition has ever succeeded."""
        with self._database.read() as connection:
            return published.was_published(connection, partition)

    def unwell(self) -> list[Unwell]:
        """Every partition that failed, waits for a service, or of which a file was refused; by date."""
        with self._database.read() as connection:
            return unwell.select_unwell(connection)

    def rows_of_earlier_dates(self, partition: Delivery, days: int) -> list[int]:
        """Silver rows of the last `days` earlier business dates with loaded objects, newest first."""
        with self._database.read() as connection:
            return status.select_earlier_rows(connection, partition, days)

    def latest_loaded_date(self, partition: Delivery) -> dt.date | None:
        """The last business date, up to the partition's own, on which its dataset has loaded objects; None: never."""
        with self._database.read() as connection:
            return status.select_latest_loaded_date(connection, partition)

    # Which rules judged, and what was replayed

    def record_version(
        self, run_id: str, partitions: Sequence[Delivery], version: str, document: str, *, now: dt.datetime
    ) -> None:
        """The run's attempts at the partitions of one dataset are judged under the rules that `document` holds."""
        with self._database.write() as connection:
            versions.record(connection, run_id, partitions, version, document, now)

    def rule_version(self, partition: Delivery, run_id: str | None = None) -> str | None:
        """The rules under which what is stored of the partition was judged, or those of that run."""
        with self._database.read() as connection:
            return versions.select_version(connection, partition, run_id)

    def rule_document(self, version: str) -> str | None:
        """What a version says, as JSON text."""
        with self._database.read() as connection:
            return versions.select_document(connection, version)

    def quarantined_partitions(
        self, institutions: Sequence[str], datasets: Sequence[str], dates: Sequence[dt.date] | None
    ) -> list[Delivery]:
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

    def latest_attempt(self, partition: Delivery) -> Attempt | None:
        """The attempt at the partition that started last, or None."""
        with self._database.read() as connection:
            return attempt_rows.latest(connection, partition)

    def published_before(self, partition: Delivery) -> Attempt | None:
        """The attempt at the partition that was published last, before the one that started last; or None."""
        with self._database.read() as connection:
            return attempt_rows.published_before(connection, partition)

    def check(self) -> str:
        """One line for people when the ledger can be read and written."""
        with self._database.write() as connection:
            status.try_write(connection)
            return f"{self._database.label}: {status.describe(connection)}"
