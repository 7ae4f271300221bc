"""One atomic load: everything that can be prepared is prepared first, then one short transaction.

Order: DDL (it commits by itself), files to a temporary stage, then BEGIN, lock rows, DELETE, COPY, the load's token,
COMMIT. When the answer to COMMIT is lost, the token tells on a new session whether the load is in.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from etl_platform.contracts.table import Table
from etl_platform.errors import EtlError, StorageError, StorageUnavailableError
from etl_platform.retries import Retries
from etl_platform.stores.proof.compared import figures, require_same, select_list
from etl_platform.stores.query_tag import query_tag
from etl_platform.stores.snowflake import roles, statements
from etl_platform.stores.snowflake.account import SnowflakeSession
from etl_platform.stores.snowflake.errors import OutcomeUnknownError
from etl_platform.stores.snowflake.files import Staged, StageTarget
from etl_platform.stores.snowflake.schema import prepare

_log = logging.getLogger(__name__)

OpenSession = Callable[[str], AbstractContextManager[SnowflakeSession]]


@dataclass
class SnowflakeLoad:
    """One replace of partitions of `table`; `staged` holds the rows for each target."""

    table: Table
    staged: Mapping[StageTarget, Staged]
    open_session: OpenSession
    with_roles: bool
    _doubtful: tuple[str, EtlError] | None = None

    @property
    def targets(self) -> Sequence[StageTarget]:
        """In one order for all loads: two loads of the same schemas cannot wait for each other."""
        return sorted(self.staged, key=lambda target: (target.schema, target.institution or ""))

    @property
    def subject(self) -> str:
        """Names the work in messages."""
        return f"load of {self.table.layer}/{self.table.name}"

    def run(self, retries: Retries, service: str) -> str:
        """Load, again as a whole while the service is away. Gives the token under which the load is recorded."""
        # A new token per attempt: it must tell this transaction from the one before.
        return retries.call(lambda: self._attempt(uuid.uuid4().hex), service=service)

    def _attempt(self, token: str) -> str:
        if (earlier := self._committed()) is not None:
            return earlier
        with self.open_session(self.subject) as session:
            for target in self.targets:
                self._enter(session, target)
                self._prepare(session, target, token)
            session.execute("BEGIN TRANSACTION")
            try:
                for target in self.targets:
                    self._enter(session, target)
                    self._replace(session, target, token)
            except BaseException:  # an interrupt, too, must not keep the tables locked
                _roll_back(session)
                raise
            try:
                session.execute("COMMIT")
            except EtlError as error:
                self._doubtful = token, error
                # Without effect after a COMMIT that arrived; otherwise it frees the lock for the look below.
                _roll_back(session)
        if self._doubtful is not None:
            _, lost = self._doubtful
            if self._committed() is None:
                raise StorageUnavailableError(
                    self.subject, found=f"COMMIT failed ({lost.found}); the old rows stand", next_step="run again"
                )
        return token

    def rehearse(self, session: SnowflakeSession, target: StageTarget) -> None:
        """Load into a temporary table, on the way of every load. It and the stage end with the session."""
        token = uuid.uuid4().hex
        self._enter(session, target)
        session.execute(statements.create_temporary(self.table, target.schema))
        self._upload(session, target, token)
        self._copy(session, target, self.staged[target], token)
        condition, values = statements.where_partitions(self.table, target.partitions)
        self._require_arrived(session, target, condition, values)

    def _enter(self, session: SnowflakeSession, target: StageTarget) -> None:
        session.tag = query_tag(self.table, target.institution, target.partitions)
        if self.with_roles:
            for statement in roles.assume(target.schema):
                session.execute(statement)

    def _prepare(self, session: SnowflakeSession, target: StageTarget, token: str) -> None:
        prepare(session, self.table, target.schema, creates_schema=not self.with_roles)
        keys = [str(key) for key in target.partitions]
        ensure = statements.ensure_lock_rows(target.schema, len(keys))
        session.execute(ensure, self.table.name, *keys, self.table.name)
        self._upload(session, target, token)

    def _upload(self, session: SnowflakeSession, target: StageTarget, token: str) -> None:
        staged = self.staged[target]
        if staged.files:
            session.execute(statements.create_stage(target.schema, _stage(token)))
        for file in staged.files:
            for row in session.rows(statements.put(file, target.schema, _stage(token))):
                if row["status"] != "UPLOADED":
                    raise StorageUnavailableError(
                        self.subject, found=f"{file.name} was not uploaded: {row['status']} {row['message']}"
                    )

    def _replace(self, session: SnowflakeSession, target: StageTarget, token: str) -> None:
        keys = [str(key) for key in target.partitions]
        locked = session.execute(statements.lock(target.schema, len(keys)), token, self.table.name, *keys)
        if (locked.rowcount or 0) < len(keys):
            locks = statements.qualified(target.schema, statements.LOCKS)
            raise StorageError(
                self.subject,
                found=f"{locked.rowcount} lock rows of {len(keys)} in {locks}",
                next_step="nobody but the platform may delete from that table; run again",
            )
        condition, values = statements.where_partitions(self.table, target.partitions)
        session.execute(statements.delete(self.table, target.schema, condition), *values)
        staged = self.staged[target]
        if staged.files:
            self._copy(session, target, staged, token)
        self._require_arrived(session, target, condition, values)
        record = statements.record_load(target.schema)
        session.execute(record, token, self.table.name, len(keys), staged.rows)

    def _copy(self, session: SnowflakeSession, target: StageTarget, staged: Staged, token: str) -> None:
        results = session.rows(statements.copy(target.schema, self.table.name, _stage(token)))
        loaded = sum(int(row.get("rows_loaded", 0)) for row in results)
        if loaded != staged.rows or len(results) != len(staged.files):
            raise StorageError(
                f"{self.subject} into {statements.qualified(target.schema, self.table.name)}",
                found=f"COPY loaded {loaded} rows of {len(results)} files",
                expected=f"{staged.rows} rows of {len(staged.files)} files",
                next_step="the old rows stand; look for the statement by its query tag in the query history",
            )

    def _require_arrived(
        self, session: SnowflakeSession, target: StageTarget, condition: str, values: Sequence[object]
    ) -> None:
        """Raises StorageError where the rows that meet `condition` are not those that were sent."""
        compared = figures(self.staged[target].sent, "snowflake")
        query = statements.add_up(self.table, target.schema, select_list(compared, "snowflake"), condition)
        (arrived,) = session.execute(query, *values).fetchall()
        subject = f"{self.subject} into {statements.qualified(target.schema, self.table.name)}"
        require_same(subject, compared, arrived)

    def _committed(self) -> str | None:
        """The token of an earlier attempt whose COMMIT arrived; None where none is in doubt any more.

        Asked once: while nobody answers (OutcomeUnknownError), the next attempt asks before it does anything else.
        """
        if self._doubtful is None:
            return None
        token, lost = self._doubtful
        try:
            committed = self._is_committed(token)
        except EtlError as error:
            loads = statements.qualified(self.targets[0].schema, statements.LOADS)
            raise OutcomeUnknownError(
                self.subject,
                found=f"the answer to COMMIT was lost ({lost.found}) and its outcome could not be read ({error.found})",
                next_step=f"look for LOAD_TOKEN {token} in {loads}: there, the load is complete; not there, run again",
            ) from error
        if not committed:
            self._doubtful = None
            return None
        _log.warning("%s: the answer to COMMIT was lost, the load is in (token %s)", self.subject, token)
        return token

    def _is_committed(self, token: str) -> bool:
        """Read the token under the load's own lock, so that a COMMIT still on its way has ended before."""
        target = self.targets[0]
        keys = [str(key) for key in target.partitions]
        with self.open_session(self.subject) as session:
            self._enter(session, target)
            session.execute("BEGIN TRANSACTION")
            try:
                session.execute(statements.lock(target.schema, len(keys)), token, self.table.name, *keys)
                return bool(session.rows(statements.find_load(target.schema), token))
            finally:
                _roll_back(session)


def _roll_back(session: SnowflakeSession) -> None:
    # A session that cannot be reached loses its transaction when the service ends it.
    with contextlib.suppress(EtlError):
        session.execute("ROLLBACK")


def _stage(token: str) -> str:
    return f"etl_load_{token}"
