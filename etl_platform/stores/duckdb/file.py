"""One DuckDB file, opened by one process at a time.

Belongs here: the lock, the wait, the connection's settings, errors. Not here: tables (`store.py`).

DuckDB refuses a second process while one has the file open for writing, and a writer while others read. So every
use is a short connection under a lock file, and everybody waits for everybody, with a limit.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from etl_platform.errors import StorageError, StorageUnavailableError
from etl_platform.limits import DUCKDB_LOOK_SECONDS
from etl_platform.object_store.transfer import file_errors
from etl_platform.stores.duckdb.holder import holders

if TYPE_CHECKING:
    import duckdb

_CONFIG: dict[str, str | bool | int | float | list[str]] = {"autoinstall_known_extensions": "false"}
"""No extension is ever fetched from the internet behind our back."""


class DuckDBFile:
    """The file, and how long to wait for it."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self.path = path.absolute()
        self._wait_seconds = wait_seconds
        self._holder = Path(f"{self.path}.holder")

    @property
    def subject(self) -> str:
        """The file in messages."""
        return f"DuckDB file {self.path}"

    @contextmanager
    def connection(
        self, *, read_only: bool = False, wait_seconds: float | None = None, threads: int | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for a short while. What was not committed when it ends is rolled back.

        wait_seconds: another wait than the file's own. threads: not one for each core. Raises
        StorageUnavailableError when others keep the file too long, StorageError when DuckDB refuses.
        """
        patience = self._wait_seconds if wait_seconds is None else wait_seconds
        deadline = time.monotonic() + patience
        with self.lock(patience), self._errors(), self._open(deadline, read_only, patience, threads) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    @contextmanager
    def reading(self, config: Mapping[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for somebody else's queries, which cannot write. What DuckDB says of them is raised as it is.

        config: more of DuckDB's own settings. Raises like `connection` when it cannot be opened.
        """
        if not self.path.exists():
            raise StorageError(self.subject, found="no such file", next_step="load a partition: the first one makes it")
        patience = self._wait_seconds
        deadline = time.monotonic() + patience
        with self.lock(patience):
            with self._errors():
                opened = self._open(deadline, True, patience, None, config)
            with opened as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield connection

    @contextmanager
    def beside(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of the same settings that leaves the file alone: whatever is made in it goes with it."""
        import duckdb

        with self._errors(), duckdb.connect(":memory:", config=_CONFIG) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection

    @contextmanager
    def lock(self, patience: float) -> Iterator[None]:
        """Alone with the file among all who know this lock."""
        # Not per thread: a stream may be closed by another thread than the one that opened it.
        lock = FileLock(f"{self.path}.lock", timeout=patience, thread_local=False)
        with file_errors(f"{self.subject}, its lock file"):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except Timeout:
                raise self._busy(self._read_holder(), patience) from None
        try:
            # Only for the message to those who wait: a full disk must not stop a reader.
            with contextlib.suppress(OSError):
                now = dt.datetime.now(dt.UTC)
                self._holder.write_text(f"process {os.getpid()} on {platform.node()} since {now:%Y-%m-%d %H:%M:%S} UTC")
            yield
        finally:
            with contextlib.suppress(OSError):
                self._holder.unlink()
            lock.release()

    def _open(
        self,
        deadline: float,
        read_only: bool,
        patience: float,
        threads: int | None,
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> duckdb.DuckDBPyConnection:
        import duckdb

        config = {**_CONFIG, **further, **({} if threads is None else {"threads": threads})}
        while True:
            try:
                return duckdb.connect(self.path, read_only=read_only, config=config)
            except duckdb.IOException as error:
                # Somebody who does not know our lock, for example an analyst's command line.
                if "lock" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise self._busy(holders(self.path, str(error)), patience) from error
                time.sleep(DUCKDB_LOOK_SECONDS)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            raise StorageError(
                self.subject,
                found=f"{type(error).__name__}: {error}",
                next_step="check the file, its disk and its permissions; what was not committed is undone",
            ) from error

    def _read_holder(self) -> str:
        try:
            found = f"in use by {self._holder.read_text()}"
        except OSError:
            found = "in use by another process"
        # Who has our lock may itself be waiting for somebody who does not know it.
        return "; ".join(filter(None, (found, holders(self.path, ""))))

    def _busy(self, found: str, patience: float) -> StorageUnavailableError:
        # Nobody waits once more: whoever gets this has already waited as long as other services are asked.
        return StorageUnavailableError(
            self.subject,
            found=found,
            expected=f"the file to be free within {patience:g} seconds",
            next_step="none: it is tried again by itself. End that process to have it sooner; `etl-platform query` "
            "reads without holding anybody up (docs/query.md)",
        )
