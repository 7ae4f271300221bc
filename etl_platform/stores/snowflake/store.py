"""Tables in Snowflake: the promise of `TableStore`.

Belongs here: from partitions to schemas, and the outline of replace and read. Not here: the transaction (`load.py`),
sessions (`account.py`), Dagster (`defs/io_manager.py`).
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa

from etl_platform.contracts.table import PartitionKey, Table
from etl_platform.limits import PROBE_SECONDS, SNOWFLAKE_FILE_BYTES, SNOWFLAKE_GROUP_BYTES
from etl_platform.retries import Retries, asking
from etl_platform.stores.canary import KEY, TABLE, canary_rows, require_unchanged
from etl_platform.stores.partition_guard import checked, distinct
from etl_platform.stores.query_tag import query_tag
from etl_platform.stores.snowflake import roles
from etl_platform.stores.snowflake.account import SnowflakeAccount, SnowflakeSession, open_session
from etl_platform.stores.snowflake.files import StageTarget, write_files
from etl_platform.stores.snowflake.load import SnowflakeLoad
from etl_platform.stores.snowflake.read import read_target
from etl_platform.stores.snowflake.statements import qualified
from etl_platform.stores.store import Written
from etl_platform.stores.tenant_schemas import SHARED_SCHEMA, schema_of


class SnowflakeStore:
    """Tables in one Snowflake database. `schemas`: institution code to schema; those across institutions in `shared`.

    with_roles: work for an institution under its own role `ETL_<SCHEMA>` (made by `initialise`).
    scratch: where the Parquet files of a load wait; they take about the size of the loaded rows in Parquet.
    """

    def __init__(
        self,
        account: SnowflakeAccount,
        schemas: Mapping[str, str],
        *,
        with_roles: bool = False,
        retries: Retries | None = None,
        scratch: Path | None = None,
        service: str = "warehouse",
        file_bytes: int = SNOWFLAKE_FILE_BYTES,
        row_group_bytes: int = SNOWFLAKE_GROUP_BYTES,
    ) -> None:
        self.service = service
        self._retries = retries or Retries()
        self._account, self._schemas, self._with_roles, self._scratch = account, schemas, with_roles, scratch
        self._file_bytes, self._row_group_bytes = file_bytes, row_group_bytes

    def replace(self, table: Table, partitions: Sequence[PartitionKey], batches: Iterable[pa.RecordBatch]) -> Written:
        """See `TableStore.replace`; all partitions of all institutions in one transaction."""
        started = time.monotonic()
        targets = self._targets(table, partitions)
        if not targets:
            rows = sum(batch.num_rows for batch in checked(table, [], batches))
            return Written("Snowflake: no table", rows)
        with asking(self.service), tempfile.TemporaryDirectory(prefix="etl-snowflake-", dir=self._scratch) as folder:
            staged = write_files(
                table,
                targets,
                batches,
                Path(folder),
                file_bytes=self._file_bytes,
                row_group_bytes=self._row_group_bytes,
            )
            token = SnowflakeLoad(table, staged, self._open, self._with_roles).run(self._retries, self.service)
            return Written(
                location=", ".join(f"{self._account.database}.{qualified(t.schema, table.name)}" for t in targets),
                rows=sum(one.rows for one in staged.values()),
                bytes=sum(one.bytes for one in staged.values()),
                details={
                    "load_token": token,
                    "files": sum(len(one.files) for one in staged.values()),
                    "seconds": round(time.monotonic() - started, 3),
                },
            )

    def read(
        self, table: Table, partitions: Sequence[PartitionKey], columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """See `TableStore.read`. Each institution's rows are as of the moment its statement began.

        What may pass is tried again until the first rows are there. After that a second try would show another moment.
        """
        targets = self._targets(table, partitions)
        if not targets:
            return
        with asking(self.service), ExitStack() as stack:

            def begin() -> tuple[Iterator[pa.RecordBatch], pa.RecordBatch | None]:
                with ExitStack() as opened:
                    session = opened.enter_context(self._open(f"read of {table.layer}/{table.name}"))
                    batches = self._select(session, table, targets, columns)
                    first = next(batches, None)
                    stack.push(opened.pop_all())
                return batches, first

            batches, first = self._retries.call(begin, service=self.service)
            if first is not None:
                yield first
                yield from batches

    def _select(
        self, session: SnowflakeSession, table: Table, targets: Sequence[StageTarget], columns: Sequence[str] | None
    ) -> Iterator[pa.RecordBatch]:
        for target in targets:
            session.tag = query_tag(table, target.institution, target.partitions)
            for statement in roles.assume(target.schema) if self._with_roles else ():
                session.execute(statement)
            yield from read_target(session, table, target, columns)

    def probe(self) -> None:
        """See `TableStore.probe`."""
        seconds = round(PROBE_SECONDS) - 1
        hasty = dataclasses.replace(
            self._account, login_timeout=seconds, network_timeout=seconds, socket_timeout=seconds
        )
        with asking(self.service), open_session(hasty, "probe"):
            return

    def check(self) -> str:
        """One line for `doctor`: who answers, and whether every schema is there. Raises the store's errors."""
        with self._open_patiently("check") as session:
            version = session.execute("SELECT CURRENT_VERSION()").fetchall()[0][0]
            found = session.execute("SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA").fetchall()
        wanted = {schema.upper() for schema in self._schemas.values()}
        missing = sorted(wanted - {row[0] for row in found})
        account = self._account
        schemas = (
            f"schemas not there yet: {', '.join(missing)} (`etl-platform warehouse init` makes them)"
            if missing
            else f"all {len(wanted)} schemas there"
        )
        warehouse, role = account.warehouse or "the user's default", account.role or "the user's default"
        return (
            f"Snowflake {version}, account {account.account}, database {account.database}, user {account.user}, "
            f"warehouse {warehouse}, role {role}; {schemas}"
        )

    def canary(self) -> str:
        """See `WarehouseStore.canary`. The table is temporary in the first schema that is there."""
        with (
            self._open_patiently("canary") as session,
            tempfile.TemporaryDirectory(prefix="etl-snowflake-", dir=self._scratch) as folder,
        ):
            found = session.execute("SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA").fetchall()
            there = sorted({schema.upper() for schema in self._schemas.values()} & {row[0] for row in found})
            if not there:
                return "not sent: no schema is there yet (`etl-platform warehouse init` makes them)"
            target = StageTarget(there[0].lower(), None, (KEY,))
            staged = write_files(TABLE, [target], [canary_rows()], Path(folder))
            SnowflakeLoad(TABLE, staged, self._open, self._with_roles).rehearse(session, target)
            batches = read_target(session, TABLE, target, None)
            rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
        return require_unchanged(f"Snowflake {self._account.account}", rows)

    def initialise_statements(self) -> list[str]:
        """What `initialise` runs: for an administrator to read, or to run by hand."""
        schemas = [*self._schemas.values(), SHARED_SCHEMA]
        return roles.initialise_statements(self._account, schemas, roles=self._with_roles)

    def initialise(self) -> list[str]:
        """Make schemas, roles and grants; the account's user needs the rights for it. Gives the statements."""
        made = self.initialise_statements()
        with self._open_patiently("warehouse init") as session:
            for statement in made:
                session.execute(statement)
        return made

    def _open(self, subject: str) -> AbstractContextManager[SnowflakeSession]:
        return open_session(self._account, subject)

    @contextmanager
    def _open_patiently(self, subject: str) -> Iterator[SnowflakeSession]:
        """A session; only its opening is tried again, not what is done in it."""
        with asking(self.service), ExitStack() as stack:
            yield self._retries.call(lambda: stack.enter_context(self._open(subject)), service=self.service)

    def _targets(self, table: Table, partitions: Sequence[PartitionKey]) -> list[StageTarget]:
        groups: dict[str | None, list[PartitionKey]] = {}
        for key in distinct(table, partitions):
            groups.setdefault(key.institution, []).append(key)
        return [StageTarget(schema_of(code, self._schemas), code, tuple(keys)) for code, keys in groups.items()]
